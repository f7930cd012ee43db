"""Words in which devices say what they do, and controllers why.

There is no closed list of them. Those that are known are states with a translation in
`translations/`; the state of an unknown one is the device's own word in sentence case.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from homeassistant.util import slugify

_STATUS: Final = (
    *("away", "charging", "connected", "disconnected", "discharging", "error", "fault"),
    *("full", "idle", "no_warning", "normal", "off", "offline", "ok", "on", "online"),
    *("power_off", "running", "standby", "system_shutdown", "waiting", "warning"),
    "working",
)
_HEATING: Final = ("auto", "cooling", "defrost", "heating", "hot_water", "off")
_OPERATION_MODE: Final = (
    *_HEATING,
    *("charging", "discharging", "eco", "idle", "manual", "normal", "on", "running"),
    *("self_consumption", "smart", "standby"),
)
_POLICY: Final = (
    *("cost", "default", "feed_in_limitation", "feed_in_restriction", "none"),
    *("peak_shaving", "self_consumption"),
)

KNOWN_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "status": frozenset(_STATUS),
    "operation_mode": frozenset(_OPERATION_MODE),
    "operation_modes": frozenset(_HEATING),
    "policy": frozenset(_POLICY),
    "strategy": frozenset(_POLICY),
    "constraint": frozenset(_POLICY),
}
"""States that have a translation, by the translation key of the entity."""


@lru_cache(maxsize=1024)
def word_state(translation_key: str, text: str) -> str:
    """Return the state for a device's word: a key of `KNOWN_WORDS`, or the word in sentence case."""
    if (key := slugify(text)) in KNOWN_WORDS[translation_key]:
        return key
    words = text.replace("_", " ")
    return words.capitalize() if words.isupper() else words[:1].upper() + words[1:]
