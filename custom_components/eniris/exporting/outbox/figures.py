"""What became of the samples of each export since the outbox was made."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
import time
from typing import Final

from homeassistant.util import dt as dt_util

from .batches import Block, Reject, count_by_export, from_us
from .rows import Rows

_MOST: Final = 2**63 - 1

_SAVE_AFTER: Final = 600.0
"""Seconds for which figures alone are not worth a write."""


@dataclass(slots=True)
class Figures:
    """What became of an export's samples since the outbox was made, and what waits."""

    waiting: int = 0
    uploaded: int = 0
    rejected: int = 0
    dropped: int = 0
    oldest: datetime | None = None
    """The time of the sample that has waited longest."""
    last_upload: datetime | None = None


class Ledger:
    """The figures of all exports, in memory; they are stored seldom."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._figures: dict[str, Figures] = {}
        self._is_loaded = False
        """Whether the stored ones were added: others must not take their place."""
        self._unsaved_since: float | None = None

    def _of(self, export_id: str) -> Figures:
        """Return the figures of an export, to be counted up."""
        if self._unsaved_since is None:
            self._unsaved_since = time.monotonic()
        return self._figures.setdefault(export_id, Figures())

    def count_stored(self, blocks: Iterable[Block]) -> None:
        """Count samples that the service has stored."""
        now = dt_util.utcnow()
        for export_id, count in count_by_export(blocks).items():
            its = self._of(export_id)
            its.uploaded += count
            its.last_upload = now

    def count_rejected(
        self, rejects: Iterable[Reject], recalled: Iterable[Reject]
    ) -> None:
        """Count samples that were set aside, and those of which that was taken back."""
        for reject in rejects:
            self._of(reject.sample.export_id).rejected += 1
        for reject in recalled:
            self._of(reject.sample.export_id).rejected -= 1

    def count_dropped(self, counts: Mapping[str, int]) -> None:
        """Count samples that were dropped, by export."""
        for export_id, count in counts.items():
            self._of(export_id).dropped += count

    def unsaved(self, *, now: bool = False) -> dict[str, Figures]:
        """Return the figures where they should be stored, at the end `now`."""
        since = self._unsaved_since
        if not self._is_loaded or since is None:
            return {}
        is_due = now or time.monotonic() - since > _SAVE_AFTER
        # A copy: the thread that stores them goes through it while others are added
        return dict(self._figures) if is_due else {}

    def note_saved(self) -> None:
        """Know that the figures are stored."""
        self._unsaved_since = None

    def add_stored(self, stored: Mapping[str, Figures]) -> None:
        """Add what was stored to what was counted before the file could be read, once."""
        if self._is_loaded:
            return
        self._is_loaded = True
        for name, its in stored.items():
            ours = self._figures.setdefault(name, Figures())
            ours.uploaded += its.uploaded
            ours.rejected += its.rejected
            ours.dropped += its.dropped
            ours.last_upload = ours.last_upload or its.last_upload

    def shown(
        self, waiting: Mapping[str, int], oldest: Mapping[str, int]
    ) -> dict[str, Figures]:
        """Return all figures, with what waits and since when in microseconds."""
        return {
            name: replace(
                self._figures.get(name, Figures()),
                waiting=waiting.get(name, 0),
                oldest=from_us(oldest[name]) if name in oldest else None,
            )
            for name in {**self._figures, **waiting}
        }


def load_figures(rows: Rows) -> dict[str, Figures]:
    """Return the stored figures of every export that ever had a sample, by its id."""
    return {
        name: Figures(
            uploaded=uploaded,
            rejected=rejected,
            dropped=dropped,
            last_upload=_time(last),
        )
        for name, uploaded, rejected, dropped, last in rows.db.execute(
            "SELECT name, uploaded, rejected, dropped, last_upload FROM export"
        )
    }


def _time(stored: float | None) -> datetime | None:
    try:
        return None if stored is None else from_us(int(stored * 1e6))
    except OverflowError:
        # A damaged figure must not keep the outbox from being opened
        return None


def save_figures(rows: Rows, figures: Mapping[str, Figures]) -> None:
    """Store figures."""
    rows.db.executemany(
        "UPDATE export SET uploaded = ?, rejected = ?, dropped = ?, last_upload = ?"
        " WHERE id = ?",
        [
            (
                # What a damaged file told may be more than it can be told
                *(min(n, _MOST) for n in (its.uploaded, its.rejected, its.dropped)),
                its.last_upload and its.last_upload.timestamp(),
                rows.exports.id_of(name),
            )
            for name, its in figures.items()
        ],
    )
