"""`Live`: the newest values that a controller has pushed, how long they hold, and who is told."""

from collections import defaultdict, deque
from collections.abc import Callable
from datetime import datetime, timedelta
import re
from typing import Final, NamedTuple

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later

from ..api import FieldValue
from .message import LiveKey, LiveMessage

_PERIODS: Final = 3
"""Without a message for as many, a value says nothing of the present any more."""

_MOST_KEYS: Final = 1000
"""Values of one controller, whatever is sent."""

_MOST_POWERS: Final = 2000
"""Of one group or node, whatever the controller's clock says."""

_KEPT: Final = timedelta(minutes=15)
"""How far back powers can be compared with what the cloud says."""

POWER: Final = re.compile(r"active_power_W|actualPowerTot_W")
_SIGNED: Final = re.compile(r"active_power_W|actualPower(Tot|L[123])_W")
"""Fields the sign of which is a matter of convention."""


class _Held(NamedTuple):
    value: FieldValue
    until: float
    """Seconds of the event loop's clock."""


class Live:
    """The live values of one controller."""

    def __init__(self, hass: HomeAssistant, inverted: frozenset[str]) -> None:
        """Show the powers of `inverted` groups and nodes with the other sign."""
        self._hass = hass
        self._inverted = inverted
        self._held: dict[LiveKey, _Held] = {}
        self._newest: dict[str, tuple[float, float]] = {}
        """Of the newest message of each way: its time by the controller's clock, and until when the next one is expected."""
        self._live_until: float | None = None
        self._cancel: CALLBACK_TYPE | None = None
        self._listeners: list[Callable[[], None]] = []
        self._powers: defaultdict[str, deque[tuple[float, float]]] = defaultdict(
            lambda: deque(maxlen=_MOST_POWERS)
        )
        self.messages = 0
        self.old = 0
        """Messages that were older than one that had come before."""

    @property
    def is_live(self) -> bool:
        """Whether messages arrive."""
        return self._live_until is not None

    @property
    def keys(self) -> list[LiveKey]:
        """What has been received since the start."""
        return list(self._held)

    @property
    def powers(self) -> dict[str, float]:
        """The newest power of each group and node, in W, with the sign that it came with."""
        return {source: kept[-1][1] for source, kept in self._powers.items()}

    def power_at(self, source: str, when: datetime) -> float | None:
        """Return the power that was received last before a time, None where nothing was."""
        at = when.timestamp()
        return next(
            (
                power
                for time, power in reversed(self._powers.get(source, ()))
                if time <= at
            ),
            None,
        )

    def value(self, key: LiveKey) -> FieldValue | None:
        """Return a value as it is shown, None where there is none that holds."""
        held = self._held.get(key)
        if held is None or held.until <= self._hass.loop.time():
            return None
        if (
            key.source in self._inverted
            and _SIGNED.fullmatch(key.field)
            and isinstance(held.value, float)
        ):
            # In this order, since -0.0 is not to be seen
            return 0.0 - held.value
        return held.value

    @callback
    def async_add_listener(self, listener: Callable[[], None]) -> CALLBACK_TYPE:
        """Call `listener` after each message and when values cease to hold."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @callback
    def async_take(self, message: LiveMessage, way: str, period: timedelta) -> None:
        """Adopt the values of a message; the next one to come the same way is expected after `period`.

        One that is older than another before it is a repetition or came late. While nothing comes this way any time
        is believed, or one message with a wrong time would end them all.
        """
        now = self._hass.loop.time()
        newest, expected_until = self._newest.get(way, (0, now))
        if now < expected_until and message.time < newest:
            self.old += 1
            return
        self.messages += 1
        until = now + _PERIODS * period.total_seconds()
        self._newest[way] = message.time, until
        for key, value in message.values.items():
            held = self._held.get(key)
            if held is not None:
                # What also comes another way, less often, goes on to hold when this way ends
                self._held[key] = _Held(value, max(until, held.until))
            elif len(self._held) < _MOST_KEYS:
                self._held[key] = _Held(value, until)
            else:
                continue
            if POWER.fullmatch(key.field) and isinstance(value, float):
                kept = self._powers[key.source]
                kept.append((message.time, value))
                while kept[0][0] < message.time - _KEPT.total_seconds():
                    kept.popleft()
        self._live_until = max(until, self._live_until or until)
        self._async_wait()
        self._async_tell()

    @callback
    def _async_wait(self) -> None:
        """Wait until the next value ceases to hold."""
        if self._cancel is not None:
            return
        now = self._hass.loop.time()
        ends = [held.until for held in self._held.values() if held.until > now]
        if self._live_until is not None:
            ends.append(self._live_until)
        if ends:
            self._cancel = async_call_later(
                self._hass,
                max(0, min(ends) - now),
                HassJob(self._async_expired, cancel_on_shutdown=True),
            )

    @callback
    def _async_expired(self, _now: datetime) -> None:
        self._cancel = None
        if self._live_until is not None and (
            self._live_until <= self._hass.loop.time()
        ):
            self._live_until = None
        self._async_wait()
        self._async_tell()

    @callback
    def _async_tell(self) -> None:
        for listener in tuple(self._listeners):
            listener()

    @callback
    def async_stop(self) -> None:
        """Wait for nothing any more."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
