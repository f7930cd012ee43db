"""What is still to be fetched of an account's past, and how far that has come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from homeassistant.core import HomeAssistant
from homeassistant.helpers.storage import Store

from ...const import DOMAIN

_STORE_VERSION: Final = 1


class LeftOut(StrEnum):
    """Why the past of an entity is not imported, or lacks some hours."""

    NOT_RECORDED = "not_recorded"
    """The recorder's filter excludes the entity."""
    NO_STATISTICS = "no_statistics"
    """Home Assistant has no statistics of its own yet that the past could be joined to."""
    NO_USABLE_ANSWER = "no_usable_answer"
    """Eniris refused to tell, or its answer is not understood."""


@dataclass(frozen=True, slots=True)
class Job:
    """A past to be fetched, from `start` to `end`, in Unix seconds; from `cursor` on it is done."""

    start: int
    end: int
    cursor: int
    unique_ids: Sequence[str] | None = None
    """Identities of entities; None for all that show energy or power."""
    rows: int = 0
    """Rows written so far."""
    refused: int = 0
    """Queries that brought no usable answer."""
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)
    """Why entities are left out, by their unique ids."""

    @property
    def percent(self) -> float:
        """The part that is done."""
        done = (self.end - self.cursor) / max(1, self.end - self.start)
        return round(100 * done, 1)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the import of the past has come."""

    percent: float | None = None
    """None while none was ever asked for."""
    fetching: datetime | None = None
    """The hour up to which is fetched at present, None when nothing is."""
    back_to: datetime | None = None
    """Where it will end."""
    is_waiting: bool = False
    """Whether it has not begun yet."""
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)
    """Why entities are left out, by their ids."""


def history_store(hass: HomeAssistant, entry_id: str) -> Store[dict[str, Any]]:
    """Return the store of what of an account's past is still to be fetched."""
    return Store(hass, _STORE_VERSION, f"{DOMAIN}.{entry_id}.history", private=True)
