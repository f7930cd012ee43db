"""Repair issues of the export. Each goes away when its cause does, or with the account."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from hashlib import blake2b
from typing import Final

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.issue_registry import IssueSeverity

from ..api import WriteTarget
from ..const import CONF_FIELD, CONF_MEASUREMENT, DOMAIN
from .outbox.batches import FieldKey

ATTR_ENTRY_ID: Final = "entry_id"
ATTR_EXPORT_ID: Final = "export_id"

type Detail = str | int | float | None
type Subject = Mapping[str, str]
"""What tells an issue from others of its kind. Its dialog and its texts know all of it."""

TARGET_KINDS: Final = ("namespace_unknown", "role_missing", "target_refuses")
"""What can be wrong with a target, one at a time."""

KINDS: Final = {
    **dict.fromkeys(TARGET_KINDS, IssueSeverity.ERROR),
    "entity_gone": IssueSeverity.WARNING,
    "export_damaged": IssueSeverity.ERROR,
    "field_blocked": IssueSeverity.ERROR,
    "not_on_disk": IssueSeverity.ERROR,
    "outbox_closed": IssueSeverity.ERROR,
    "outbox_damaged": IssueSeverity.ERROR,
    "outbox_limit": IssueSeverity.ERROR,
}
"""All issues of an export; the import has others."""

_OUTBOX: Final[Subject] = {}
"""There is one."""


def of_target(target: WriteTarget) -> Subject:
    """Return the subject that a target is."""
    return asdict(target)


def of_field(key: FieldKey) -> Subject:
    """Return the subject that a field with one type is."""
    return {
        **of_target(key.target),
        CONF_MEASUREMENT: key.measurement,
        CONF_FIELD: key.field,
        "sent": key.type,
    }


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

    def _id(self, kind: str, subject: Subject) -> str:
        about = repr(tuple(subject.values())).encode()
        digest = blake2b(about, digest_size=8, key=self._secret).hexdigest()
        return f"{kind}_{self._entry_id}_{digest}"

    @callback
    def report(
        self, kind: str, subject: Subject = _OUTBOX, /, **placeholders: str
    ) -> None:
        """Raise an issue, or change what it says."""
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            self._id(kind, subject),
            data={ATTR_ENTRY_ID: self._entry_id, **subject},
            is_fixable=True,
            severity=KINDS[kind],
            translation_key=kind,
            translation_placeholders={
                "account": self._account,
                **subject,
                **placeholders,
            },
        )

    def is_reported(self, kind: str, subject: Subject = _OUTBOX) -> bool:
        """Tell whether an issue is open, also one from before a reload."""
        issue_id = self._id(kind, subject)
        issue = ir.async_get(self._hass).async_get_issue(DOMAIN, issue_id)
        return issue is not None and issue.active

    @callback
    def resolve(self, kind: str, subject: Subject = _OUTBOX) -> None:
        """Withdraw an issue if it is there."""
        ir.async_delete_issue(self._hass, DOMAIN, self._id(kind, subject))

    @callback
    def resolve_others(self, kind: str, subjects: Iterable[Subject] = ()) -> None:
        """Withdraw all issues of a kind but those of `subjects`, which stay as the user left them."""
        kept = {self._id(kind, subject) for subject in subjects}
        prefix = f"{kind}_{self._entry_id}_"
        for domain, issue_id in list(ir.async_get(self._hass).issues):
            if (
                domain == DOMAIN
                and issue_id.startswith(prefix)
                and issue_id not in kept
            ):
                ir.async_delete_issue(self._hass, DOMAIN, issue_id)

    @callback
    def resolve_all(self) -> None:
        """Withdraw everything, of an account that is removed or disabled."""
        for kind in KINDS:
            self.resolve_others(kind)

    @callback
    def report_target(self, kind: str, target: WriteTarget, error: str) -> None:
        """Tell what is wrong with a target, in place of what was before."""
        self.resolve_target(target, but=kind)
        self.report(kind, of_target(target), error=error)

    @callback
    def resolve_target(self, target: WriteTarget, *, but: str | None = None) -> None:
        """Withdraw what was told of a target."""
        for kind in TARGET_KINDS:
            if kind != but:
                self.resolve(kind, of_target(target))
