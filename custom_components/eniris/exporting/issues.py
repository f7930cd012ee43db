"""Repair issues of the export. Each goes away when its cause does, or with the account."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from ..api import WriteTarget
from ..const import (
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_FIELD,
    CONF_MEASUREMENT,
    CONF_RETENTION_POLICY,
    DOMAIN,
)
from .config import Export

ATTR_ENTRY_ID: Final = "entry_id"
ATTR_EXPORT_ID: Final = "export_id"

type Detail = str | int | float | None


class Issues:
    """Raises and withdraws the issues of one account."""

    def __init__(
        self, hass: HomeAssistant, entry_id: str, account: str, instance: str
    ) -> None:
        """Name `account` in the texts.

        Ids of issues are part of every diagnostics file, so that what they are about is hashed into
        them, with `instance`, which nobody but this Home Assistant knows.
        """
        self._hass = hass
        self._entry_id = entry_id
        self._account = account
        self._secret = blake2b(instance.encode(), digest_size=32).digest()
        self._raised: set[str] = set()

    def _id(self, kind: str, key: str) -> str:
        digest = blake2b(key.encode(), digest_size=8, key=self._secret).hexdigest()
        return f"{kind}_{self._entry_id}_{digest}"

    @callback
    def _raise(
        self,
        kind: str,
        key: str,
        placeholders: Mapping[str, str],
        severity: ir.IssueSeverity = ir.IssueSeverity.ERROR,
        /,
        **details: Detail,
    ) -> None:
        """Raise an issue; `details` are what its dialog has to know."""
        issue_id = self._id(kind, key)
        self._raised.add(issue_id)
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            issue_id,
            data={ATTR_ENTRY_ID: self._entry_id, **details},
            is_fixable=True,
            severity=severity,
            translation_key=kind,
            translation_placeholders={"account": self._account, **placeholders},
        )

    @callback
    def _withdraw(self, kind: str, key: str) -> None:
        issue_id = self._id(kind, key)
        if issue_id in self._raised:
            self._raised.discard(issue_id)
            ir.async_delete_issue(self._hass, DOMAIN, issue_id)

    @callback
    def withdraw_all(self) -> None:
        """Withdraw everything; what still holds is found again after the next start."""
        for issue_id in self._raised:
            ir.async_delete_issue(self._hass, DOMAIN, issue_id)
        self._raised.clear()

    @callback
    def entity_gone(self, export: Export, field: str, entity_id: str | None) -> None:
        """Tell that the entity of a field was deleted, and which one it was if that is known."""
        self._raise(
            "entity_gone",
            f"{export.id}_{field}",
            {"export": export.title, "field": field, "entity": entity_id or "–"},
            ir.IssueSeverity.WARNING,
            **{ATTR_EXPORT_ID: export.id, CONF_FIELD: field},
        )

    @callback
    def entity_back(self, export: Export, field: str) -> None:
        """Take back `entity_gone`."""
        self._withdraw("entity_gone", f"{export.id}_{field}")

    @callback
    def export_damaged(self, export_id: str, title: str, lost: str) -> None:
        """Tell that settings of an export cannot be read, and which."""
        self._raise(
            "export_damaged",
            export_id,
            {"export": title, "lost": lost},
            **{ATTR_EXPORT_ID: export_id},
        )

    @callback
    def role_missing(self, target: WriteTarget, error: str) -> None:
        """Tell that the account may not write to a target."""
        self._withdraw("namespace_unknown", _key(target))
        self._raise(
            "role_missing",
            _key(target),
            {"error": error, **_named(target)},
            **_named(target),
        )

    @callback
    def namespace_unknown(self, target: WriteTarget, error: str) -> None:
        """Tell that the service does not know a target's database or retention policy."""
        self._withdraw("role_missing", _key(target))
        self._raise(
            "namespace_unknown",
            _key(target),
            {"error": error, **_named(target)},
            **_named(target),
        )

    @callback
    def target_works(self, target: WriteTarget) -> None:
        """Take back what was told of a target."""
        for kind in ("role_missing", "namespace_unknown"):
            self._withdraw(kind, _key(target))

    @callback
    def type_conflict(
        self, target: WriteTarget, measurement: str, field: str, sent: str, error: str
    ) -> None:
        """Tell that a field is stored with another type than it is sent with."""
        self._raise(
            "type_conflict",
            f"{_key(target)}/{measurement}/{field}",
            {
                "measurement": measurement,
                "field": field,
                "sent": sent,
                "error": error,
                **_named(target),
            },
            **_named(target),
            **{CONF_MEASUREMENT: measurement, CONF_FIELD: field},
        )

    @callback
    def field_stored(self, target: WriteTarget, measurement: str, field: str) -> None:
        """Take back `type_conflict`."""
        self._withdraw("type_conflict", f"{_key(target)}/{measurement}/{field}")

    @callback
    def limit_reached(self, dropped: int) -> None:
        """Tell that the oldest samples were dropped, `dropped` of them since the start."""
        self._raise("outbox_limit", "outbox", {"dropped": str(dropped)})

    @callback
    def limit_respected(self) -> None:
        """Take back `limit_reached`."""
        self._withdraw("outbox_limit", "outbox")

    @callback
    def not_on_disk(self, dropped: int, error: str) -> None:
        """Tell that samples were dropped because they could not be put on disk for too long."""
        self._raise("not_on_disk", "outbox", {"dropped": str(dropped), "error": error})

    @callback
    def on_disk(self) -> None:
        """Take back `not_on_disk`."""
        self._withdraw("not_on_disk", "outbox")

    @callback
    def outbox_damaged(self, file: str) -> None:
        """Tell that a damaged outbox was set aside."""
        self._raise("outbox_damaged", "outbox", {"file": file})

    @callback
    def outbox_sound(self) -> None:
        """Take back `outbox_damaged`."""
        self._withdraw("outbox_damaged", "outbox")


def _key(target: WriteTarget) -> str:
    # Names can have a `_` in them, and two targets must not share an issue
    return f"{target.collector}/{target.database}/{target.retention_policy}"


def _named(target: WriteTarget) -> dict[str, str]:
    return {
        CONF_COLLECTOR: target.collector,
        CONF_DATABASE: target.database,
        CONF_RETENTION_POLICY: target.retention_policy,
    }
