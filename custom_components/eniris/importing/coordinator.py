"""The coordinators: metadata seldom, telemetry often."""

from abc import abstractmethod
import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
import time
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryAuthFailed, HomeAssistantError
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_call_later
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator, UpdateFailed
from homeassistant.util import dt as dt_util
from homeassistant.util.hass_dict import HassKey

from ..api import (
    EnirisConnectionError,
    EnirisError,
    FieldValue,
    RateLimitedError,
    ReauthenticationRequiredError,
    Session,
    without_frames,
)
from ..const import DEVICE_INTERVAL, DOMAIN, LOGGER
from .budget.poll_rate import PollRate
from .key_notifier import KeyNotifier
from .nodes import Nodes, build_nodes
from .plan import FieldKey, Learned, Preference
from .poll import Poll, Reading
from .totals import async_totals

_RETRY_INTERVAL: Final = timedelta(minutes=1)
_LONGEST_WAIT: Final = 24 * 3600
_DOUBT_INTERVAL: Final = timedelta(seconds=10)
"""Between polls that have to tell which clock is wrong."""

_ISSUES: Final = ("budget", "clock", "sites")
"""The repair issues of an account that is read. Each goes away by itself."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What of an account is read, and how often."""

    interval: timedelta = timedelta(seconds=60)
    preference: Preference = Preference.FRESHEST
    sites: frozenset[str] = frozenset()
    """Node ids of the sites that are wanted; none means all."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What an account knew when it was unloaded, for when it is loaded again."""

    nodes: Nodes = field(default_factory=Nodes)
    readings: dict[FieldKey, Reading] = field(default_factory=dict)
    learned: dict[FieldKey, Learned] = field(default_factory=dict)


KEPT: HassKey[dict[str, Kept]] = HassKey(f"{DOMAIN}_kept")
"""By entry id. A reload must not cost the states until the next answer."""


@callback
def async_forget_account(hass: HomeAssistant, entry_id: str) -> None:
    """Forget what is kept of an account that is removed or disabled, and withdraw its issues."""
    hass.data.get(KEPT, {}).pop(entry_id, None)
    for kind in _ISSUES:
        ir.async_delete_issue(hass, DOMAIN, f"{kind}_{entry_id}")


class _EnirisCoordinator[DataT](DataUpdateCoordinator[DataT]):
    """Maps the client's exceptions to Home Assistant's, and waits as long as the server says.

    Of the two of an account, the one that meets an outage first lets Home Assistant log it.
    """

    config_entry: ConfigEntry[Any]

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry[Any],
        session: Session,
        name: str,
        interval: timedelta,
    ) -> None:
        """Poll over `session` every `interval`. The log names what is polled, not the account."""
        super().__init__(
            hass,
            LOGGER,
            config_entry=entry,
            name=f"Eniris {name}",
            update_interval=interval,
        )
        self.session = session
        self.normal_interval = interval
        self.other: _EnirisCoordinator[Any] = self
        """The one that polls something else of the same account."""
        self._is_untold = False
        """Whether the last poll failed while the other one's failure was logged already."""
        self._not_before = 0.0
        self._polling = asyncio.Lock()

    @abstractmethod
    async def _async_read(self) -> DataT:
        """Return what is new, and set the time until the next poll; raises `EnirisError`."""

    async def _async_update_data(self) -> DataT:
        # A refresh by hand may come in the middle of a scheduled one
        async with self._polling:
            # Until this has gone well
            self.update_interval = min(self.normal_interval, _RETRY_INTERVAL)
            try:
                if (left := self.seconds_to_wait) > 0:
                    # Whoever wants to ask, the button for one
                    raise RateLimitedError(
                        429, "still to be waited for", retry_after=left
                    )
                data = await self._async_read()
            except EnirisError as err:
                # Home Assistant logs that a poll fails where the one before has succeeded
                if self.last_update_success or self._is_untold:
                    self._is_untold = not self.other.last_update_success
                    self.last_update_success = not self._is_untold
                raise self._failure(err) from err
        # And that it succeeds where the one before has failed
        self.last_update_success |= self._is_untold
        self._is_untold = False
        if self.last_exception is not None:
            # Home Assistant keeps it for good
            without_frames(self.last_exception)
        return data

    def _failure(self, err: EnirisError) -> HomeAssistantError:
        """Return what a coordinator may raise, with words that the user can read."""
        key, placeholders = "unexpected_answer", {"error": str(err)}
        if isinstance(err, ReauthenticationRequiredError):
            return ConfigEntryAuthFailed(
                translation_domain=DOMAIN, translation_key="authentication_failed"
            )
        if isinstance(err, RateLimitedError):
            # Home Assistant's timers may fire within the second before
            wait = timedelta(seconds=1 + self.wait(err.retry_after))
            self.update_interval = max(self.update_interval or wait, wait)
            seconds = f"{self.update_interval.total_seconds():.0f}"
            key, placeholders = "rate_limited", {"seconds": seconds}
        elif isinstance(err, EnirisConnectionError):
            key = "cannot_connect"
        return UpdateFailed(
            translation_domain=DOMAIN,
            translation_key=key,
            translation_placeholders=placeholders,
        )

    @property
    def seconds_to_wait(self) -> float:
        """For how long the service wants not to be asked."""
        return max(0.0, self._not_before - time.monotonic())

    def wait(self, seconds: float | None) -> float:
        """Ask nothing for as long as the service wants, a day at most; return for how long that is."""
        until = time.monotonic() + min(seconds or 0, _LONGEST_WAIT)
        # Of two that ask at the same time each is told its own
        self._not_before = max(self._not_before, until)
        return self.seconds_to_wait

    @callback
    def _tell(self, issue: str, **placeholders: str) -> None:
        """Raise a repair issue, or withdraw it where a placeholder is empty."""
        issue_id = f"{issue}_{self.config_entry.entry_id}"
        if not all(placeholders.values()):
            ir.async_delete_issue(self.hass, DOMAIN, issue_id)
            return
        ir.async_create_issue(
            self.hass,
            DOMAIN,
            issue_id,
            is_fixable=False,
            severity=ir.IssueSeverity.WARNING,
            translation_key=issue,
            translation_placeholders={
                "account": self.config_entry.title,
                **placeholders,
            },
        )


