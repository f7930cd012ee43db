"""The blueprints: they can be imported, and automations made of them do what they say."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
import shutil
import time
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    async_fire_time_changed,
    async_mock_service,
)

from homeassistant.components.automation.config import AUTOMATION_BLUEPRINT_SCHEMA
from homeassistant.components.blueprint.models import Blueprint
from homeassistant.config_entries import ConfigSubentry
from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    State,
    SupportsResponse,
)
from homeassistant.exceptions import HomeAssistantError
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from homeassistant.util.yaml import load_yaml_dict
from simulator.server import Simulator
from simulator.world import HomeWorld
from tests.kit.common import advance, set_up_frozen
from tests.kit.exports import INGRESS, POWER, START, Home, MeterWorld

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "blueprints" / "automation" / "eniris"
BLUEPRINTS = sorted(FOLDER.glob("*.yaml"))

GRID = "sensor.grid_power"
BATTERY = "sensor.battery_power"
CHARGE = "sensor.battery_charge"
CHARGER = "input_boolean.charger"
CURRENT = "input_number.current"
MINUTES_10 = {"minutes": 10}
AUTOMATION = "automation.made_of_it"

OUTAGE = pytest.mark.expected_log("cannot be uploaded at present and wait:")


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


type Automate = Callable[[str, Mapping[str, Any]], Awaitable[None]]


@pytest.fixture
async def automate(hass: HomeAssistant) -> AsyncIterator[Automate]:
    """Return what imports a blueprint and makes an automation of it, with these inputs."""
    # The actions that turn anything on and off
    assert await async_setup_component(hass, "homeassistant", {})

    async def automate(blueprint: str, inputs: Mapping[str, Any]) -> None:
        folder = Path(hass.config.path("blueprints", "automation", "eniris"))
        await hass.async_add_executor_job(shutil.copytree, FOLDER, folder)
        made = {"path": f"eniris/{blueprint}.yaml", "input": dict(inputs)}
        config = {"automation": {"alias": "Made of it", "use_blueprint": made}}
        assert await async_setup_component(hass, "automation", config)
        await hass.async_block_till_done()
        assert hass.states.is_state(AUTOMATION, "on")

    yield automate
    # The clock that it listens to would outlive the test
    await hass.services.async_call(
        "automation", "turn_off", {"entity_id": AUTOMATION}, blocking=True
    )


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_a_blueprint_can_be_imported(path: Path) -> None:
    """Home Assistant accepts it, it names the version that it needs, and can be found where it says."""
    blueprint = Blueprint(
        load_yaml_dict(str(path)),
        path=path.name,
        expected_domain="automation",
        schema=AUTOMATION_BLUEPRINT_SCHEMA,
    )
    assert blueprint.validate() is None
    assert blueprint.metadata["homeassistant"]["min_version"] == "2025.4.0"
    assert blueprint.metadata["source_url"] == (
        "https://github.com/eniris-home-assistant/eniris/blob/main/"
        f"{path.relative_to(ROOT).as_posix()}"
    )
    for name, option in blueprint.inputs.items():
        assert option is not None, name
        assert option["name"], name
        assert option["description"], name
        assert option["selector"], name


# Tell me when an export is stuck


class Phone:
    """A phone that gets messages."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Be what the action `notify.phone` reaches."""
        self._calls = async_mock_service(hass, "notify", "phone")

    @property
    def has_message(self) -> bool:
        """Whether there is something to read."""
        return bool(self._calls)

    @property
    def messages(self) -> list[tuple[str, str]]:
        """Title and text of what came in since this was last looked at."""
        messages = [(call.data["title"], call.data["message"]) for call in self._calls]
        self._calls.clear()
        return messages


TO_PHONE = [
    {
        "action": "notify.phone",
        "data": {"title": "{{ title }}", "message": "{{ message }}"},
    }
]


