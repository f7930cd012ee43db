"""What a state means as a value of a field."""

from enum import Enum
import math
from typing import Any

from hypothesis import given, strategies as st
import pytest

from custom_components.eniris.api import FieldValue
from custom_components.eniris.const import CONF_ENTITY, CONF_FIELD, CONF_KIND
from custom_components.eniris.exporting.fields.kinds import FieldKind, decide_kind
from custom_components.eniris.exporting.fields.values import sampled_part, to_value
from homeassistant.core import HomeAssistant, State
from tests.exporting.conftest import AddAccount, Clock, Received, export_data

from . import state


def value_of(
    shown: State | None, name: str, attribute: str | None = None
) -> FieldValue | None:
    """Return a value of the kind that the entity itself decides."""
    kind = decide_kind(shown, name, attribute)
    return None if kind is None else to_value(shown, name, attribute, kind)


@pytest.mark.parametrize("kind", FieldKind)
@pytest.mark.parametrize("text", ["unknown", "unavailable", ""])
def test_nothing(kind: FieldKind, text: str) -> None:
    """The unknown is never sent, whatever the kind."""
    assert to_value(state(text), "status", None, kind) is None
    assert to_value(None, "status", None, kind) is None


@pytest.mark.parametrize("kind", [FieldKind.NUMBER, FieldKind.COUNTER])
@pytest.mark.parametrize("name", ["actualPowerTot_W", "powerFactorTot", "index"])
@pytest.mark.parametrize(
    "text",
    [
        *("nan", "NaN", "inf", "-inf", "Infinity", "1e309", "-9e999"),
        *("charging", "none", "on", "1_000", "12:30", "0x10", "1,5", "E031"),
    ],
)
def test_no_number(kind: FieldKind, name: str, text: str) -> None:
    """Where a number is asked for, nothing else is sent, whatever the name says."""
    assert to_value(state(text), name, None, kind) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e308", 1e308),
        ("-1.5e-300", -1.5e-300),
        ("1" * 250, float("1" * 250)),
        ("0", 0.0),
        ("-0.0", -0.0),
        (" 7 ", 7.0),
        ("+5", 5.0),
        ("12345678901234567890", 12345678901234567890.0),
    ],
)
def test_numbers(text: str, value: float) -> None:
    """Numbers of any form are floats."""
    got = value_of(state(text, state_class="measurement"), "index")
    assert type(got) is float
    assert math.copysign(1, got) == math.copysign(1, value)
    assert got == value


def test_conversion_that_overflows() -> None:
    """A finite number that the unit makes infinite is not sent."""
    assert value_of(state("1e308", "MW"), "actualPowerTot_W") is None


@pytest.mark.parametrize(
    ("entity_id", "text", "value"),
    [
        ("binary_sensor.door", "on", True),
        ("binary_sensor.door", "off", False),
        ("input_boolean.away", "off", False),
        ("light.hall", "on", True),
        ("switch.heater", "idle", None),
        ("sensor.mode", "on", "on"),
        ("climate.room", "off", "off"),
        ("input_text.word", "on", "on"),
        ("input_select.choice", "off", "off"),
    ],
)
def test_booleans(entity_id: str, text: str, value: Any) -> None:
    """On and off are booleans where nothing else is possible, words elsewhere."""
    got = value_of(state(text, entity_id=entity_id), "status")
    assert got == value
    assert type(got) is type(value)
    assert value_of(state(text, entity_id=entity_id), "heater_W") is None


@pytest.mark.parametrize(
    "text",
    [
        *("charging", "1_000", "12:30", "0x10", "Zürich ☀", "a\nb", "1,5"),
        *("0", "2.10", "00123", "1e5", "nan", " 7 ", "E031"),
    ],
)
def test_texts(text: str) -> None:
    """A text is sent as it is, also where it looks like a number."""
    assert value_of(state(text), "status") == text


def test_texts_of_an_enumeration() -> None:
    """A member that is a text counts as that text, and not as its own name."""

    class Colour(str, Enum):  # noqa: UP042
        RED = "red"

    assert str(Colour.RED) != "red"
    assert value_of(state("on", x=Colour.RED), "colour", "x") == "red"


