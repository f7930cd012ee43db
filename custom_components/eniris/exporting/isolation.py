"""Isolation: what a refused request was refused for, found with few requests.

A refusal concerns a sample only when samples beside it are stored. When nothing is, the target has a problem, and
everything is kept. So each search begins with what the target takes, and halves what it does not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from homeassistant.util.dt import utcnow

from .. import api
from ..api import EnirisError, EnirisQueryError
from .outbox import batches
from .outbox.batches import Batch, Entry, FieldKey, Reject, Settlement, TooOld

if TYPE_CHECKING:
    from .target import TargetUploader

_SINGLES: Final = 5
"""Samples of several fields that are refused one by one before nothing is taken for what the target says to everything."""

_SINGLES_AGAIN: Final = 2
"""As many are enough to see that it is still so."""

_REQUESTS: Final = 80
"""After so many the rest of a batch is left to the next."""

_AHEAD: Final = 60_000_000
"""Microseconds by which a time may be ahead of our clock, which was another one then."""

_PAUSE: Final = 5.0
"""Seconds of rest after a search that took too many requests."""


class MustWait(Exception):
    """A target takes nothing at present; what is not stored waits."""


class _Refused(NamedTuple):
    """A sample that was refused by itself, and why: a query error is of ourselves, nothing was sent."""

    entry: Entry
    error: EnirisError


@dataclass(slots=True, eq=False)
class Isolation:
    """One search in a batch that was refused as a whole; its result says of each sample what became of it."""

    uploader: "TargetUploader"
    batch: Batch
    must_wait: bool = False
    """Whether the search could not be ended, since the target must wait."""
    refused_until: int | None = None
    """The newest time in microseconds of what may have been refused for its age."""
    _entries: list[Entry] = field(default_factory=list)
    _done: set[Entry] = field(default_factory=set)
    _stored: list[Entry] = field(default_factory=list)
    _too_old: list[Entry] = field(default_factory=list)
    _too_old_reason: str = ""
    _requests: int = 0
    _works: bool = False
    """Whether the target took anything since the batch was refused."""
    _refused: list[_Refused] = field(default_factory=list)
    """What was refused by itself, until it is known that the target works."""
    _result: Settlement = field(default_factory=Settlement)

    async def run(self, error: EnirisError) -> Settlement:
        """Search for what the batch was refused with `error` for, and return what became of it."""
        try:
            await self._search(error)
        except MustWait:
            self.must_wait = True
        return await batches.async_aside(len(self.batch), self._settlement)

    def _settlement(self) -> Settlement:
        result = self._result
        result.stored = batches.regroup(self._stored)
        result.remaining = batches.regroup(
            entry for entry in self.batch.entries if entry not in self._done
        )
        if self._too_old:
            until = batches.from_us(max(entry.time_us for entry in self._too_old))
            result.too_old = TooOld(
                until, self._too_old_reason, batches.regroup(self._too_old)
            )
        return result

    async def _search(self, error: EnirisError | None) -> None:
        probe = await batches.async_aside(len(self.batch), self._look)
        if isinstance(error, api.PayloadTooLargeError):
            await self._sift(self._entries, error)
            return
        refuses_all = self.uploader.refuses_all
        if len(probe) < len(self._entries):
            error = None if refuses_all else await self._send(probe)
        if error is not None or refuses_all:
            await self._ask_witness()
            # Others first each time, or the same few would hide for ever what is taken
            turn = _SINGLES_AGAIN * self.uploader.failures % len(probe)
            await self._sift(probe[turn:] + probe[:turn], error)
        await self._sift(self._entries, None)

    def _look(self) -> list[Entry]:
        """Return the newest sample of each field; what a wrong clock has dated ahead stands for none that has others."""
        self._entries = sorted(self.batch.entries, key=lambda entry: -entry.time_us)
        limit = _latest()
        newest: dict[FieldKey, Entry] = {}
        for entry in sorted(self._entries, key=lambda entry: entry.time_us > limit):
            newest.setdefault(entry.key, entry)
        return list(newest.values())

    async def _sift(self, entries: Sequence[Entry], error: EnirisError | None) -> None:
        """Store what is taken of some samples, refused together with `error` or not sent yet; find out why others are not."""
        enough = _SINGLES_AGAIN if self.uploader.refuses_all else _SINGLES
        while rest := await batches.async_aside(len(entries), self._unknown, entries):
            group = rest if self._works and len(rest) > _SINGLES else rest[:1]
            if error is None or len(group) < len(entries):
                error = await self._send(group)
            if error is not None:
                refused = await self._newest_refused(group, error)
                self._refused += [refused] if refused else []
                error = None
            await self._judge_refused(enough)
        await self._judge_refused(1)

    async def _newest_refused(
        self, entries: Sequence[Entry], error: EnirisError | None
    ) -> _Refused | None:
        """Return the newest sample that is refused by itself; None where together they only do not go."""
        while len(entries) > 1:
            half = len(entries) // 2
            error = await self._send(entries[:half])
            entries = entries[half:] if error is None else entries[:half]
        error = error or await self._send(entries)
        return None if error is None else _Refused(entries[0], error)

    async def _judge_refused(self, enough: int) -> None:
        """Decide what samples were refused for, if the target works; it does not where `enough` are refused and none stored."""
        ours = [its for its in self._refused if isinstance(its.error, EnirisQueryError)]
        if not self._works and len(self._refused) - len(ours) >= enough:
            for its in ours:
                self._reject(its)
            self.uploader.note_refused_all()
        if self._works or enough == 1:
            refused, self._refused = self._refused, []
            for its in refused:
                if self._unknown([its.entry]):
                    await self._judge(its)

    async def _ask_witness(self) -> None:
        """Send the newest sample that the target has stored, or that waits: one that refuses that, too, refuses everything."""
        target, witness = self.batch.target, self.uploader.witness
        others = (
            [batches.make_batch(target, batches.regroup([witness]))] if witness else []
        )
        newest = await self.uploader.outbox.newest_waiting(target)
        if newest and max(newest.blocks[0].times) > self._entries[0].time_us:
            others.append(newest)
        for batch in others:
            self._requests += 1
            if await self.uploader.request(batch) is None:
                self._works = True
                return
        # It can be the witness' field alone that is refused by now
        if others and (witness is None or self.batch.newest.keys() == {witness.key}):
            self.uploader.note_refused_all()

    async def _judge(self, refused: _Refused) -> None:
        """Decide what a sample was refused for, now that the target is known to work."""
        entry, error = refused
        key, limit = entry.key, _latest()
        refused_once = self.uploader.refused_once
        can_be_time, is_ahead = is_about_time(error), entry.time_us > limit
        if can_be_time and not is_ahead:
            self.refused_until = max(entry.time_us, self.refused_until or 0)
        if isinstance(error, EnirisQueryError):
            self._reject(refused)
        elif can_be_time and (
            is_ahead or self.uploader.newest.get(key, 0) > entry.time_us
        ):
            await self._judge_time(refused, limit if is_ahead else None)
        elif before := refused_once.pop(key, None):
            self._result.recalled.append(before)
            self._result.blocked[key] = str(error)
        else:
            others = await batches.async_aside(
                len(self._entries), self._unknown, self._entries, key
            )
            second = next((its for its in others if its != entry), None)
            if second is not None and await self._send([second]) is not None:
                self._result.blocked[key] = str(error)
                return
            self._reject(refused)
            if second is None:
                refused_once[key] = self._result.rejects[-1]

    async def _judge_time(self, refused: _Refused, after: int | None) -> None:
        """Leave out all that is older or, dated by a clock that was wrong, `after` a time, if three of them are refused, too."""
        entry, error = refused
        alike = [
            other
            for other in await batches.async_aside(
                len(self._entries), self._unknown, self._entries
            )
            if other != entry
            and (
                other.time_us <= entry.time_us
                if after is None
                else other.time_us > after
            )
        ]
        for other in {*alike[:1], *alike[len(alike) // 2 :][:1], *alike[-1:]}:
            answer = await self._send([other])
            if answer is None or not is_about_time(answer):
                alike = []
                break
        if not alike or after is not None:
            for other in (entry, *alike):
                self._reject(_Refused(other, error))
            return
        self._too_old += [entry, *alike]
        self._too_old_reason = str(error)
        self._done.update(self._too_old)

    def _reject(self, refused: _Refused) -> None:
        self._done.add(refused.entry)
        self._result.rejects.append(Reject(refused.entry.sample, str(refused.error)))

    def _unknown(
        self, entries: Iterable[Entry], only: FieldKey | None = None
    ) -> list[Entry]:
        """Return those of some samples, or of one field, of which it is not known what becomes, in their order."""
        refused = {its.entry for its in self._refused}
        return [
            entry
            for entry in entries
            if entry not in self._done
            and entry not in refused
            and (key := entry.key) not in self._result.blocked
            and only in (None, key)
        ]

    async def _send(self, entries: Sequence[Entry]) -> EnirisError | None:
        """Send some of the samples; return why they are refused, None when they are stored. Raises `MustWait`."""
        if self._requests >= _REQUESTS:
            self.uploader.not_before = time.monotonic() + _PAUSE
            raise MustWait
        self._requests += 1
        blocks = await batches.async_aside(len(entries), batches.regroup, entries)
        batch = await batches.async_aside(
            len(entries), batches.make_batch, self.batch.target, blocks
        )
        error = await self.uploader.request(batch)
        if error is None:
            self._works = True
            self._stored.extend(entries)
            self._done.update(entries)
        return error


def _latest() -> int:
    """Return the latest time in microseconds that no wrong clock is needed for."""
    return batches.to_us(utcnow()) + _AHEAD


def is_about_time(error: EnirisError) -> bool:
    """Tell whether a refusal can be about a sample's time; a 409 is about that or about a type."""
    return isinstance(error, api.ConflictError) and not error.says("type")
