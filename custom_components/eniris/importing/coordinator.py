"""The coordinators: metadata seldom, telemetry often."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ConfigEntryAuthFailed
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator, UpdateFailed
from homeassistant.util import dt as dt_util

from ..api import (
    EnirisConnectionError,
    EnirisError,
    FieldValue,
    QueryCost,
    RateLimitedError,
    ReauthenticationRequiredError,
    Session,
    StatementResult,
)
from ..const import DEVICE_INTERVAL, DOMAIN, LOGGER, TELEMETRY_INTERVAL
from .nodes import Node, build_nodes
from .plan import FieldKey, PlannedQuery, plan_queries

_RETRY_INTERVAL: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Nodes:
    """The account's nodes by id, each after the one above it."""

    by_id: dict[str, Node] = field(default_factory=dict)
    skipped: int = 0
    """Devices in the metadata that have no node id and so make no node."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A value as the service stored it, and when."""

    time: datetime
    value: FieldValue


class _EnirisCoordinator[DataT](DataUpdateCoordinator[DataT]):
    """Maps the client's exceptions to Home Assistant's, and waits as long as the server says."""

    config_entry: ConfigEntry[Any]
    normal_interval: timedelta

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry[Any],
        session: Session,
        name: str,
        interval: timedelta,
    ) -> None:
        """Poll over `session` every `interval`."""
        super().__init__(
            hass,
            LOGGER,
            config_entry=entry,
            name=f"{entry.title} {name}",
            update_interval=interval,
            always_update=False,
        )
        self.session = session
        self.normal_interval = interval

    @asynccontextmanager
    async def _errors_mapped(self) -> AsyncIterator[None]:
        """Raise what a coordinator may raise, with words that the user can read."""
        # Until this has gone well
        self.update_interval = min(self.normal_interval, _RETRY_INTERVAL)
        try:
            yield
        except ReauthenticationRequiredError as err:
            raise ConfigEntryAuthFailed(
                translation_domain=DOMAIN, translation_key="authentication_failed"
            ) from err
        except RateLimitedError as err:
            self.update_interval = max(
                self.update_interval, timedelta(seconds=err.retry_after or 0)
            )
            raise UpdateFailed(
                translation_domain=DOMAIN,
                translation_key="rate_limited",
                translation_placeholders={
                    "seconds": f"{self.update_interval.total_seconds():.0f}"
                },
            ) from err
        except EnirisConnectionError as err:
            raise UpdateFailed(
                translation_domain=DOMAIN,
                translation_key="cannot_connect",
                translation_placeholders={"error": str(err)},
            ) from err
        except EnirisError as err:
            raise UpdateFailed(
                translation_domain=DOMAIN,
                translation_key="unexpected_answer",
                translation_placeholders={"error": str(err)},
            ) from err
        self.update_interval = self.normal_interval


class NodeCoordinator(_EnirisCoordinator[Nodes]):
    """Keeps the account's nodes; an unchanged fleet costs an empty answer."""

    def __init__(
        self, hass: HomeAssistant, entry: ConfigEntry[Any], session: Session
    ) -> None:
        """Start with no node, so that whoever looks before the first answer finds none."""
        super().__init__(hass, entry, session, "devices", DEVICE_INTERVAL)
        self.data = Nodes()
        self._skip_hash: str | None = None

    async def _async_update_data(self) -> Nodes:
        async with self._errors_mapped():
            answer = await self.session.query_devices(skip_hash=self._skip_hash)
        if answer is None:
            return self.data
        self._skip_hash = answer.skip_hash
        return Nodes(build_nodes(answer.devices), answer.skipped)


class TelemetryCoordinator(_EnirisCoordinator[dict[FieldKey, Reading]]):
    """Keeps the newest reading of every catalogued field that has a current one."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry[Any],
        session: Session,
        nodes: NodeCoordinator,
    ) -> None:
        """Read what `nodes` announces."""
        super().__init__(hass, entry, session, "telemetry", TELEMETRY_INTERVAL)
        self.data = {}
        self.cost = QueryCost()
        self._nodes = nodes
        self._planned_for: Nodes | None = None
        self._plan: list[PlannedQuery] = []
        self._failing: set[PlannedQuery] = set()
        self._rare: set[FieldKey] = set()

    async def _async_update_data(self) -> dict[FieldKey, Reading]:
        nodes = self._nodes.data
        if nodes is not self._planned_for:
            self._plan = plan_queries(nodes.by_id.values(), self._rare)
            self._planned_for = nodes
            self._failing.intersection_update(self._plan)
        if not self._plan:
            return {}
        now = dt_util.utcnow()
        async with self._errors_mapped():
            answer = await self.session.query_telemetry(
                [planned.query(now) for planned in self._plan]
            )
        self.cost = answer.cost
        readings: dict[FieldKey, Reading] = {}
        for planned, result in zip(self._plan, answer.results, strict=True):
            self._note_failure(planned, result)
            if result.error is not None:
                continue
            newest = _newest(result)
            self._note_rare(planned, newest)
            oldest = now - max(planned.window, 2 * self.normal_interval)
            readings.update(self._read(planned, newest, oldest))
        return readings

    def _read(
        self,
        planned: PlannedQuery,
        newest: dict[str, Reading],
        oldest: datetime,
    ) -> dict[FieldKey, Reading]:
        """Return the newest reading of each field, of this answer or of an earlier one."""
        readings: dict[FieldKey, Reading] = {}
        for key in planned.field_keys():
            reading = newest.get(key.field) or self.data.get(key)
            if reading is not None and reading.time >= oldest:
                readings[key] = reading
        return readings

    def _note_rare(self, planned: PlannedQuery, newest: dict[str, Reading]) -> None:
        """Plan anew where the rows of a series have shown no value of one of its fields."""
        rare = {
            key
            for key in planned.field_keys()
            if newest and key.field not in newest and key not in self._rare
        }
        if rare:
            self._rare |= rare
            self._planned_for = None

    def _note_failure(self, planned: PlannedQuery, result: StatementResult) -> None:
        """Log a query that the server refuses when that starts and when it ends."""
        if result.error is not None and planned not in self._failing:
            self._failing.add(planned)
            LOGGER.warning(
                "Eniris refuses %s of node %s: %s",
                planned.series.measurement,
                planned.node_id,
                result.error,
            )
        elif result.error is None and planned in self._failing:
            self._failing.discard(planned)
            LOGGER.info(
                "Eniris answers again for %s of node %s",
                planned.series.measurement,
                planned.node_id,
            )


def _newest(result: StatementResult) -> dict[str, Reading]:
    """Return the newest reading of each field of an answer."""
    newest: dict[str, Reading] = {}
    for series in result.series:
        for name, (time, value) in series.newest().items():
            if name not in newest or time > newest[name].time:
                newest[name] = Reading(time, value)
    return newest
