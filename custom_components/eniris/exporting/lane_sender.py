"""The sender of the lower lane: one request of the past, and what a refusal of it means.

What is refused in the past comes in thousands: all that is older than the service takes, or all
of a field that it keeps with another type. So a refusal is looked into once, and not once for
each value.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
import logging

from ..api import ConflictError, WriteTarget
from .lane import FieldType, Lane, field_type
from .outbox import StoredSample
from .sender import Forget, Outcome, TargetState, more_careless

_LOGGER = logging.getLogger(__name__)

type Request = Callable[
    [WriteTarget, TargetState, list[StoredSample], Forget], Awaitable[Outcome]
]


@dataclass(frozen=True, slots=True)
class _SetAside:
    """A field with a type that the service refused from some time back, for all that is known."""

    time: datetime
    count: int
    reason: str
    type_conflict: bool


class LaneSender:
    """Sends what waits in the lower lane, the newest first."""

    def __init__(self, lane: Lane, request: Request) -> None:
        """Send by `request`, which takes nothing out of the outbox."""
        self._lane = lane
        self._request = request
        self._job_id = 0
        self._fields: dict[FieldType, bool] = {}
        self._careful: int | None = None
        """The most samples of a request after a refusal; grows until it does not matter."""
        self._unsettled: list[_SetAside] = []
        """What was set aside since the last success."""

    async def send_next(self, target: WriteTarget, state: TargetState) -> bool:
        """Send one request; return whether there may be more to send at once."""
        job_id, samples = await self._lane.batch(target, self._careful, state.size)
        if not samples:
            return False
        if job_id != self._job_id:
            self._job_id, self._careful, self._unsettled = job_id, None, []
            self._fields = await self._lane.fields(job_id)
        outcome = await self._send(target, state, samples)
        if outcome is Outcome.REFUSED:
            outcome = await self._isolate(target, state, samples)
        return outcome is not Outcome.LATER

    async def _send(
        self, target: WriteTarget, state: TargetState, samples: list[StoredSample]
    ) -> Outcome:
        outcome = await self._request(target, state, samples, self._note_stored)
        if outcome is Outcome.STORED:
            self._careful = more_careless(self._careful, len(samples))
        return outcome

    async def _note_stored(self, samples: list[StoredSample]) -> None:
        new = {
            field_type(sample.measurement, sample.field, sample.value)
            for sample in samples
        }
        new = {field for field in new if not self._fields.get(field)}
        await self._lane.delete_stored(self._job_id, samples, new)
        self._fields |= dict.fromkeys(new, True)
        # The service took something older, so that what it refused was not too old
        self._unsettled = []

    async def _isolate(
        self, target: WriteTarget, state: TargetState, samples: list[StoredSample]
    ) -> Outcome:
        """Find the newest sample that the service refuses, in log2(n) requests."""
        refused_alone = len(samples) == 1
        while len(samples) > 1:
            half = samples[: len(samples) // 2]
            outcome = await self._send(target, state, half)
            if outcome in (Outcome.LATER, Outcome.TOO_LARGE):
                return outcome
            samples = samples[len(half) :] if outcome is Outcome.STORED else half
            refused_alone = outcome is Outcome.REFUSED and len(samples) == 1
        self._careful = 1
        if not refused_alone:
            outcome = await self._send(target, state, samples)
            if outcome is not Outcome.REFUSED:
                return outcome
        await self._judge(state, samples[0])
        return Outcome.REFUSED

    async def _judge(self, state: TargetState, sample: StoredSample) -> None:
        """Do what the refusal of a sample by itself asks for.

        A field's type is fixed. Where the service has stored a newer value of the same type, it is
        the time that it refuses, and all that is older with it. Else it may be either,
        and the field is set aside with this type.
        """
        reason = str(state.refusal)
        if not isinstance(state.refusal, ConflictError):
            await self._lane.reject(self._job_id, sample, reason)
            return
        field = field_type(sample.measurement, sample.field, sample.value)
        if self._fields.get(field) or field in state.stored_fields:
            await self._end(sample.time, reason)
            return
        count = await self._lane.set_field_aside(self._job_id, field, reason)
        self._fields[field] = False
        self._unsettled.append(
            _SetAside(sample.time, count, reason, state.refusal.says("type"))
        )
        _LOGGER.info(
            "Eniris refuses past values of field %s in %s from %s back; they are left out,"
            " other fields go on: %s",
            sample.field,
            sample.measurement,
            sample.time.isoformat(),
            reason,
        )

    async def settle(self, job_id: int) -> None:
        """Decide, at the end of a job, what the last refusals were about."""
        if job_id == self._job_id and (too_old := self._too_old()):
            await self._end(too_old[0].time, too_old[-1].reason)

    def _too_old(self) -> list[_SetAside]:
        return [aside for aside in self._unsettled if not aside.type_conflict]

    async def _end(self, time: datetime, reason: str) -> None:
        # What was set aside just before is newer than this and was refused for the same reason
        too_old = self._too_old()
        await self._lane.end_outside(
            self._job_id,
            max((aside.time for aside in too_old), default=time),
            reason,
            sum(aside.count for aside in too_old),
        )
        self._unsettled = []