async def until(home: Home, step: float, done: Callable[[], bool]) -> None:
    """Let time pass until something has happened.

    `Home.wait` would wait for the automation, and that waits for the time.
    """
    for _ in range(200):
        home.freezer.tick(step)
        async_fire_time_changed(home.hass)
        for _ in range(4):
            # The loop's clock stands still
            await home.hass.async_add_executor_job(time.sleep, 0.005)
            if done():
                return
    pytest.fail("It did not happen")


def state_of(hass: HomeAssistant, entity_id: str) -> State:
    """Return the state of an entity that is there."""
    state = hass.states.get(entity_id)
    assert state is not None
    return state


async def add_export(home: Home, title: str) -> tuple[str, ConfigSubentry]:
    """Add an export that works; return its sensor of problems, and itself."""
    home.hass.states.async_set(POWER, "1.5", {"unit_of_measurement": "kW"})
    export = await home.add_export(
        {POWER: "actualPowerTot_W"}, title=title, tags={"serialNr": title}
    )
    await home.wait(10)
    return home.entity_id(export, "binary_sensor", "problem"), export


@OUTAGE
async def test_a_stuck_export_is_told_of_once_with_reason_and_number(
    home: Home, hass: HomeAssistant, simulator: Simulator, automate: Automate
) -> None:
    """Only after the time that was chosen; and once more when it is over."""
    phone = Phone(hass)
    problem, export = await add_export(home, "P1 meter")
    await automate(
        "export_stuck",
        {"problems": [problem], "patience": MINUTES_10, "tell": TO_PHONE},
    )
    fault = simulator.faults.add(INGRESS, "status", status=503)
    for kilowatts in ("1.6", "1.7"):
        hass.states.async_set(POWER, kilowatts, {"unit_of_measurement": "kW"})
        await home.wait(60, step=5)
    since = state_of(hass, problem)
    assert since.state == "on"
    await home.wait(
        (since.last_changed + timedelta(minutes=9) - dt_util.utcnow()).total_seconds(),
        step=20,
    )
    assert phone.messages == []

    await until(home, 10, lambda: phone.has_message)
    assert dt_util.utcnow() >= since.last_changed + timedelta(minutes=10)
    reason = state_of(hass, problem).attributes["reason"]
    assert "503" in reason
    assert home.shown(export, "waiting") == "2"
    assert phone.messages == [
        ("Values don't reach Eniris", f"P1 meter: {reason}. Waiting values: 2.")
    ]

    simulator.faults.remove(fault.id)
    await until(home, 20, lambda: hass.states.is_state(problem, "off"))
    await until(home, 1, lambda: phone.has_message)
    assert phone.messages == [
        (
            "Values reach Eniris again",
            "No data export is stuck anymore. Waiting values are uploaded automatically.",
        )
    ]
    # It is done, and waits for the next time
    await home.settle()
    assert state_of(hass, AUTOMATION).attributes["current"] == 0


@OUTAGE
async def test_one_message_tells_of_all_exports_that_are_stuck(
    home: Home, hass: HomeAssistant, simulator: Simulator, automate: Automate
) -> None:
    """An outage stops them within seconds; nobody wants a message for each, or one at the end who said so."""
    phone = Phone(hass)
    stuck = [await add_export(home, title) for title in ("Meter", "Boiler")]
    problems = [problem for problem, _ in stuck]
    await automate(
        "export_stuck",
        {
            "problems": problems,
            "patience": {"seconds": 30},
            "tell_when_over": False,
            "tell": TO_PHONE,
        },
    )
    fault = simulator.faults.add(INGRESS, "status", status=503)
    hass.states.async_set(POWER, "1.6", {"unit_of_measurement": "kW"})
    await until(home, 1, lambda: phone.has_message)
    await home.settle()
    [(_, message)] = phone.messages
    assert [line.split(":")[0] for line in message.splitlines()] == ["Meter", "Boiler"]
    assert all("Waiting values: 1." in line for line in message.splitlines())

    simulator.faults.remove(fault.id)
    await home.wait(120, step=5)
    assert [state_of(hass, problem).state for problem in problems] == ["off", "off"]
    assert phone.messages == []


