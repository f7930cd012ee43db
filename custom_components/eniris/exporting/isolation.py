"""Isolation: what a refused request was refused for, found with few requests.

A refusal concerns a sample only when samples beside it are stored. When nothing is, the target has a problem, and
everything is kept. So each search begins with what the target takes, and halves what it does not.
"""

from collections.abc import Iterable, Sequence
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from homeassistant.util.dt import utcnow

from ..api import (
    ConflictError,
    EnirisError,
    EnirisQueryError,
    PayloadTooLargeError,
    WriteTarget,
)
from .outbox.batches import (
    Batch,
    Entry,
    FieldKey,
    Reject,
    Settlement,
    TooOld,
    from_us,
    make_batch,
    regroup,
    to_us,
)
from .source import async_aside

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
    """A sample that was refused by itself, and why."""

    entry: Entry
    error: EnirisError

    @property
    def was_sent(self) -> bool:
        """Whether the service has refused it, and not we ourselves."""
        return not isinstance(self.error, EnirisQueryError)


class Isolation:
    """One search; its result says of each sample of a batch what became of it."""

    def __init__(self, uploader: "TargetUploader", batch: Batch) -> None:
        """Search in a batch that was refused as a whole."""
        self._uploader = uploader
        self._batch = batch
        self._entries: list[Entry] = []
        """Its samples, the newest first."""
        self._done: set[Entry] = set()
        self._stored: list[Entry] = []
        self._too_old: list[Entry] = []
        self._too_old_reason = ""
        self._requests = 0
        self._works = False
        """Whether the target took anything since the batch was refused."""
        self._refused: list[_Refused] = []
        """What was refused by itself, until it is known that the target works."""
        self._result = Settlement()
        self.must_wait = False
        """Whether the search could not be ended, since the target must wait."""
        self.refused_until: int | None = None
        """The newest time in microseconds of what may have been refused for its age."""

    async def run(self, error: EnirisError) -> Settlement:
        """Search for what the batch was refused with `error` for, and return what became of it."""
        self._entries = await async_aside(len(self._batch), _newest_first, self._batch)
        try:
            await self._search(error)
        except MustWait:
            self.must_wait = True
        return await async_aside(len(self._batch), self._settlement)

    def _settlement(self) -> Settlement:
        result = self._result
        result.stored = regroup(self._stored)
        result.remaining = regroup(
            entry for entry in self._batch.entries if entry not in self._done
        )
        if self._too_old:
            until = from_us(max(entry.time_us for entry in self._too_old))
            result.too_old = TooOld(until, self._too_old_reason, regroup(self._too_old))
        return result

    async def _search(self, error: EnirisError | None) -> None:
        if isinstance(error, PayloadTooLargeError):
            await self._sift(self._entries, error)
            return
        if await self._is_known_too_old():
            return
        probe = await async_aside(len(self._entries), _one_of_each, self._entries)
        refuses_all = self._uploader.refuses_all
        if len(probe) < len(self._entries):
            error = None if refuses_all else await self._send(probe)
        if error is not None or refuses_all:
            await self._ask_witness()
            # Others first each time, or the same few would hide for ever what is taken
            turn = _SINGLES_AGAIN * self._uploader.failures % len(probe)
            await self._sift(probe[turn:] + probe[:turn], error)
        await self._sift(self._entries, None)

    async def _sift(self, entries: Sequence[Entry], error: EnirisError | None) -> None:
        """Store what is taken of some samples, and find out what the others are refused for.

        `error` is what they were refused with, None where they were not sent together. A few are sent one
        by one, and while nothing says that the target works all are, and nothing is concluded.
        """
        while rest := await async_aside(len(entries), self._unknown, entries):
            group = rest if self._works and len(rest) > _SINGLES else rest[:1]
            if error is None or len(group) < len(entries):
                error = await self._send(group)
            if error is not None:
                refused = await self._newest_refused(group, error)
                self._refused += [refused] if refused else []
                error = None
            await self._judge_refused(
                _SINGLES_AGAIN if self._uploader.refuses_all else _SINGLES
            )
        await self._judge_refused(1)

    async def _judge_refused(self, enough: int) -> None:
        """Decide what samples were refused for, if the target works; it does not where `enough` are refused and none stored."""
        if not self._works and sum(its.was_sent for its in self._refused) >= enough:
            for its in self._refused:
                if not its.was_sent:
                    self._reject(its)
            self._uploader.note_refused_all()
        if self._works or enough == 1:
            refused, self._refused = self._refused, []
            for its in refused:
                if self._unknown([its.entry]):
                    await self._judge(its)

    async def _is_known_too_old(self) -> bool:
        """Tell of a batch that is older than what was refused for its age, at the cost of two requests."""
        until = self._uploader.too_old_until
        entry = self._entries[0]
        if until is None or entry.time_us > until:
            return False
        error = await self._send([entry])
        if error is None or not is_about_time(error):
            return False
        await self._ask_witness()
        if self._works:
            self._find_too_old(self._entries, error)
        return self._works

    async def _ask_witness(self) -> None:
        """Send what the target should take: one that refuses that, too, refuses everything.

        That is the newest sample that it has stored, since to send it again changes nothing, or the newest that waits.
        """
        if self._works:
            return
        target, witness = self._batch.target, self._uploader.witness
        others = [make_batch(target, regroup([witness]))] if witness else []
        newest = await self._uploader.outbox.newest_waiting(target)
        if newest is not None and (
            max(newest.blocks[0].times) > self._entries[0].time_us
        ):
            others.append(newest)
        for batch in others:
            self._requests += 1
            if await self._uploader.request(batch) is None:
                self._works = True
                return
        # It can be the witness' field alone that is refused by now
        if others and (witness is None or self._batch.newest.keys() == {witness.key}):
            self._uploader.note_refused_all()

    async def _judge(self, refused: _Refused) -> None:
        """Decide what a sample was refused for, now that the target is known to work."""
        entry, error = refused
        key = entry.key
        refused_once = self._uploader.refused_once
        can_be_time = is_about_time(error)
        if can_be_time and entry.time_us <= _latest():
            self.refused_until = max(entry.time_us, self.refused_until or 0)
        if not refused.was_sent:
            self._reject(refused)
        elif can_be_time and (
            entry.time_us > _latest()
            or self._uploader.newest.get(key, 0) > entry.time_us
        ):
            if not await self._judge_time(refused):
                self._reject(refused)
        elif before := refused_once.pop(key, None):
            self._result.recalled.append(before)
            self._result.blocked[key] = str(error)
        elif (
            second := await async_aside(len(self._entries), self._next_of, entry)
        ) is None:
            self._reject(refused)
            refused_once[key] = self._result.rejects[-1]
        elif await self._send([second]) is None:
            self._reject(refused)
        else:
            self._result.blocked[key] = str(error)

    async def _judge_time(self, refused: _Refused) -> bool:
        """Tell whether all are refused that are older, or dated ahead by a clock that was wrong; try three of them."""
        entry, limit = refused.entry, _latest()
        is_ahead = entry.time_us > limit
        alike = await async_aside(
            len(self._entries), self._alike, entry, limit if is_ahead else None
        )
        if not alike:
            return False
        for other in {alike[0], alike[len(alike) // 2], alike[-1]}:
            if not await self._has_wrong_time(other):
                return False
        if is_ahead:
            for other in (entry, *alike):
                self._reject(_Refused(other, refused.error))
        else:
            self._find_too_old([entry, *alike], refused.error)
        return True

    def _alike(self, entry: Entry, after: int | None) -> list[Entry]:
        """Return the other samples that are newer than a time or, without one, not newer than `entry`."""
        return [
            other
            for other in self._unknown(self._entries)
            if other != entry
            and (
                other.time_us <= entry.time_us
                if after is None
                else other.time_us > after
            )
        ]

    async def _has_wrong_time(self, entry: Entry) -> bool:
        error = await self._send([entry])
        return error is not None and is_about_time(error)

    def _find_too_old(self, entries: Iterable[Entry], error: EnirisError) -> None:
        self._too_old.extend(entries)
        self._too_old_reason = str(error)
        self._done.update(self._too_old)
        newest = max(entry.time_us for entry in self._too_old)
        until = self._uploader.too_old_until
        self._uploader.too_old_until = max(newest, until or newest)
        self.refused_until = max(newest, self.refused_until or 0)

    def _reject(self, refused: _Refused) -> None:
        self._done.add(refused.entry)
        self._result.rejects.append(Reject(refused.entry.sample, str(refused.error)))

    def _unknown(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return those of some samples of which it is not known what becomes, in their order."""
        refused = {its.entry for its in self._refused}
        return [
            entry
            for entry in entries
            if entry not in self._done
            and entry not in refused
            and entry.key not in self._result.blocked
        ]

    def _next_of(self, entry: Entry) -> Entry | None:
        """Return the newest other sample of a field that is not stored."""
        others = self._unknown(self._entries)
        return next(
            (its for its in others if its != entry and its.key == entry.key), None
        )

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

    async def _send(self, entries: Sequence[Entry]) -> EnirisError | None:
        """Send some of the samples; return why they are refused, None when they are stored. Raises `MustWait`."""
        if self._requests >= _REQUESTS:
            self._uploader.not_before = time.monotonic() + _PAUSE
            raise MustWait
        self._requests += 1
        batch = await async_aside(
            len(entries), _make_batch, self._batch.target, entries
        )
        error = await self._uploader.request(batch)
        if error is None:
            self._works = True
            self._stored.extend(entries)
            self._done.update(entries)
        return error


def _newest_first(batch: Batch) -> list[Entry]:
    return sorted(batch.entries, key=lambda entry: -entry.time_us)


def _one_of_each(entries: Iterable[Entry]) -> list[Entry]:
    """Return the newest sample of each field; what a wrong clock has dated ahead stands for none that has others."""
    limit = _latest()
    newest: dict[FieldKey, Entry] = {}
    for entry in sorted(entries, key=lambda entry: entry.time_us > limit):
        newest.setdefault(entry.key, entry)
    return list(newest.values())


def _make_batch(target: WriteTarget, entries: Iterable[Entry]) -> Batch:
    return make_batch(target, regroup(entries))


def _latest() -> int:
    """Return the latest time in microseconds that no wrong clock is needed for."""
    return to_us(utcnow()) + _AHEAD


def is_about_time(error: EnirisError) -> bool:
    """Tell whether a refusal can be about a sample's time; a 409 is about that or about a type."""
    return isinstance(error, ConflictError) and not error.says("type")
