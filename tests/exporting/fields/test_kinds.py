"""The kind of a field follows from the entity, and never from what a text looks like."""

from enum import Enum, IntEnum
from typing import Any

import pytest

from custom_components.eniris.exporting.fields.kinds import (
    FieldKind,
    decide_kind,
    unit_problem,
)
from custom_components.eniris.flows.export_forms import DOMAINS

from . import state

NUMBER, COUNTER = FieldKind.NUMBER, FieldKind.COUNTER
BOOLEAN, TEXT = FieldKind.BOOLEAN, FieldKind.TEXT

LOOKS_LIKE_NUMBERS = ("0", "2.10", "00123", "1e5", "-1", "7 ", "nan")


@pytest.mark.parametrize("text", LOOKS_LIKE_NUMBERS)
@pytest.mark.parametrize(
    ("entity_id", "attributes"),
    [
        ("sensor.error", {}),
        ("sensor.firmware", {"friendly_name": "Firmware", "icon": "mdi:chip"}),
        ("sensor.mode", {"device_class": "enum", "options": ["0", "1"]}),
        ("sensor.mode", {"options": ["0", "1"]}),
        ("sensor.day", {"device_class": "date"}),
        ("sensor.start", {"device_class": "timestamp"}),
        ("sensor.own", {"device_class": "vendor__thing"}),
        ("sensor.odd", {"device_class": ["power"], "state_class": {}}),
        ("sensor.odd", {"unit_of_measurement": 5}),
        ("select.phases", {"options": ["1", "3"]}),
        ("input_select.phases", {"options": ["1", "3"]}),
        ("input_text.code", {}),
        ("text.code", {"mode": "text"}),
        ("valve.main", {"device_class": "water"}),
    ],
)
def test_texts(text: str, entity_id: str, attributes: dict[str, Any]) -> None:
    """Where nothing says that an entity shows a number, its states are texts."""
    shown = state(text, None, entity_id, **attributes)
    assert decide_kind(shown, "status") is TEXT


@pytest.mark.parametrize("text", ["12.5", "0", "Error", "on"])
@pytest.mark.parametrize(
    ("entity_id", "attributes", "kind"),
    [
        ("sensor.power", {"unit_of_measurement": "W"}, NUMBER),
        ("sensor.share", {"unit_of_measurement": ""}, NUMBER),
        ("sensor.index", {"state_class": "measurement"}, NUMBER),
        ("sensor.air", {"device_class": "aqi"}, NUMBER),
        ("sensor.factor", {"device_class": "power_factor"}, NUMBER),
        ("sensor.pulses", {"state_class": "total_increasing"}, COUNTER),
        (
            "sensor.energy",
            {"state_class": "total", "unit_of_measurement": "kWh"},
            COUNTER,
        ),
        ("number.limit", {}, NUMBER),
        ("input_number.limit", {}, NUMBER),
        ("counter.doors", {}, NUMBER),
        ("switch.heater", {}, BOOLEAN),
        ("binary_sensor.power", {"device_class": "power"}, BOOLEAN),
        ("calendar.holidays", {"message": "New Year"}, BOOLEAN),
    ],
)
def test_what_an_entity_says(
    text: str, entity_id: str, attributes: dict[str, Any], kind: FieldKind
) -> None:
    """What an entity says of itself holds, whatever it shows at present."""
    assert decide_kind(state(text, None, entity_id, **attributes), "value") is kind
    for nothing in ("unknown", "unavailable"):
        shown = state(nothing, None, entity_id, **attributes)
        assert decide_kind(shown, "value") is kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("on", BOOLEAN),
        ("off", BOOLEAN),
        ("home", TEXT),
        ("unlocked", TEXT),
        ("unknown", None),
    ],
)
def test_groups(text: str, kind: FieldKind | None) -> None:
    """A group says nothing but its state of what is in it."""
    assert decide_kind(state(text, None, "group.some"), "active") is kind