@OUTAGE
async def test_without_a_choice_the_message_is_in_home_assistant(
    home: Home, hass: HomeAssistant, simulator: Simulator, automate: Automate
) -> None:
    """Nobody has to know what a notify action is."""
    messages = async_mock_service(hass, "persistent_notification", "create")
    problem, _ = await add_export(home, "Meter")
    await automate(
        "export_stuck",
        {"problems": [problem], "patience": {"seconds": 30}, "tell_when_over": False},
    )
    simulator.faults.add(INGRESS, "status", status=503)
    hass.states.async_set(POWER, "1.6", {"unit_of_measurement": "kW"})
    await until(home, 1, lambda: bool(messages))
    await home.settle()
    [call] = messages
    assert call.data["title"] == "Values don't reach Eniris"
    assert call.data["message"].startswith("Meter: ")


# Charge the car from surplus


@dataclass
class Charger:
    """A home with a charger, made of helpers of Home Assistant."""

    hass: HomeAssistant
    freezer: FrozenDateTimeFactory

    async def after(self, minutes: float) -> tuple[str, float]:
        """Let time pass; return whether the charger is on, and at which current."""
        for _ in range(round(minutes * 2)):
            self.freezer.tick(30)
            async_fire_time_changed(self.hass)
            await self.hass.async_block_till_done()
        return self.shown

    @property
    def shown(self) -> tuple[str, float]:
        """Whether the charger is on, and at which current."""
        current = float(state_of(self.hass, CURRENT).state)
        return state_of(self.hass, CHARGER).state, current

    def grid(self, power: str, unit: str = "W") -> None:
        """Show power at the connection to the grid."""
        self.hass.states.async_set(GRID, power, {"unit_of_measurement": unit})

    def battery(self, power: str, charge: str) -> None:
        """Show what the battery does."""
        self.hass.states.async_set(BATTERY, power, {"unit_of_measurement": "W"})
        self.hass.states.async_set(CHARGE, charge, {"unit_of_measurement": "%"})


