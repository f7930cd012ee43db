"""Whatever states and attributes followed entities have: each value is taken or left, and harms none."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag, StrEnum
import logging
import math
from typing import Any, Final

from freezegun.api import FrozenDateTimeFactory
from hypothesis import given, strategies as st
import pytest

from custom_components.eniris.const import (
    CONF_AGGREGATE,
    CONF_ATTRIBUTE,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_HEARTBEAT,
    CONF_INTERVAL,
    CONF_MEASUREMENT,
    CONF_MODE,
    CONF_RETENTION_POLICY,
)
from custom_components.eniris.exporting.exporter import Exporter
from custom_components.eniris.exporting.outbox.live import load_rejects
from homeassistant.components.sensor import SensorDeviceClass
from homeassistant.core import HomeAssistant
from simulator.server import Simulator
from tests.conftest import is_ours
from tests.kit.exports import Home, MeterWorld, home_with_account

from .documents import values
from .effort import PATIENCE, effort

pytestmark = PATIENCE

WITNESS: Final = "sensor.witness"
ODD: Final = "sensor.odd"
SWITCH: Final = "switch.odd"
TOLD: Final = "Eniris refuses a value of field"
"""What the service says of a field that changes its type."""


class _Colour(str, Enum):  # noqa: UP042
    RED = "red"


class _Word(StrEnum):
    BLUE = "blue"


class _Step(IntEnum):
    ONE = 1


class _Feature(IntFlag):
    SOME = 6


class _Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise TypeError("no text today")


class _Number(float):
    __slots__ = ()


class _Moment(datetime):
    pass


objects = st.sampled_from(
    [
        _Colour.RED,
        _Word.BLUE,
        _Step.ONE,
        _Feature.SOME,
        _Text("quiet"),
        _Number(2.5),
        _Number("nan"),
        _Moment(2026, 7, 1, tzinfo=UTC),
        date(2026, 7, 1),
        timedelta(1),
        Decimal("1.5"),
        Decimal("sNaN"),
        b"5",
        bytearray(b"5"),
        {5, "x"},
        frozenset({1}),
        range(3),
        complex(1, 2),
        object(),
        SensorDeviceClass.ENUM,
        [1, {"x": _Step.ONE}],
        (1, 2),
    ]
)
attribute_values = values | objects
units = st.sampled_from(["W", "kW", "V", "%", "°C", "MWh", "w", ""]) | attribute_values
device_classes = st.sampled_from(["power", "enum", "energy"]) | attribute_values
state_texts = (
    st.sampled_from(
        [
            "1.5",
            "-0",
            "1e999",
            "nan",
            "inf",
            "1_000",
            "٣",
            " 7 ",
            "0x10",
            "on",
            "off",
            "unknown",
            "unavailable",
            "None",
            "",
            "high",
            "\ud83d",
            "1" * 255,
        ]
    )
    | st.text(st.characters(), max_size=255)
    | st.floats().map(str)
)
attributes = st.fixed_dictionaries(
    {},
    optional={
        "x": attribute_values,
        "unit_of_measurement": units,
        "device_class": device_classes,
        "state_class": attribute_values,
        "friendly_name": attribute_values,
        "restored": attribute_values,
    },
)
changes = st.tuples(
    st.sampled_from([ODD, SWITCH]), st.none() | state_texts, attributes, st.booleans()
)


@pytest.fixture(autouse=True)
def no_log_of_ours(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Let the service refuse types, and nothing else, in the place of the fixture that lets nothing pass."""
    yield
    assert not complaints(caplog)


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the log has of errors, whoever's, and of warnings of ours."""
    return [
        f"{record.getMessage()} {record.exc_text or ''}"
        for record in caplog.records
        if (
            (record.levelno >= logging.ERROR and record.name != "asyncio")
            or (record.levelno >= logging.WARNING and is_ours(record))
        )
        and TOLD not in record.getMessage()
    ]


WHEN: Final[tuple[dict[str, Any], ...]] = (
    {CONF_MODE: "change"},
    {CONF_MODE: "interval", CONF_INTERVAL: 1, CONF_HEARTBEAT: 3},
    {CONF_MODE: "interval", CONF_INTERVAL: 2, CONF_AGGREGATE: "mean"},
)


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


@pytest.fixture
async def home(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    user_input: dict[str, Any],
) -> Home:
    """Return a home of which three exports follow an entity that is odd, each in its way."""
    home = await home_with_account(hass, freezer, simulator, user_input)
    for number, when in enumerate(WHEN):
        rows = [
            {CONF_ENTITY: WITNESS, CONF_FIELD: "witness_W"},
            {CONF_ENTITY: ODD, CONF_FIELD: "odd_W"},
            {CONF_ENTITY: ODD, CONF_FIELD: "odd_frac"},
            {CONF_ENTITY: ODD, CONF_FIELD: "odd"},
            {CONF_ENTITY: SWITCH, CONF_FIELD: "switch"},
            {CONF_ENTITY: ODD, CONF_FIELD: "part_W", CONF_ATTRIBUTE: "x"},
            {CONF_ENTITY: SWITCH, CONF_FIELD: "part", CONF_ATTRIBUTE: "x"},
        ]
        changes: dict[str, Any] = {
            CONF_FIELDS: rows,
            CONF_RETENTION_POLICY: "rp_one_s",
            CONF_MEASUREMENT: f"measurement_{number}",
        }
        await home.add_export({}, title=f"Export {number}", **changes, **when)
    return home


def is_sound(field: str, value: Any) -> bool:
    """Tell whether a stored value has a type that its field may have."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return not field.endswith(("_W", "_frac")) and bool(value.encode())
    return type(value) is bool


@effort(20)
@given(steps=st.lists(st.lists(changes, max_size=3), min_size=1, max_size=4))
async def test_any_state(
    home: Home,
    caplog: pytest.LogCaptureFixture,
    steps: list[list[tuple[str, str | None, dict[str, Any], bool]]],
) -> None:
    """Whatever becomes of an entity, all values of another arrive, in all modes."""
    caplog.clear()
    home.simulator.store.clear()
    states = home.hass.states
    for entity_id in (ODD, SWITCH, WITNESS):
        states.async_remove(entity_id)
    await home.wait(4)
    home.simulator.store.clear()
    for number, step in enumerate(steps):
        states.async_set(WITNESS, f"{number}.5", {"unit_of_measurement": "W"})
        for entity_id, text, odd, force in step:
            if text is None:
                states.async_remove(entity_id)
            else:
                states.async_set(entity_id, text, odd, force_update=force)
        await home.wait(1)
    await home.wait(3)
    exporter: Exporter = home.entry.runtime_data.exporter
    assert await exporter.async_upload_now() is None
    assert not complaints(caplog)
    for number in range(3):
        points = home.points(measurement=f"measurement_{number}")
        witness = [
            point.fields["witness_W"] for point in points if "witness_W" in point.fields
        ]
        assert witness[-1] == len(steps) - 0.5
        if number == 0:
            assert witness == [at + 0.5 for at in range(len(steps))]
        for point in points:
            for field, value in point.fields.items():
                assert is_sound(field, value), (field, value)
    figures = (await exporter.outbox.refresh_figures()).values()
    assert not sum(each.waiting + each.dropped for each in figures)
    assert exporter.outbox.problem is None
    # A field has one kind, so that no state has a value of a type that the service refuses
    assert not exporter.outbox.blocked
    assert not await exporter.outbox.store.run(load_rejects)