OF_DOMAINS = {
    **dict.fromkeys(
        (
            "binary_sensor",
            "fan",
            "humidifier",
            "input_boolean",
            "light",
            "schedule",
            "switch",
            "update",
        ),
        BOOLEAN,
    ),
    **dict.fromkeys(("counter", "input_number", "number"), NUMBER),
}
"""All others show texts, unless something else says otherwise."""


@pytest.mark.parametrize("domain", DOMAINS)
def test_domains(domain: str) -> None:
    """Every domain that the form offers has a kind that no state changes."""
    for text in ("on", "5", "heat", "2026-07-01 12:00:00"):
        shown = state(text, None, f"{domain}.some")
        assert decide_kind(shown, "value") is OF_DOMAINS.get(domain, TEXT)


@pytest.mark.parametrize("name", ["actualPowerTot_W", "x_frac", "powerFactorTot"])
@pytest.mark.parametrize(
    "entity_id", ["sensor.x", "input_text.x", "select.x", "switch.x"]
)
def test_a_name_with_a_unit_is_a_number(name: str, entity_id: str) -> None:
    """Whatever the entity is, and whatever it says."""
    assert decide_kind(state("none", None, entity_id), name) is NUMBER
    assert decide_kind(state("5", None, entity_id, device_class="enum"), name) is NUMBER
    total = state("unavailable", None, entity_id, state_class="total_increasing")
    assert decide_kind(total, name) is COUNTER
    assert decide_kind(None, name, "level") is NUMBER
    assert decide_kind(total, name, "level") is NUMBER


@pytest.mark.parametrize("name", ["status", "actualPowerTot_W"])
@pytest.mark.parametrize("text", ["unknown", "unavailable"])
def test_not_yet(name: str, text: str) -> None:
    """What is missing from an entity without a state may come with it."""
    assert decide_kind(None, name) is None
    assert decide_kind(state(text), name) is None


class _Word(str, Enum):  # noqa: UP042
    RED = "red"


class _Step(IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (True, BOOLEAN),
        (0, NUMBER),
        (1.5, NUMBER),
        (_Step.ONE, NUMBER),
        ("5", TEXT),
        ("heat", TEXT),
        (_Word.RED, TEXT),
        (None, None),
        ([1], None),
        ({"a": 1}, None),
    ],
)
def test_attributes(raw: Any, kind: FieldKind | None) -> None:
    """An attribute has a type of its own, which the entity's unit does not change."""
    shown = state("1", "kW", "sensor.x", state_class="total", level=raw)
    assert decide_kind(shown, "status", "level") is kind
    gone = state("unavailable", "kW", "sensor.x", level=raw)
    assert decide_kind(gone, "status", "level") is None
    assert decide_kind(None, "status", "level") is None


@pytest.mark.parametrize(
    ("entity_id", "attributes", "problem"),
    [
        ("switch.x", {}, "no_number"),
        ("select.x", {}, "no_number"),
        ("sensor.x", {"device_class": "enum"}, "no_number"),
        ("sensor.x", {"device_class": "timestamp"}, "no_number"),
        ("sensor.x", {"options": ["a"]}, "no_number"),
        ("sensor.x", {"unit_of_measurement": "kWh"}, "unit_mismatch"),
        ("sensor.x", {"unit_of_measurement": "kW"}, None),
        ("sensor.x", {"unit_of_measurement": ""}, None),
        ("sensor.x", {}, None),
        ("input_text.x", {}, None),
    ],
)
def test_unit_problem(
    entity_id: str, attributes: dict[str, Any], problem: str | None
) -> None:
    """The form tells which entities cannot have a name with a unit."""
    shown = state("1", None, entity_id, **attributes)
    assert unit_problem(shown, "x_W") == problem
    assert unit_problem(shown, "status") is None
    assert unit_problem(None, "x_W") is None
