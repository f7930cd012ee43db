"""What is stored of an account: used as far as it is valid, and which changes of it ask for a reload."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.eniris.account import (
    first_history,
    import_options,
    outbox_limits,
    read_fingerprint,
    read_options,
    sent_fingerprint,
    stored_token,
    token_data,
)
from custom_components.eniris.api import RefreshToken
from custom_components.eniris.const import (
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_ENABLED,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_HISTORY,
    CONF_INGRESS_URL,
    CONF_KIND,
    CONF_MEASUREMENT,
    DOMAIN,
    LARGEST_SIZE,
    LONGEST_AGE,
    LONGEST_POLL_INTERVAL,
    SHORTEST_POLL_INTERVAL,
    SUBENTRY_EXPORT,
)
from custom_components.eniris.importing.plan import Preference
from homeassistant.config_entries import ConfigSubentryDataWithId
from tests.kit.exports import export_data

EXPORT = export_data({"sensor.a": "a_W"})


def account(
    export: Mapping[str, Any] = EXPORT,
    *,
    options: dict[str, Any] | None = None,
    title: str = "Home",
    data: Mapping[str, Any] = MappingProxyType({}),
) -> MockConfigEntry:
    """Return an account with one export."""
    return MockConfigEntry(
        domain=DOMAIN,
        title=title,
        data={
            **token_data(RefreshToken("value", 1.0)),
            CONF_AUTHENTICATION_URL: "https://authentication.eniris.be",
            CONF_API_URL: "https://api.eniris.be",
            CONF_INGRESS_URL: "https://neodata-ingress.eniris.be",
            **data,
        },
        options=options or {},
        subentries_data=[
            ConfigSubentryDataWithId(
                subentry_id="export",
                data=export,
                subentry_type=SUBENTRY_EXPORT,
                title="House",
                unique_id=None,
            )
        ],
    )


def row(**changes: Any) -> dict[str, Any]:
    """Return the export with its one field changed."""
    [field] = EXPORT[CONF_FIELDS]
    return {**EXPORT, CONF_FIELDS: [{**field, **changes}]}


@pytest.mark.parametrize(
    "changed",
    [
        account(title="Elsewhere"),
        account(options={"import": {"interval": 90}}),
        account(data={CONF_API_URL: "https://api.example.com"}),
    ],
)
def test_asks_for_a_reload(changed: MockConfigEntry) -> None:
    """Addresses, title and options of reading are what a running account is made of."""
    assert read_fingerprint(changed) != read_fingerprint(account())
    assert sent_fingerprint(changed) == sent_fingerprint(account())


@pytest.mark.parametrize(
    "changed",
    [
        account(options={"outbox": {"size_limit": 7}}),
        account({**EXPORT, CONF_MEASUREMENT: "other"}),
        account(row(**{CONF_FIELD: "b_W"})),
        account(row(**{CONF_ENTITY: "sensor.b"})),
    ],
)
def test_asks_for_another_exporter(changed: MockConfigEntry) -> None:
    """What an export says, and options of sending, concern nothing that is read."""
    assert read_fingerprint(changed) == read_fingerprint(account())
    assert sent_fingerprint(changed) != sent_fingerprint(account())


@pytest.mark.parametrize(
    "changed",
    [
        account(data=token_data(RefreshToken("renewed", 2.0))),
        account({**EXPORT, CONF_ENABLED: False}),
        account(row(**{CONF_KIND: "text"})),
    ],
)
def test_asks_for_none(changed: MockConfigEntry) -> None:
    """A renewed token, the switch of an export and the kind that the exporter has decided change nothing."""
    assert read_fingerprint(changed) == read_fingerprint(account())
    assert sent_fingerprint(changed) == sent_fingerprint(account())


def test_adopted_registry_ids() -> None:
    """A registry id is stored for an entity id without a reload, and another entity's is not."""
    changed = account(row(**{CONF_ENTITY: "0123"}))
    adopted = {("export", "a_W", "0123"): "sensor.a"}
    assert sent_fingerprint(changed, adopted) == sent_fingerprint(account())
    adopted = {("export", "a_W", "0123"): "sensor.b"}
    assert sent_fingerprint(changed, adopted) != sent_fingerprint(account())


@pytest.mark.parametrize(
    ("section", "option", "least", "most"),
    [
        ("import", "interval", SHORTEST_POLL_INTERVAL, LONGEST_POLL_INTERVAL),
        ("outbox", "size_limit", 1, LARGEST_SIZE),
        ("outbox", "age_limit", 0, LONGEST_AGE),
    ],
)
def test_bounds_of_options(section: str, option: str, least: int, most: int) -> None:
    """Of what is stored, all within the form's bounds is used; what is not costs its section, not the other."""
    defaults = read_options({})
    for value in (least, most):
        read = read_options({section: {option: value}})
        assert read == {**defaults, section: {**defaults[section], option: value}}
    invalid: list[Any] = [least - 1, most + 1, "many", None]
    for value in invalid:
        assert read_options({section: {option: value}}) == defaults


def test_options_as_they_are_used() -> None:
    """Seconds, MiB and days become what the import and the outbox go by; what a newer version adds is left alone."""
    options = {
        "import": {"interval": 90, "preference": "lightest", "sites": ["a"], "x": 1},
        "outbox": {"size_limit": 3, "age_limit": 2},
        "newer": {},
    }
    entry = account(options=options)
    read = import_options(entry)
    assert read.interval == timedelta(seconds=90)
    assert read.preference is Preference.LIGHTEST
    assert read.sites == {"a"}
    limits = outbox_limits(entry)
    assert limits.size == 3 * 1024 * 1024
    assert limits.age == timedelta(days=2)


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        (None, None),
        ("2026-07-01T00:00:00+00:00", datetime(2026, 7, 1, tzinfo=UTC)),
        # Brussels' time of long ago had seconds
        (
            "1850-01-01T00:00:00+00:17:30",
            datetime(1849, 12, 31, 23, 42, 30, tzinfo=UTC),
        ),
    ],
)
def test_first_history(stored: str | None, read: datetime | None) -> None:
    """The time back to which the past was asked for, in any zone."""
    data = {} if stored is None else {CONF_HISTORY: stored}
    assert first_history(account(data=data)) == read


def test_token() -> None:
    """A token comes back as it was stored, with its age."""
    token = RefreshToken("value", 123.5)
    stored = stored_token(account(data=token_data(token)))
    assert (stored.value, stored.issued_at) == ("value", 123.5)
