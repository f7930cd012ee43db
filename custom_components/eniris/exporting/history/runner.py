"""The runner: does one job chunk by chunk, with ids looked up for each; what was read while they changed is read again."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
import threading
import time
from typing import Final

from homeassistant.components.recorder.core import Recorder
from homeassistant.components.recorder.tasks import RecorderTask
from homeassistant.core import HomeAssistant
from homeassistant.helpers.recorder import get_instance

from ...recorder_access import async_read_recorder
from ..config import EPOCH, Export, Mode
from ..outbox.outbox import Outbox
from ..sampler import ExportedEntity
from ..uploader import Uploader
from .coverage import RecorderCoverage, read_coverage, read_entities
from .jobs import Job, Sending, save
from .recorder import Chunk, Reader, RecordedEntity, async_recorded_entities

SAMPLES_WANTED: Final = 2500
"""About what a chunk has: one request takes twice as much."""

_FIRST_LENGTH: Final = timedelta(hours=1)
_SHORTEST_LENGTH: Final = timedelta(minutes=1)
_LONGEST_LENGTH: Final = timedelta(days=30)

_COVERAGE_AGE: Final = 600.0
"""Seconds after which the coverage is read again, since the recorder deletes every night."""

_MISSING_FOR: Final = 600.0
"""Seconds for which a job waits for a missing entity, whose integration may be set up anew."""

_RECORDER_WAIT: Final = 600.0
"""Seconds in which the recorder has to come to what was asked of it."""


@dataclass(slots=True)
class _Marker(RecorderTask):
    """Tells when the recorder has done what it was asked before; `async_block_till_done` waits for no task that has begun."""

    reached: asyncio.Event

    def run(self, instance: Recorder) -> None:
        """Tell so."""
        instance.hass.loop.call_soon_threadsafe(self.reached.set)


@dataclass(slots=True, eq=False)
class JobRunner:
    """Does one job: reads what the recorder has, and has the uploader send it."""

    hass: HomeAssistant
    outbox: Outbox
    uploader: Uploader
    stopped: threading.Event
    export: Export
    exported: Sequence[ExportedEntity]
    sending: Sending
    oldest: datetime | None = None
    """From when on there is anything; None where nobody has looked yet."""
    wait: float = 0.0
    """Seconds to wait since the job has met an error of ours."""
    not_before: float = 0.0
    _coverage: RecorderCoverage | None = None
    _entities: list[RecordedEntity] = field(default_factory=list)
    _look_again_at: float = 0.0
    _missing_since: float | None = None
    _length: timedelta = _FIRST_LENGTH
    _cursor_on_disk: datetime | None = None

    async def run(self) -> bool:
        """Do the job; return whether it is over, False where it has to wait."""
        chunk: Chunk | None = None
        is_sent = await self._send()
        while is_sent and (coverage := await self._look()) is not None:
            if self._is_over(coverage):
                self.sending.job.finish()
                await self._save()
                return True
            if (chunk := chunk or await self._read()) is None:
                return False
            self.sending.put(chunk)
            is_sent, chunk = await asyncio.gather(self._send(), self._read())
        return False

    def _is_over(self, coverage: RecorderCoverage) -> bool:
        job, refused = self.sending.job, {key.field for key in self.sending.left_out}
        return (
            job.outside_until is not None
            or job.cursor <= _start(job, coverage)
            or refused.issuperset(exported.field for exported in self.export.fields)
        )

    async def _send(self) -> bool:
        """Send what waits of a job, and write that down; return whether all of it is through."""
        while before := self.sending.blocks:
            await self.uploader.async_upload_history(self.export.series.target)
            if self.sending.blocks is before:
                return False
        if self.sending.job.cursor != self._cursor_on_disk:
            await self._save()
        return True

    async def _save(self) -> None:
        its = self.sending
        await self.outbox.store.run(save, its)
        self.outbox.ledger.count_rejected(its.rejects, its.recalled)
        its.rejects, its.recalled, self._cursor_on_disk = [], [], its.job.cursor

    async def _look(self) -> RecorderCoverage | None:
        """Return what the recorder has under the present ids; None where an entity is missing that may come back soon."""
        while True:
            entities = async_recorded_entities(self.hass, self.exported)
            now = time.monotonic()
            if len(entities) == len(self.exported):
                self._missing_since = None
            else:
                self._missing_since = self._missing_since or now
                if now - self._missing_since < _MISSING_FOR:
                    return None
            if entities != self._entities:
                self._look_again_at = 0.0
            # Also where they are the same: what their states say is of now
            self._entities = entities
            if now < self._look_again_at:
                return self._coverage
            marker = _Marker(asyncio.Event())
            get_instance(self.hass).queue_task(marker)
            async with asyncio.timeout(_RECORDER_WAIT):
                await marker.reached.wait()
            ids = {entity.entity_id for entity in entities}
            self._coverage = await async_read_recorder(
                self.hass, read_coverage, self.hass, ids
            )
            self.oldest = self._coverage.oldest
            # Looked at once more, since an entity may have been renamed meanwhile
            self._look_again_at = time.monotonic() + _COVERAGE_AGE

    async def _read(self) -> Chunk | None:
        """Return what comes before the cursor, about as much as a chunk should have; None where nothing is to be had now."""
        job, policy = self.sending.job, self.export.policy
        cursor = job.cursor
        while (coverage := await self._look()) is not None:
            entities = self._entities
            if cursor <= _start(job, coverage):
                return None
            since = cursor - self._length
            if policy.mode is Mode.INTERVAL:
                since -= (since - EPOCH) % policy.interval
            since = max(since, job.start)
            reader = Reader(
                self.hass, self.export, entities, coverage, since, cursor, self.stopped
            )
            at_most = 2 * SAMPLES_WANTED if self._length > _SHORTEST_LENGTH else None
            chunk = await async_read_recorder(self.hass, reader.read, at_most)
            if chunk is None:
                self._length = max(self._length / 4, _SHORTEST_LENGTH)
            # The recorder may have deleted states since the coverage was read
            elif coverage.entities != await async_read_recorder(
                self.hass, read_entities, self.hass, list(coverage.entities)
            ):
                self._look_again_at = 0.0
            # What was renamed while it was read may not have been found under either id
            elif entities == async_recorded_entities(self.hass, self.exported):
                if len(chunk.samples) < SAMPLES_WANTED / 2:
                    self._length = min(self._length * 2, _LONGEST_LENGTH)
                return chunk
        return None


def _start(job: Job, coverage: RecorderCoverage) -> datetime:
    return max(job.start, coverage.oldest or job.end)
