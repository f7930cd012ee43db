"""What became of the samples of each export since the outbox was made."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
import time
from typing import Final

from homeassistant.util import dt as dt_util

from .batches import Block, Reject, count_by_export, from_us
from .rows import Rows

_SAVE_AFTER: Final = 600.0


@dataclass(slots=True)
class Figures:
    """What became of an export's samples since the outbox was made, and what waits."""

    waiting: int = 0
    uploaded: int = 0
    rejected: int = 0
    dropped: int = 0
    oldest: datetime | None = None
    last_upload: datetime | None = None

    @property
    def seconds_waiting(self) -> int:
        """How long the oldest sample has waited, 0 where none does."""
        if self.oldest is None:
            return 0
        return max(0, round((dt_util.utcnow() - self.oldest).total_seconds()))

    def add(self, other: "Figures") -> None:
        """Add what was counted elsewhere."""
        self.waiting += other.waiting
        self.uploaded += other.uploaded
        self.rejected += other.rejected
        self.dropped += other.dropped
        self.oldest = min(filter(None, (self.oldest, other.oldest)), default=None)
        self.last_upload = other.last_upload or self.last_upload


class Ledger(defaultdict[str, Figures]):
    """What was counted since the figures were stored, which is seldom."""

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__(Figures)
        self.since = time.monotonic()

    def is_due(self) -> bool:
        """Tell whether the figures are worth a write."""
        return bool(self) and time.monotonic() - self.since > _SAVE_AFTER

    def count_stored(self, blocks: Iterable[Block]) -> None:
        """Count samples that the service has stored."""
        for export_id, count in count_by_export(blocks).items():
            self[export_id].uploaded += count
            self[export_id].last_upload = dt_util.utcnow()

    def count_rejected(self, rejects: list[Reject], recalled: list[Reject]) -> None:
        """Count samples that were set aside, and those of which that was taken back."""
        for reject in rejects:
            self[reject.sample.export_id].rejected += 1
        for reject in recalled:
            self[reject.sample.export_id].rejected -= 1

    def add(self, figures: Mapping[str, Figures]) -> None:
        """Add what was counted elsewhere, by export."""
        for name, its in figures.items():
            self[name].add(its)


def load_figures(rows: Rows) -> dict[str, Figures]:
    """Return the stored figures of every export that ever had a sample, by its id, with what waits on disk."""
    figures = {}
    for key, name in rows.exports.items():
        [(uploaded, rejected, dropped, last_upload)] = rows.db.execute(
            "SELECT uploaded, rejected, dropped, min(max(last_upload, 0), 1e11)"
            " FROM export WHERE id = ?",
            (key,),
        ).fetchall()
        figures[name] = Figures(
            rows.waiting[name],
            uploaded,
            rejected,
            dropped,
            None if (oldest := _oldest(rows, key)) is None else from_us(oldest),
            None if last_upload is None else from_us(int(last_upload * 1e6)),
        )
    return figures


def _oldest(rows: Rows, export: int) -> int | None:
    times = []
    for queue in rows.queues():
        # Looked for from where it was found before: what is older is gone by now
        rest = "AND export_id = ? ORDER BY id LIMIT 1"
        since = rows.oldest.get((queue, export), 0)
        for id_, time_us in rows.select(
            "id, oldest_us", queue, rest, export, since=since
        ):
            rows.oldest[queue, export] = id_
            times.append(time_us)
    return min(times, default=None)


def save_figures(rows: Rows, figures: Mapping[str, Figures]) -> None:
    """Add to what is stored."""
    rows.db.executemany(
        "UPDATE export SET uploaded = uploaded + ?, rejected = rejected + ?,"
        " dropped = dropped + ?, last_upload = ifnull(?, last_upload) WHERE id = ?",
        [
            (
                *(its.uploaded, its.rejected, its.dropped),
                its.last_upload and its.last_upload.timestamp(),
                rows.exports.id_of(name),
            )
            for name, its in figures.items()
        ],
    )
