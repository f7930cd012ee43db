"""Repair issues of the export. Each goes away when its cause does, or with the account."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.issue_registry import IssueSeverity

from ..api import WriteTarget
from ..const import CONF_FIELD, CONF_MEASUREMENT, DOMAIN
from .config import InvalidExport
from .outbox.batches import FieldKey
from .outbox.outbox import Outbox

ATTR_ENTRY_ID: Final = "entry_id"
ATTR_EXPORT_ID: Final = "export_id"

type Detail = str | int | float | None
type Subject = Mapping[str, str]
"""What tells an issue from others of its kind. Its dialog and its texts know all of it."""

TARGET_KINDS: Final = ("namespace_unknown", "role_missing", "target_refuses")
"""What can be wrong with a target, one at a time."""

_MENDED_BY_FORM: Final = ("entity_gone", "export_damaged")
"""What the export's own form mends: the issue says where that is."""

_OF_OUTBOX: Final = ("not_on_disk", "outbox_closed", "outbox_damaged", "outbox_limit")

KINDS: Final = (*TARGET_KINDS, *_MENDED_BY_FORM, *_OF_OUTBOX, "field_blocked")
"""All issues of an export; the import has others."""

_OUTBOX: Final[Subject] = {}


def of_target(target: WriteTarget) -> Subject:
    """Return the subject that a target is."""
    return target._asdict()


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
        """Name `account` in the texts; what an issue is about is hashed into its id, since diagnostics tell of ids."""
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
            is_fixable=kind not in _MENDED_BY_FORM,
            severity=IssueSeverity.WARNING
            if kind == "entity_gone"
            else IssueSeverity.ERROR,
            translation_key=kind,
            translation_placeholders={
                "account": self._account,
                **subject,
                **placeholders,
            },
        )

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

    @callback
    def report_outbox(self, outbox: Outbox, damaged: Sequence[str]) -> None:
        """Tell what is wrong with an outbox' file, and what of it is not any more."""
        carried = outbox.store.carried_over
        issue_id = self._id("outbox_damaged", _OUTBOX)
        issue = ir.async_get(self._hass).async_get_issue(DOMAIN, issue_id)
        if not damaged:
            self.resolve("outbox_damaged")
        elif carried is not None or issue is None or not issue.active:
            # Else it was set aside before the start, and what was told then stays
            told = "–" if carried is None else str(carried)
            self.report("outbox_damaged", file=damaged[-1], carried=told)
        if outbox.store.is_open:
            self.resolve_others("field_blocked", map(of_field, outbox.blocked))
        if outbox.dropped:
            dropped, error = str(outbox.dropped), outbox.problem or ""
            self.report("not_on_disk", dropped=dropped, error=error)

    @callback
    def begin(
        self, invalid: Iterable[InvalidExport], targets: Collection[WriteTarget]
    ) -> None:
        """Tell of invalid exports, no more of exports and targets that are gone; others stay as the user left them."""
        subjects = []
        for its in invalid:
            subjects.append({ATTR_EXPORT_ID: its.export_id})
            lost = ", ".join(its.keys)
            self.report("export_damaged", subjects[-1], export=its.title, lost=lost)
        self.resolve_others("export_damaged", subjects)
        for kind in TARGET_KINDS:
            self.resolve_others(kind, map(of_target, targets))
