"""Repair issues of the export. Each goes away when its cause does, or with the account."""

from collections.abc import Mapping

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from ..api import WriteTarget
from ..const import DOMAIN
from .config import Export


class Issues:
    """Raises and withdraws the issues of one account."""

    def __init__(self, hass: HomeAssistant, entry_id: str, account: str) -> None:
        """Name `account` in the texts."""
        self._hass = hass
        self._entry_id = entry_id
        self._account = account
        self._raised: set[str] = set()

    @callback
    def _raise(
        self,
        kind: str,
        key: str,
        placeholders: Mapping[str, str],
        severity: ir.IssueSeverity = ir.IssueSeverity.ERROR,
    ) -> None:
        issue_id = f"{kind}_{self._entry_id}_{key}"
        self._raised.add(issue_id)
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            issue_id,
            is_fixable=False,
            severity=severity,
            translation_key=kind,
            translation_placeholders={"account": self._account, **placeholders},
        )

    @callback
    def _withdraw(self, kind: str, key: str) -> None:
        issue_id = f"{kind}_{self._entry_id}_{key}"
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
    def entity_gone(self, export: Export, field: str) -> None:
        """Tell that the entity of a field was deleted."""
        self._raise(
            "entity_gone",
            f"{export.id}_{field}",
            {"export": export.title, "field": field},
            ir.IssueSeverity.WARNING,
        )

    @callback
    def entity_back(self, export: Export, field: str) -> None:
        """Take back `entity_gone`."""
        self._withdraw("entity_gone", f"{export.id}_{field}")

    @callback
    def role_missing(self, target: WriteTarget, error: str) -> None:
        """Tell that the account may not write to a target."""
        self._withdraw("namespace_unknown", _key(target))
        self._raise("role_missing", _key(target), {"error": error, **_named(target)})

    @callback
    def namespace_unknown(self, target: WriteTarget, error: str) -> None:
        """Tell that the service does not know a target's database or retention policy."""
        self._withdraw("role_missing", _key(target))
        self._raise(
            "namespace_unknown", _key(target), {"error": error, **_named(target)}
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
        "collector": target.collector,
        "database": target.database,
        "retention_policy": target.retention_policy,
    }