def test_half_a_surrogate_pair() -> None:
    """What cannot be written down must not get into the outbox."""
    assert value_of(state("bad \ud800"), "status") is None
    assert value_of(state("on", note="\udfff"), "note", "note") is None


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("actualPowerTot_W", 5, 5.0),
        ("actualPowerTot_W", "5.5", 5.5),
        ("actualPowerTot_W", 2.5, 2.5),
        ("actualPowerTot_W", "five", None),
        ("actualPowerTot_W", True, None),
        ("actualPowerTot_W", math.nan, None),
        ("actualPowerTot_W", math.inf, None),
        ("powerFactorTot", "0.95", 0.95),
        ("signalActive", True, True),
        ("signalActive", False, False),
        ("status", "heating", "heating"),
        ("status", "5", "5"),
        ("status", "", None),
        ("status", "on", "on"),
        ("status", None, None),
        ("status", ["a"], None),
        ("status", {"a": 1}, None),
        ("status", 10**400, None),
        pytest.param("status", 10**5000, None, id="endless"),
        ("status", 3, 3.0),
    ],
)
def test_attributes(name: str, raw: Any, value: Any) -> None:
    """An attribute is in the unit of the name, whatever the unit of the state."""
    got = value_of(state("1", "kW", "switch.x", level=raw), name, "level")
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (FieldKind.NUMBER, True, None),
        (FieldKind.NUMBER, "heat", None),
        (FieldKind.BOOLEAN, "on", True),
        (FieldKind.BOOLEAN, 1, None),
        (FieldKind.BOOLEAN, ["on"], None),
        (FieldKind.TEXT, 5, "5"),
        (FieldKind.TEXT, True, None),
        pytest.param(FieldKind.TEXT, 10**5000, None, id="endless"),
    ],
)
def test_attribute_of_another_type(kind: FieldKind, raw: Any, value: Any) -> None:
    """A field keeps its kind when its attribute becomes something else."""
    got = to_value(state("on", level=raw), "status", "level", kind)
    assert got == value
    assert type(got) is type(value)


def test_attribute_of_the_unavailable() -> None:
    """What an entity said before it became unavailable does not hold any more."""
    shown = state("unavailable", level=5)
    assert to_value(shown, "level", "level", FieldKind.NUMBER) is None
    assert to_value(state("on", level=5), "other", "missing", FieldKind.TEXT) is None


def test_sampled_part() -> None:
    """A change of anything that a value is made of makes a sample, and of nothing else."""
    power = state("1", "kW", device_class="power", level=5)
    assert sampled_part(power, None) == sampled_part(
        state("1", "kW", device_class="power", level=6), None
    )
    assert sampled_part(power, None) != sampled_part(state("1", "W"), None)
    assert sampled_part(power, "level") == sampled_part(state("2", level=5), "level")
    assert sampled_part(state("unknown"), None) is sampled_part(None, None) is None


@given(text=st.text(), name=st.sampled_from(["status", "actualPowerTot_W"]))
def test_any_text(text: str, name: str) -> None:
    """Whatever a state says: a finite float, a word that can be written down, or nothing."""
    value = value_of(State("sensor.x", "ok", {"text": text}), name, "text")
    if isinstance(value, str):
        assert name == "status"
        assert value
        assert value.encode()
    else:
        assert value is None or (type(value) is float and math.isfinite(value))


ENTITY = "sensor.some"


@pytest.mark.parametrize(
    ("field", "attributes", "states", "stored"),
    [
        ("status", {}, ["0", "E031", "0"], ["0", "E031", "0"]),
        ("firmware", {}, ["2.10", "2.10.1"], ["2.10", "2.10.1"]),
        ("code", {"options": ["1", "02"]}, ["1", "02"], ["1", "02"]),
        ("code", {}, ["unknown", "00123", "unavailable", "1e5"], ["00123", "1e5"]),
        ("index", {"state_class": "measurement"}, ["7", "Error", "8"], [7.0, 8.0]),
        ("x_W", {}, ["none", "5", "nan", "high", "6"], [5.0, 6.0]),
        (
            "powerFactorTot",
            {"device_class": "power_factor", "unit_of_measurement": "%"},
            ["95", "100"],
            [0.95, 1.0],
        ),
        (
            "spread_degC",
            {"device_class": "temperature_delta", "unit_of_measurement": "°F"},
            ["9", "0"],
            [5.0, 0.0],
        ),
        ("share_frac", {"unit_of_measurement": ""}, ["0.85", "0.9"], [0.85, 0.9]),
        ("reacPowerTot_VAr", {"unit_of_measurement": "kvar"}, ["1.5"], [1500.0]),
    ],
)
async def test_values_of_an_export(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    field: str,
    attributes: dict[str, Any],
    states: list[str],
    stored: list[Any],
) -> None:
    """A field has one type, and nothing that an entity shows makes the service refuse it."""
    await add_account(export_data({ENTITY: field}))
    for text in states:
        hass.states.async_set(ENTITY, text, attributes)
        await clock.advance(6)
    assert [value for _, value in received.values(field)] == stored
    assert set(received.statuses) == {204}


async def test_a_stored_kind_holds(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """What was decided once is not decided anew, though the entity has lost its unit."""
    hass.states.async_set(ENTITY, "5")
    row = {CONF_ENTITY: ENTITY, CONF_FIELD: "level", CONF_KIND: "number"}
    await add_account(export_data([row]))
    await clock.advance(6)
    hass.states.async_set(ENTITY, "Error")
    await clock.advance(6)
    assert [value for _, value in received.values("level")] == [5.0]
