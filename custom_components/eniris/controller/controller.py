"""`Controller`: one controller of an account, with all that comes from it and goes to it."""

import asyncio
from collections import deque
from datetime import timedelta
import logging
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.util.ssl import client_context

from ..const import CONF_MQTT, LOGGER, SUBENTRY_CONTROLLER
from .config import ControllerSettings
from .control import ScheduleControl
from .errors import InvalidMessageError, LoginRefusedError
from .live import Live
from .message import read_mqtt
from .mqtt import MqttClient, live_topic
from .policies import HeldPolicies
from .rate import RateLimit
from .webhook import LiveWebhook

_PERIOD: Final = timedelta(seconds=60)
"""How often a live state is expected over MQTT until two have come."""

_STOPS_WITHIN: Final = 2.0
"""Seconds that a broker is given to hear that this is the end."""

_LOG_IN_AGAIN_AFTER: Final = timedelta(minutes=15)


class Controller:
    """What one config subentry stands for."""

    def __init__(
        self, hass: HomeAssistant, entry: ConfigEntry[Any], settings: ControllerSettings
    ) -> None:
        """Make what the settings ask for; nothing begins before `async_start`."""
        self.settings = settings
        self.live = Live(hass, settings.inverted or frozenset())
        self.policies: HeldPolicies | None = None
        """None where there is no MQTT access."""
        self.wanted_limits: dict[str, int] = {}
        """What was set as limits for the policies that are held from here, in W."""
        self._hass = hass
        self._entry = entry
        self._rate = RateLimit()
        self._webhook: LiveWebhook | None = None
        self._client: MqttClient | None = None
        self._task: asyncio.Task[None] | None = None
        self._gaps: deque[float] = deque(maxlen=10)
        self._last_at: float | None = None
        self._invalid = 0
        if settings.webhook is not None:
            self._webhook = LiveWebhook(
                hass, settings, settings.webhook, self.live, self._rate
            )
        if settings.mqtt is not None:
            self._client = MqttClient(
                settings.mqtt,
                settings.serial,
                client_context() if settings.mqtt.tls else None,
            )
            self.policies = HeldPolicies(
                hass,
                ScheduleControl(
                    hass, settings.title, settings.site_node_id, self._client
                ),
                settings.id,
            )

    @property
    def schedules(self) -> ScheduleControl | None:
        """The schedules, None where there is no MQTT access."""
        return None if self.policies is None else self.policies.schedules

    @property
    def are_signs_confirmed(self) -> bool:
        """Whether somebody has compared the signs of powers with what the cloud says."""
        return self.settings.inverted is not None

    @callback
    def async_start(self) -> None:
        """Listen from now on."""
        if self._webhook is not None:
            self._webhook.async_start()
        if self._client is not None and self.policies is not None:
            self.policies.async_start()
            self._task = self._entry.async_create_background_task(
                self._hass,
                self._async_run(self._client, self.policies.schedules),
                "eniris controller",
            )

    async def _async_run(self, client: MqttClient, schedules: ScheduleControl) -> None:
        """Keep the connection; ask for another password when the broker refuses the stored one."""

        @callback
        def take(topic: str, payload: bytes) -> None:
            try:
                if topic != live_topic(self.settings.serial):
                    schedules.async_take(payload)
                elif self._rate.allows():
                    message = read_mqtt(payload)
                    self.live.async_take(message, CONF_MQTT, self._period())
            except InvalidMessageError as err:
                self._invalid += 1
                LOGGER.debug(
                    "A message of the controller %s is left out: %s",
                    self.settings.title,
                    err,
                )

        level = logging.WARNING
        while True:
            try:
                await client.async_run(take, schedules.async_connected)
            except LoginRefusedError as err:
                LOGGER.log(
                    level,
                    "The broker of the controller %s refuses the log-in, so that neither its live values nor"
                    " its schedules are there: %s",
                    self.settings.title,
                    err,
                )
                level = logging.DEBUG
                self._entry.async_start_reauth(
                    self._hass, data={SUBENTRY_CONTROLLER: self.settings.id}
                )
            # It may have been the broker's fault
            await asyncio.sleep(_LOG_IN_AGAIN_AFTER.total_seconds())

    def _period(self) -> timedelta:
        """Return how far apart live states come over MQTT: the longest of the last gaps."""
        now = self._hass.loop.time()
        if not self.live.is_live:
            self._gaps.clear()
        elif self._last_at is not None:
            self._gaps.append(now - self._last_at)
        self._last_at = now
        return timedelta(seconds=max(self._gaps)) if self._gaps else _PERIOD

    async def async_stop(self) -> None:
        """Listen no more; what is held on the controller ends by itself."""
        if self._webhook is not None:
            self._webhook.async_stop()
        if self.policies is not None:
            self.policies.async_stop()
            self.policies.schedules.async_stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_STOPS_WITHIN)
            self._task = None
        self.live.async_stop()

    def figures(self) -> dict[str, int | bool | None]:
        """Return what diagnostics and system health tell."""
        webhook, client, schedules = self._webhook, self._client, self.schedules
        return {
            "is_live": self.live.is_live,
            "messages": self.live.messages,
            "values": len(self.live.keys),
            "messages_old": self.live.old,
            "messages_above_the_limit": self._rate.refused,
            "messages_invalid": self._invalid + (webhook.invalid if webhook else 0),
            "posts_unauthorized": webhook.unauthorized if webhook else None,
            "posts_of_other_sites": webhook.other_site if webhook else None,
            "broker_connected": client.is_connected if client else None,
            "broker_connections": client.connections if client else None,
            "schedules": len(schedules.planned) if schedules else None,
            "policies_held": len(self.policies.by_group) if self.policies else None,
        }
