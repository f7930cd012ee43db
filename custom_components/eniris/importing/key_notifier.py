"""Who is told of new values: entities listen by key, and are told in slices.

Of thousands of entities few change at a poll, and all of them together must not hold the event loop.
"""

import asyncio
from collections.abc import Callable, Mapping, Set as AbstractSet
from itertools import islice
from typing import Final

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback

from ..api import FieldValue
from ..const import LOGGER
from .plan import FieldKey

_AT_ONCE: Final = 25
"""Keys of which listeners are told before the event loop gets its turn."""

type Shown = tuple[bool, FieldValue | None]
"""Whether a value is of the present, and the value."""


class KeyNotifier:
    """Tells listeners what has changed of their own key, and which keys are new."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Know of no key."""
        self._hass = hass
        self._shown: Mapping[FieldKey, Shown] = {}
        self._changed: dict[FieldKey, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._listeners: dict[FieldKey, list[CALLBACK_TYPE]] = {}
        self._untold: dict[Callable[[list[FieldKey]], None], dict[FieldKey, None]] = {}
        """By listener, the new keys that it was not told of yet."""

    @property
    def listened(self) -> AbstractSet[FieldKey]:
        """The keys that somebody listens to."""
        return self._listeners.keys()

    @callback
    def async_add_listener(
        self, key: FieldKey, listener: CALLBACK_TYPE
    ) -> CALLBACK_TYPE:
        """Call `listener` when the value of `key` or its availability changed."""
        self._listeners.setdefault(key, []).append(listener)

        def remove() -> None:
            listeners = self._listeners[key]
            listeners.remove(listener)
            if not listeners:
                del self._listeners[key]

        return remove

    @callback
    def async_add_new_keys_listener(
        self, listener: Callable[[list[FieldKey]], None]
    ) -> CALLBACK_TYPE:
        """Call `listener` with the keys that are shown, now and whenever there are new ones."""
        self._untold[listener] = dict.fromkeys(self._shown)
        self._async_begin()

        def remove() -> None:
            del self._untold[listener]

        return remove

    @callback
    def async_update(self, shown: Mapping[FieldKey, Shown]) -> None:
        """Adopt what is shown of all keys from now on, and begin to tell of what has changed."""
        before = self._shown
        for key, seen in shown.items():
            if before.get(key) != seen:
                self._changed[key] = None
        self._changed.update(dict.fromkeys(before.keys() - shown.keys()))
        new = dict.fromkeys(key for key in shown if key not in before)
        for untold in self._untold.values():
            untold.update(new)
        self._shown = shown
        self._async_begin()

    @callback
    def _async_begin(self) -> None:
        if self._task is None and (self._changed or any(self._untold.values())):
            self._task = self._hass.async_create_task(self._tell(), "eniris new values")

    async def _tell(self) -> None:
        """Tell of new keys and of changes, a slice at a time."""
        try:
            while self._changed or any(self._untold.values()):
                for key in list(islice(self._changed, _AT_ONCE)):
                    del self._changed[key]
                    for listener in list(self._listeners.get(key, ())):
                        try:
                            listener()
                        except Exception:  # noqa: BLE001
                            # One entity that fails must not keep the others from their values
                            LOGGER.exception("The entity of %s failed", key)
                for new_keys_listener, untold in list(self._untold.items()):
                    if new := list(islice(untold, _AT_ONCE)):
                        for key in new:
                            del untold[key]
                        new_keys_listener(new)
                await asyncio.sleep(0)
        finally:
            self._task = None
