"""What is in memory alone: samples on their way to a target that works, and those that the disk does not take."""

from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from ...api import WriteTarget
from .batches import Block, FieldKey, count_by_export, split

MEMORY_LIMIT: Final = 100_000
"""Samples that are kept in memory while the disk takes none, some 30 MB."""


@dataclass(slots=True, eq=False)
class Memory:
    """Blocks by target, the oldest first. A block stays until it is stored at the service or on disk."""

    blocks: dict[WriteTarget | FieldKey, list[Block]] = field(default_factory=dict)
    """Under a field what is yet to be put on disk of it, since it is blocked."""

    def __len__(self) -> int:
        """Return the number of samples."""
        return sum(map(len, self.all()))

    def all(self) -> Iterator[Block]:
        """Yield all blocks."""
        return chain(*self.blocks.values())

    @property
    def targets(self) -> list[WriteTarget]:
        """The targets that samples are on their way to."""
        return [key for key in self.blocks if isinstance(key, WriteTarget)]

    def of(self, key: WriteTarget | FieldKey) -> list[Block]:
        """Return the blocks of a target or of a blocked field."""
        return self.blocks.get(key, [])

    def add(self, blocks: Iterable[Block], blocked: Container[FieldKey]) -> None:
        """Add blocks; what is of a blocked field is kept apart."""
        for block in blocks:
            rest, held = split(block, blocked) if blocked else (block, {})
            if not held:
                # The same object: it may be under way, and is known by that afterwards
                rest = block
            if len(rest):
                self.blocks.setdefault(block.series.target, []).append(rest)
            for key, part in held.items():
                self.blocks.setdefault(key, []).append(part)

    def hold(self, keys: Collection[FieldKey]) -> None:
        """Keep apart what is there of fields that are blocked by now."""
        for target in {key.target for key in keys}:
            self.add(self.blocks.pop(target, ()), keys)

    def put_back(self, blocks: list[Block]) -> None:
        """Put in front what is left of a batch."""
        for block in reversed(blocks):
            self.blocks.setdefault(block.series.target, []).insert(0, block)

    def remove(self, blocks: Iterable[Block]) -> None:
        """Forget blocks that are stored, here or there."""
        gone = set(blocks)
        left = {
            key: [block for block in its if block not in gone]
            for key, its in self.blocks.items()
        }
        self.blocks = {key: its for key, its in left.items() if its}

    def drop_excess(self) -> Counter[str]:
        """Drop the oldest blocks beyond the limit; return how many samples of which export."""
        excess = len(self) - MEMORY_LIMIT
        dropped: list[Block] = []
        for block in sorted(self.all(), key=lambda block: block.taken):
            if excess <= 0:
                break
            excess -= len(block)
            dropped.append(block)
        self.remove(dropped)
        return count_by_export(dropped)