class NodeCoordinator(_EnirisCoordinator[Nodes]):
    """Keeps the account's nodes; an unchanged fleet costs an empty answer."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry[Any],
        session: Session,
        options: ImportOptions,
        kept: Kept,
    ) -> None:
        """Start with the nodes that were kept, none after a start of Home Assistant."""
        super().__init__(hass, entry, session, "devices", DEVICE_INTERVAL)
        self._sites = options.sites
        self.data = kept.nodes.chosen(self._sites)
        self.answers = 0
        """How often the service has told what there is, changed or not."""
        self._skip_hash: str | None = None

    async def _async_read(self) -> Nodes:
        answer = await self.session.query_devices(skip_hash=self._skip_hash)
        self.update_interval = self.normal_interval
        self.answers += 1
        if answer is None:
            return self.data
        self._skip_hash = answer.skip_hash
        every = await self.hass.async_add_executor_job(build_nodes, answer.devices)
        listed = frozenset(device.node_id for device in answer.devices)
        nodes = Nodes({}, every, answer.skipped, listed).chosen(self._sites)
        # An answer that is empty by mistake says nothing
        gone = nodes.missing_sites if listed else ()
        self._tell("sites", sites=", ".join(sorted(gone)))
        return nodes


class TelemetryCoordinator(_EnirisCoordinator[dict[FieldKey, Reading]]):
    """Keeps the newest reading of every field that has one, and the totals of energy."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry[Any],
        session: Session,
        options: ImportOptions,
        nodes: NodeCoordinator,
        kept: Kept,
    ) -> None:
        """Read what `nodes` announces; show the readings that were kept until they are too old."""
        super().__init__(hass, entry, session, "telemetry", options.interval)
        self.data = kept.readings
        self.pace = PollRate(options.interval)
        self.poll = Poll(session, self.pace, options.preference, kept.learned)
        self.totals = async_totals(hass, entry.entry_id)
        self.clock = self.totals.clock
        self.notifier = KeyNotifier(hass)
        self.last_read: datetime | None = None
        """When a poll has succeeded for the last time, by the service's clock."""
        self._nodes = nodes
        self.other, nodes.other = nodes, self
        self._forget_expiry: CALLBACK_TYPE = lambda: None

    async def async_start(self) -> None:
        """Show what was kept, and poll until the account is unloaded, entities or not."""
        for on_unload in (
            self.async_add_listener(lambda: None),
            self.totals.async_save,
            self._async_keep,
        ):
            self.config_entry.async_on_unload(on_unload)
        await self.poll.async_plan(self._nodes.data)
        # Without those of a site that is not chosen any more
        self.data = self.poll.planned(self.data)
        self._async_look_for_changes()

    @callback
    def _async_keep(self) -> None:
        self._forget_expiry()
        if self.config_entry.disabled_by is not None:
            return
        kept = Kept(self._nodes.data, self.data, self.poll.learned)
        self.hass.data.setdefault(KEPT, {})[self.config_entry.entry_id] = kept

    @property
    def is_connected(self) -> bool | None:
        """Whether the last polls of devices and telemetry succeeded, None before the first."""
        if not (self.last_update_success and self._nodes.last_update_success):
            return False
        return True if self._nodes.answers else None

    @property
    def counts(self) -> dict[str, int]:
        """How much is asked for, and what of it is not to be had."""
        return {
            "queries": len(self.poll.queries),
            "refused_queries": len(self.poll.refused),
            "fields_asked_for": len(self.poll.descriptions),
            "fields_seldom_written": sum(
                its.is_rare for its in self.poll.learned.values()
            ),
            "totals": len(self.totals.wanted),
        }

    def is_available(self, key: FieldKey) -> bool:
        """Tell whether there is a reading that says something of the present."""
        reading = self.data.get(key)
        return (
            reading is not None and self.clock.now() - reading.time <= reading.valid_for
        )

    def value(self, key: FieldKey) -> FieldValue | None:
        """Return the value of a field as the service has it, or its total in Wh."""
        if key in self.totals.wanted:
            return self.totals.value(key)
        reading = self.data.get(key)
        return None if reading is None else reading.value

    async def async_refresh(self) -> None:
        """Read everything now."""
        self.poll.ask_all()
        await super().async_refresh()

    async def _async_update_data(self) -> dict[FieldKey, Reading]:
        try:
            return await super()._async_update_data()
        finally:
            # After the coordinator has adopted the data; also when it has not, since
            # readings grow old
            self.hass.loop.call_soon(self._async_look_for_changes)

    async def _async_read(self) -> dict[FieldKey, Reading]:
        await self.poll.async_plan(self._nodes.data)
        now, was_right = self.clock.now(), not self.clock.offset
        counting = self.totals.queries(self._nodes.data.by_id, dt_util.utcnow())
        if not self.poll.queries and not counting:
            # It costs nothing to look soon whether there are nodes now
            return {}
        # An entity that is disabled has had its value, and listens no more
        unwanted = self.data.keys() - self.notifier.listened
        answer = await self.poll.async_ask(counting, unwanted, now)
        self.update_interval = self.pace.between_polls
        self.totals.take(answer.sums, dt_util.utcnow(), answer.time)
        if was_right == bool(self.clock.offset):
            # What was asked for by a wrong clock says nothing of the retention policies
            self.poll.try_again()
        wanted = f"{self.pace.wanted.total_seconds():.0f}"
        self._tell("budget", wanted=wanted if self.pace.is_slowed else "")
        offset = abs(self.clock.offset)
        self._tell("clock", seconds=str(offset) if offset else "")
        if self.clock.may_be_behind:
            # The newest row before a time that has passed long ago says nothing of the present
            self.update_interval = min(self.update_interval, _DOUBT_INTERVAL)
            self.poll.ask_all()
            return self.poll.planned(self.data)
        readings = await self.poll.async_read(answer, self.data, now)
        self.last_read = now
        # The nodes may have changed meanwhile
        await self.poll.async_plan(self._nodes.data)
        return self.poll.planned(readings)

    @callback
    def _async_look_for_changes(self, _now: datetime | None = None) -> None:
        """Find what has changed for whoever looks at it, and begin to tell."""
        now = self.clock.now()
        shown = {}
        ends = []
        for key, reading in self.data.items():
            end = reading.time + reading.valid_for
            if is_available := now <= end:
                ends.append(end)
            shown[key] = (is_available, self.value(key))
        self.notifier.async_update(shown)
        self._forget_expiry()
        if ends and not self._shutdown_requested:
            # No poll may come until then: none does after a log-in has ended, nor while the service asks to wait
            delay = (min(ends) - now).total_seconds()
            self._forget_expiry = async_call_later(
                self.hass, delay + 1, self._async_look_for_changes
            )
