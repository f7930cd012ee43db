"""The runner: does one job chunk by chunk, under the ids that its entities have at each moment.

While one chunk goes up the next is read, and there are never more than these two: a year of history fills neither the
memory nor the disk. An entity can be renamed, removed or set up anew at any time, and the recorder renames what it has
a little later than the registry. So the ids are looked up for each chunk, and what was read while they changed is read
again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
import threading
import time
from typing import Final

from homeassistant.components.recorder.core import Recorder
from homeassistant.components.recorder.tasks import RecorderTask
from homeassistant.core import HomeAssistant
from homeassistant.helpers.recorder import get_instance

from ...recording import async_read_recorder
from ..config import EPOCH, Export, Mode
from ..outbox.limits import Limits, used_bytes
from ..sampler import ExportedEntity
from ..uploader import Uploader
from .coverage import RecorderCoverage, read_coverage, read_entities
from .jobs import HistoryQueue, Job, add_chunk, go_on, load_jobs, load_refused
from .recorder import Chunk, Reader, RecordedEntity, async_recorded_entities

SAMPLES_WANTED: Final = 2500
"""About what a chunk has: one request takes twice as much."""

_FIRST_LENGTH: Final = timedelta(hours=1)
_SHORTEST_LENGTH: Final = timedelta(minutes=1)
_LONGEST_LENGTH: Final = timedelta(days=30)

_ROOM: Final = 0.8
"""How full the outbox may be for the past to be put in, as a share of its limit."""

_COVERAGE_AGE: Final = 600.0
"""Seconds after which the coverage is read again, since the recorder deletes every night."""

_MISSING_FOR: Final = 600.0
"""Seconds for which a job waits for a missing entity, whose integration may be set up anew."""

_RECORDER_WAIT: Final = 600.0
"""Seconds in which the recorder has to come to what was asked of it."""


@dataclass(slots=True)
class _Marker(RecorderTask):
    """Tells when the recorder has done what was asked of it before.

    Its own `async_block_till_done` does not wait for a task that has begun.
    """

    reached: asyncio.Event

    def run(self, instance: Recorder) -> None:
        """Tell so."""
        instance.hass.loop.call_soon_threadsafe(self.reached.set)


@dataclass(slots=True, eq=False)
class JobRunner:
    """Does one job: puts what the recorder has into a queue, from where the uploader sends it."""

    hass: HomeAssistant
    queue: HistoryQueue
    uploader: Uploader
    limits: Limits
    stopped: threading.Event
    """Set to end a reading that is under way."""
    export: Export | None
    """Without one, since its settings cannot be read, goes up what waits already."""
    exported: Sequence[ExportedEntity]
    """The fields of the export."""
    oldest: datetime | None = None
    """From when on there is anything; None where nobody has looked yet."""
    wait: float = 0.0
    """Seconds to wait since the job has met an error of ours."""
    not_before: float = 0.0
    """When to try again; monotonic."""
    _coverage: RecorderCoverage | None = None
    _entities: list[RecordedEntity] = field(default_factory=list)
    """Those of `_coverage`."""
    _look_again_at: float = 0.0
    _missing_since: float | None = None
    _length: timedelta = _FIRST_LENGTH
    """How long a time makes a chunk."""

    async def run(self, job: Job) -> bool:
        """Do the job; return whether it is over, False where it has to wait."""
        targets = await self.queue.waiting(job)
        if not await self._send(job) or self.export is None:
            return False
        if targets and self.export.series.target not in targets:
            await self.queue.outbox.store.run(go_on, job.id)
        ahead: Chunk | None = None
        while jobs := await self.queue.outbox.store.read(load_jobs, job.id):
            [job] = jobs
            if (coverage := await self._look()) is None:
                return False
            if (
                job.outside_until is not None
                or job.cursor <= _start(job, coverage)
                or await self._is_refused(self.export, job)
            ):
                break
            if (chunk := ahead or await self._read(self.export, job)) is None:
                return False
            ahead = None
            if await self.queue.outbox.store.run(add_chunk, job, chunk):
                job = replace(job, cursor=chunk.since)
                is_sent, ahead = await asyncio.gather(
                    self._send(job), self._read(self.export, job)
                )
                if not is_sent:
                    return False
        return True

    async def _send(self, job: Job) -> bool:
        """Send what waits of a job; return whether all of it is through."""
        before = None
        while waiting := await self.queue.waiting(job):
            if waiting == before:
                return False
            for target in waiting:
                await self.uploader.async_upload_history(target)
            before = waiting
        return True

    async def _is_refused(self, export: Export, job: Job) -> bool:
        """Tell whether the service takes nothing at all of an export's past."""
        ours = (export.series.target, export.series.measurement)
        keys = await self.queue.outbox.store.read(load_refused, job.id)
        names = {key.field for key in keys if (key.target, key.measurement) == ours}
        return names.issuperset(exported.field for exported in export.fields)

    async def _look(self) -> RecorderCoverage | None:
        """Return what the recorder has of the entities under their present ids.

        None where one is missing that may come back soon; the others wait no longer for it.
        """
        while True:
            entities = async_recorded_entities(self.hass, self.exported)
            now = time.monotonic()
            if len(entities) == len(self.exported):
                self._missing_since = None
            elif self._missing_since is None:
                self._missing_since = now
            if self._missing_since is not None:
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

    async def _read(self, export: Export, job: Job) -> Chunk | None:
        """Return what comes before the cursor of a job, about as much as a chunk should have.

        None where there is nothing, or nothing can be read or put in at present.
        """
        while (coverage := await self._look()) is not None:
            entities = self._entities
            size = await self.queue.outbox.store.read(used_bytes)
            if job.cursor <= _start(job, coverage) or size > self.limits.size * _ROOM:
                return None
            since = job.cursor - self._length
            if export.policy.mode is Mode.INTERVAL:
                since -= (since - EPOCH) % export.policy.interval
            reader = Reader(
                self.hass,
                export,
                entities,
                coverage,
                max(since, job.start),
                job.cursor,
                self.stopped,
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
    """Return from when on there may be anything of a job."""
    return max(job.start, coverage.oldest or job.end)
