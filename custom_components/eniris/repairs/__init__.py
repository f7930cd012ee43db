"""Repairs: what the owner of an account can put right, from the dialog of the issue that tells of it.

What a form of the account mends has no dialog here: its issue says where that form is.
"""

from collections.abc import Mapping
from typing import Final

from homeassistant.components.repairs import RepairsFlow
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir

from ..const import DOMAIN
from ..exporting.issues import Detail
from .base import Fix
from .field import FieldFix
from .outbox import DamagedFix, DiskFix, LimitFix
from .target import TargetFix

_FLOWS: Final[Mapping[str, type[Fix]]] = {
    "field_blocked": FieldFix,
    "namespace_unknown": TargetFix,
    "not_on_disk": DiskFix,
    "outbox_closed": DiskFix,
    "outbox_damaged": DamagedFix,
    "outbox_limit": LimitFix,
    "role_missing": TargetFix,
    "target_refuses": TargetFix,
}


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, Detail] | None
) -> RepairsFlow:
    """Return the dialog of an issue."""
    issue = ir.async_get(hass).issues[DOMAIN, issue_id]
    kind = issue.translation_key or ""
    return _FLOWS[kind](kind, data or {}, issue.translation_placeholders or {})