@pytest.fixture
async def charger(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> Charger:
    """Return a charger that is off, at 6 A."""
    freezer.move_to(START)
    assert await async_setup_component(
        hass, "input_boolean", {"input_boolean": {"charger": {"initial": False}}}
    )
    numbers = {"current": {"min": 6, "max": 32, "initial": 6}}
    assert await async_setup_component(hass, "input_number", {"input_number": numbers})
    await hass.async_block_till_done()
    return Charger(hass, freezer)


WITH_CURRENT = {
    "grid_power": GRID,
    "charger": CHARGER,
    "current": CURRENT,
    "highest_current": 16,
    "shortest_time": MINUTES_10,
}


async def test_the_car_follows_the_surplus(
    charger: Charger, automate: Automate
) -> None:
    """On when there is enough, up and down with it, off when it has been gone for long enough."""
    charger.grid("-2500")
    await automate("charge_from_surplus", WITH_CURRENT)
    # It has been off for a minute only
    assert await charger.after(1) == ("off", 6)
    # 2500 W are 10.9 A
    assert await charger.after(10) == ("on", 10)

    # The car takes 2300 W of it. The same reading is not answered twice
    charger.grid("-200")
    assert await charger.after(2) == ("on", 10)
    charger.grid("-700")
    assert await charger.after(2) == ("on", 13)
    charger.grid("-5000")
    assert await charger.after(2) == ("on", 16)
    charger.grid("1200")
    assert await charger.after(1) == ("on", 10)

    # A cloud: it goes on with the least
    charger.grid("1600")
    assert await charger.after(1) == ("on", 6)
    charger.grid("0")
    assert await charger.after(1) == ("on", 6)
    # Less than what may come from the grid
    charger.grid("90")
    assert await charger.after(20) == ("on", 6)
    charger.grid("300")
    assert await charger.after(1) == ("off", 6)
    charger.grid("-1500")
    assert await charger.after(9) == ("off", 6)
    assert await charger.after(2) == ("on", 6)


async def test_too_little_never_starts_it(charger: Charger, automate: Automate) -> None:
    """Three phases take three times as much; kilowatts are no watts."""
    charger.grid("-3.9", "kW")
    await automate("charge_from_surplus", {**WITH_CURRENT, "phases": 3})
    assert await charger.after(30) == ("off", 6)
    charger.grid("-4.9", "kW")
    assert await charger.after(1) == ("on", 7)


async def test_silent_sensors_change_nothing_and_end_it_in_time(
    hass: HomeAssistant, charger: Charger, automate: Automate
) -> None:
    """Nobody's car is charged from the grid because a sensor fell silent."""
    charger.grid("-3000")
    await automate("charge_from_surplus", WITH_CURRENT)
    assert await charger.after(11) == ("on", 13)
    charger.grid("-800")
    assert await charger.after(20) == ("on", 16)
    charger.grid("unavailable")
    assert await charger.after(9) == ("on", 16)
    assert await charger.after(2) == ("off", 16)
    assert await charger.after(60) == ("off", 16)
    charger.grid("-1500")
    assert await charger.after(1) == ("on", 6)
    hass.states.async_remove(GRID)
    assert await charger.after(9) == ("on", 6)
    assert await charger.after(2) == ("off", 6)


async def test_a_charger_that_is_not_there_is_left_alone(
    hass: HomeAssistant, charger: Charger, automate: Automate
) -> None:
    """And is served when it is back."""
    hass.states.async_set(CHARGER, "unavailable")
    charger.grid("-3000")
    await automate("charge_from_surplus", WITH_CURRENT)
    assert await charger.after(30) == ("unavailable", 6)
    hass.states.async_set(CHARGER, "off")
    assert await charger.after(9) == ("off", 6)
    assert await charger.after(2) == ("on", 13)


async def test_a_charger_without_a_current_is_only_switched(
    charger: Charger, automate: Automate
) -> None:
    """What it takes is the lowest current."""
    charger.grid("-3500")
    inputs = {
        "grid_power": GRID,
        "charger": CHARGER,
        "lowest_current": 16,
        "shortest_time": MINUTES_10,
    }
    await automate("charge_from_surplus", inputs)
    assert await charger.after(30) == ("off", 6)
    charger.grid("-3600")
    assert await charger.after(1) == ("on", 6)
    charger.grid("80")
    assert await charger.after(30) == ("on", 6)
    charger.grid("150")
    assert await charger.after(1) == ("off", 6)


async def test_the_battery_comes_first_and_is_not_emptied_into_the_car(
    charger: Charger, automate: Automate
) -> None:
    """What it takes is surplus once it is full enough, what it gives never is."""
    charger.grid("0")
    charger.battery("3000", "50")
    inputs = {
        **WITH_CURRENT,
        "battery_power": BATTERY,
        "state_of_charge": CHARGE,
        "lowest_state_of_charge": 80,
    }
    await automate("charge_from_surplus", inputs)
    assert await charger.after(30) == ("off", 6)
    charger.battery("3000", "80")
    assert await charger.after(1) == ("on", 13)

    # The battery fills the gap, so that nothing comes from the grid
    charger.battery("-2000", "79")
    charger.grid("1")
    assert await charger.after(1) == ("on", 6)
    charger.battery("-2000", "81")
    assert await charger.after(9) == ("off", 6)

    charger.battery("unavailable", "95")
    charger.grid("-5000")
    assert await charger.after(30) == ("off", 6)


async def test_live_values_count_while_there_are_some(
    hass: HomeAssistant, charger: Charger, automate: Automate
) -> None:
    """In place of those that are polled, which count again when the controller falls silent."""
    live_grid, live_battery = "sensor.live_grid", "sensor.live_battery"
    charger.grid("500")
    charger.battery("-500", "90")
    hass.states.async_set(live_grid, "-2500")
    hass.states.async_set(live_battery, "200")
    inputs = {
        **WITH_CURRENT,
        "battery_power": BATTERY,
        "live_grid_power": live_grid,
        "live_battery_power": live_battery,
    }
    await automate("charge_from_surplus", inputs)
    # 2700 W
    assert await charger.after(11) == ("on", 11)
    hass.states.async_set(live_grid, "unavailable")
    hass.states.async_set(live_battery, "unavailable")
    charger.grid("510")
    assert await charger.after(1) == ("on", 6)
    charger.grid("3000")
    assert await charger.after(11) == ("off", 6)


# Mirror a P1 meter


MIRROR = {
    "collector": "demo-ingress",
    "database": "demo",
    "serial_number": "0012",
    "power_import": "sensor.p1_power_in",
    "power_export": "sensor.p1_power_out",
    "energy_import": ["sensor.p1_in_1", "sensor.p1_in_2"],
    "energy_export": ["sensor.p1_out_1"],
}


def show_meter(hass: HomeAssistant, **states: tuple[str, str]) -> None:
    """Show what a meter has measured: states and units."""
    for name, (state, unit) in states.items():
        hass.states.async_set(f"sensor.p1_{name}", state, {"unit_of_measurement": unit})


async def test_the_meter_is_mirrored_every_minute_in_the_right_units(
    home: Home, hass: HomeAssistant, automate: Automate
) -> None:
    """Power has a sign, tariffs are added up, and what is missing is left out."""
    show_meter(
        hass,
        power_in=("0", "kW"),
        power_out=("1.234", "kW"),
        in_1=("1000.001", "kWh"),
        in_2=("2000.5", "kWh"),
        out_1=("3.5", "MWh"),
    )
    await home.wait(5)
    await automate("mirror_p1", {**MIRROR, "account": home.entry.entry_id})
    await home.wait(70, step=10)
    show_meter(
        hass, power_in=("250", "W"), power_out=("0", "kW"), in_2=("unknown", "kWh")
    )
    await home.wait(60, step=10)
    show_meter(hass, power_in=("unavailable", "W"), out_1=("unavailable", "MWh"))
    await home.wait(60, step=10)

    points = home.points(measurement="gridMetrics")
    assert [dict(point.fields) for point in points] == [
        {
            "actualPowerTot_W": -1234.0,
            "importedAbsEnergyTot_Wh": 3000501.0,
            "exportedAbsEnergyTot_Wh": 3500000.0,
        },
        {"actualPowerTot_W": 250.0, "exportedAbsEnergyTot_Wh": 3500000.0},
    ]
    assert [point.time_ns for point in points] == [
        int((START + timedelta(minutes=minute)).timestamp()) * 10**9
        for minute in (1, 2)
    ]
    assert {
        (point.database, point.retention_policy, point.tags["serialNr"])
        for point in points
    } == {("demo", "rp_one_m", "0012")}


async def test_one_sensor_of_power_is_enough(
    home: Home, hass: HomeAssistant, automate: Automate
) -> None:
    """It has its sign itself."""
    show_meter(hass, power=("-320", "W"))
    inputs = {
        "account": home.entry.entry_id,
        "collector": "demo-ingress",
        "database": "demo",
        "serial_number": "1.50",
        "power_import": "sensor.p1_power",
        "measurement": "submeteringMetrics",
    }
    await home.wait(5)
    await automate("mirror_p1", inputs)
    await home.wait(65, step=10)
    [point] = home.points(measurement="submeteringMetrics")
    assert point.fields == {"actualPowerTot_W": -320.0}
    assert point.tags == {"serialNr": "1.50"}


# Run when electricity is cheapest

DEVICE = "input_boolean.device"
QUARTER = timedelta(minutes=15)


async def run_through(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    automate: Automate,
    end: str,
    **inputs: Any,
) -> tuple[str, list[datetime]]:
    """Return the price's entity, and the quarters of an hour in which the device ran."""
    [price] = [
        state.entity_id
        for state in hass.states.async_all("sensor")
        if state.entity_id.endswith("electricity_price")
    ]
    assert await async_setup_component(
        hass, "input_boolean", {"input_boolean": {"device": {}}}
    )
    await automate("run_when_cheapest", {"price": price, "device": DEVICE, **inputs})
    ran = []
    while (moment := dt_util.now()) < datetime.fromisoformat(end):
        await advance(hass, freezer, QUARTER)
        if hass.states.is_state(DEVICE, "on"):
            ran.append(moment + QUARTER)
    return price, ran


async def prices_of(hass: HomeAssistant, price: str, start: str, end: str) -> Any:
    """Return the periods of a price."""
    response = await hass.services.async_call(
        "eniris",
        "get_forecast",
        {"entity_id": price, "start": start, "end": end},
        blocking=True,
        return_response=True,
    )
    assert response is not None
    forecast: Any = response["forecast"]
    return forecast[price]


@pytest.mark.parametrize("world", [HomeWorld(seed=1)], ids=["home"])
@pytest.mark.parametrize(("hours", "quarters"), [(3, 12), (2.5, 10), (13, 52)])
async def test_it_runs_in_the_cheapest_hours(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    user_input: dict[str, Any],
    automate: Automate,
    hours: float,
    quarters: int,
) -> None:
    """It runs for as long as wanted, when that is cheapest, and is off at the end."""
    await hass.config.async_set_time_zone("Europe/Brussels")
    await set_up_frozen(hass, freezer, user_input, "2026-07-01T17:30:00+02:00")
    price, ran = await run_through(
        hass, freezer, automate, "2026-07-02T08:00:00+02:00", hours=hours
    )
    assert len(ran) == quarters
    night = ("2026-07-01T18:00:00+02:00", "2026-07-02T07:00:00+02:00")
    cheapest = sorted(
        await prices_of(hass, price, *night), key=lambda each: each["value"]
    )
    starts = [datetime.fromisoformat(each["start"]) for each in cheapest]
    assert {moment.replace(minute=0) for moment in ran} == set(
        starts[: -int(-hours // 1)]
    )


@pytest.mark.parametrize("world", [HomeWorld(seed=1)], ids=["home"])
async def test_what_is_switched_by_hand_is_left_alone(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    user_input: dict[str, Any],
    automate: Automate,
) -> None:
    """Before the stretch begins nothing is switched; when it has ended it is off."""
    await hass.config.async_set_time_zone("Europe/Brussels")
    await set_up_frozen(hass, freezer, user_input, "2026-07-01T12:00:00+02:00")
    await run_through(hass, freezer, automate, "2026-07-01T12:30:00+02:00")
    await hass.services.async_call(
        "homeassistant", "turn_on", {"entity_id": DEVICE}, blocking=True
    )
    for _ in range(4):
        await advance(hass, freezer, QUARTER)
        assert hass.states.is_state(DEVICE, "on")
    freezer.move_to("2026-07-02T06:59:00+02:00")
    await advance(hass, freezer, timedelta(minutes=1))
    assert hass.states.is_state(DEVICE, "off")


@pytest.mark.expected_log("Eniris|cannot")
@pytest.mark.parametrize("world", [HomeWorld(seed=1)], ids=["home"])
async def test_without_prices_nothing_is_switched(
    hass: HomeAssistant,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    user_input: dict[str, Any],
    automate: Automate,
) -> None:
    """While Eniris does not answer, it stays as it is until the end."""
    await hass.config.async_set_time_zone("Europe/Brussels")
    await set_up_frozen(hass, freezer, user_input, "2026-07-02T01:00:00+02:00")
    simulator.faults.add("/v1/telemetry/query", "status", status=503)
    _, ran = await run_through(
        hass, freezer, automate, "2026-07-02T03:00:00+02:00", hours=13
    )
    assert not ran


# Charge the battery when it is cheap, and feed nothing in at negative prices

LIMITS = {"import_limit": 9200, "export_limit": 5000}


def price_of(hass: HomeAssistant, name: str) -> str:
    """Return the entity of a price."""
    [price] = [
        state.entity_id
        for state in hass.states.async_all("sensor")
        if state.entity_id.endswith(name)
    ]
    return price


def told(hass: HomeAssistant, refusals: int = 0) -> list[dict[str, Any]]:
    """Take the place of the action that tells the controller; return what it is asked to tell."""
    calls: list[dict[str, Any]] = []

    async def set_schedule(call: ServiceCall) -> ServiceResponse:
        calls.append(dict(call.data))
        if len(calls) <= refusals:
            raise HomeAssistantError("nobody answers")
        return {"schedule_ids": ["1"], "replaced_ids": []}

    hass.services.async_register(
        "eniris",
        "set_schedule",
        set_schedule,
        supports_response=SupportsResponse.OPTIONAL,
    )
    return calls


@pytest.mark.parametrize("world", [HomeWorld(seed=1)], ids=["home"])
@pytest.mark.parametrize("refusals", [0, 2])
async def test_the_battery_is_charged_in_the_cheapest_hours(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    user_input: dict[str, Any],
    automate: Automate,
    refusals: int,
) -> None:
    """All runs of cheap hours are told at once, and told again until the controller has answered."""
    await hass.config.async_set_time_zone("Europe/Brussels")
    await set_up_frozen(hass, freezer, user_input, "2026-07-01T17:59:00+02:00")
    price = price_of(hass, "electricity_price")
    calls = told(hass, refusals)
    await automate(
        "charge_when_cheap",
        {"controller": "device", "price": price, "hours": 3.5, **LIMITS},
    )
    for _ in range(12):
        freezer.tick(300)
        async_fire_time_changed(hass)
        for _ in range(10):
            # What waits for the time cannot be waited for
            await hass.async_add_executor_job(time.sleep, 0.02)
    assert len(calls) == refusals + 1
    assert calls[-1]["device_id"] == "device"
    schedules = calls[-1]["schedules"]
    assert {
        (its["group"], its["policy"], its["import_limit"], its["export_limit"])
        for its in schedules
    } == {("storage", "cost", 9200, 5000)}
    runs = [
        (datetime.fromisoformat(its["start"]), datetime.fromisoformat(its["end"]))
        for its in schedules
    ]
    assert sum((end - start).total_seconds() for start, end in runs) == 3.5 * 3600
    assert all(before[1] < after[0] for before, after in pairwise(runs))
    periods = await prices_of(
        hass, price, "2026-07-01T19:00:00+02:00", "2026-07-02T07:00:00+02:00"
    )
    dearest = max(
        each["value"]
        for each in periods
        for start, end in runs
        if start < datetime.fromisoformat(each["end"])
        and datetime.fromisoformat(each["start"]) < end
    )
    assert sum(each["value"] < dearest for each in periods) <= 3


async def test_nothing_is_fed_in_at_negative_prices(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, automate: Automate
) -> None:
    """While the price is too low, each quarter of an hour holds the sun back for a little longer than that."""
    freezer.move_to("2026-07-01T12:01:00+00:00")
    calls = told(hass)
    hass.states.async_set("sensor.feed_in", "0.02")
    await automate(
        "solar_feed_in_negative_price",
        {"controller": "device", "price": "sensor.feed_in", **LIMITS},
    )
    await advance(hass, freezer, QUARTER)
    assert not calls
    hass.states.async_set("sensor.feed_in", "-0.01")
    await hass.async_block_till_done()
    assert calls.pop() == {
        "device_id": "device",
        "group": "solar",
        "policy": "feed-in-restriction",
        "start": dt_util.now().isoformat(),
        "end": (dt_util.now() + timedelta(minutes=20)).isoformat(),
        **LIMITS,
    }
    await advance(hass, freezer, QUARTER)
    assert len(calls) == 1
    for state in ("unavailable", "0"):
        hass.states.async_set("sensor.feed_in", state)
        await advance(hass, freezer, QUARTER)
    assert len(calls) == 1
