"""What the meters of a node make of the flows at one instant: fields by name.

Signs follow the service: import, charging and consumption are positive, export and discharging
negative; the sun's production is positive.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import hypot, sin, sqrt
from typing import Final, NamedTuple

from simulator.model import FieldValue

from .profile import BATTERY_CAPACITY_WH, BATTERY_POWER_W, CarState, Flows, HeatMode

type Flow = Callable[[Flows], float]
"""A linear combination of flows: it holds for watts and joules alike."""

type Phases = Callable[[Flows], tuple[float, float, float]]
"""A flow on each of the three phases."""


class Rules(NamedTuple):
    """What the controller keeps to: limits at the connection in W, for a site of scale 1, and policies.

    Without a policy the controller decides, and keeps to its forecast.
    """

    import_w: float = 17_250
    export_w: float = 10_000
    storage: str | None = None
    solar: str | None = None


@dataclass(slots=True)
class Instant:
    """All that a meter can see at one instant.

    `watts` are means over `step_s` seconds from `time_s` (Unix) on, `joules` what has flowed before.
    """

    time_s: int
    step_s: int
    scale: float
    watts: Flows
    joules: Flows
    state_of_charge: float
    car: CarState
    heat: HeatMode
    rules: Rules


@dataclass(frozen=True, slots=True)
class Part:
    """Fields of a measurement that are written together, every so many seconds."""

    fill: Callable[[Instant], dict[str, FieldValue]]
    every_s: int = 1
    deltas: Mapping[str, Flow] = field(default_factory=dict)
    """The flows of the fields that hold the energy of one interval."""

    @property
    def names(self) -> list[str]:
        """Names of the fields."""
        return list(self.fill(_NOTHING))


_NO_FLOW = Flows(*[0.0] * len(Flows._fields))
_NOTHING: Final = Instant(
    0, 1, 1.0, _NO_FLOW, _NO_FLOW, 0.5, CarState.AWAY, HeatMode.OFF, Rules()
)


def sun(flows: Flows) -> float:
    """Production of all strings."""
    return flows.sun_east + flows.sun_west


def grid(flows: Flows) -> float:
    """Import from the grid, negative for export."""
    return flows.imported - flows.exported


def grid_phases(flows: Flows) -> tuple[float, float, float]:
    """Import from the grid by phase; together they are `grid`."""
    balanced = (flows.heat + flows.car + hybrid(flows)) / 3
    return (
        balanced + flows.kitchen + 0.2 * flows.rest,
        balanced + 0.5 * flows.rest,
        balanced + 0.3 * flows.rest,
    )


def battery(flows: Flows) -> float:
    """Charging, negative for discharging."""
    return flows.charge - flows.discharge


def hybrid_import(flows: Flows) -> float:
    """Draw of a hybrid inverter, which charges from its own strings unless it is told otherwise."""
    return flows.standby + flows.drawn


def hybrid_export(flows: Flows) -> float:
    """Delivery of a hybrid inverter."""
    return (
        flows.sun_east + flows.sun_west + flows.discharge - (flows.charge - flows.drawn)
    )


def hybrid(flows: Flows) -> float:
    """Draw of a hybrid inverter, negative for delivery."""
    return (
        flows.standby + flows.charge - flows.discharge - flows.sun_east - flows.sun_west
    )


def consumption(flows: Flows) -> float:
    """Everything that the house draws, standby of the inverter included."""
    return flows.heat + flows.car + flows.kitchen + flows.rest + flows.standby


def self_consumption(flows: Flows) -> float:
    """Production that the grid does not get."""
    return sun(flows) - flows.exported


def nothing(flows: Flows) -> float:
    """No flow at all: the export of a load."""
    del flows
    return 0.0


def share(flow: Flow, part: float) -> Flow:
    """Return a fixed share of a flow."""
    return lambda flows: part * flow(flows)


def balanced(flow: Flow) -> Phases:
    """Return a flow spread evenly over the phases."""

    def phases(flows: Flows) -> tuple[float, float, float]:
        third = flow(flows) / 3
        return third, third, third

    return phases


def power(flow: Flow, phases: Phases | None = None) -> Part:
    """Active power, in total and by phase where there are several."""
    if phases is None:
        return Part(lambda instant: {"actualPowerTot_W": flow(instant.watts)})

    def fill(instant: Instant) -> dict[str, FieldValue]:
        first, second, third = phases(instant.watts)
        return {
            "actualPowerTot_W": flow(instant.watts),
            "actualPowerL1_W": first,
            "actualPowerL2_W": second,
            "actualPowerL3_W": third,
        }

    return Part(fill)


def energy(*, counters: bool = True, **flows: Flow) -> Part:
    """Energy of one interval and, with `counters`, of the lifetime, for each prefix of a name."""
    deltas = {f"{prefix}EnergyDeltaTot_Wh": flow for prefix, flow in flows.items()}
    totals = {f"{prefix}AbsEnergyTot_Wh": flow for prefix, flow in flows.items()}

    def fill(instant: Instant) -> dict[str, FieldValue]:
        watts, hours = instant.watts, instant.step_s / 3600
        fields: dict[str, FieldValue] = {
            name: flow(watts) * hours for name, flow in deltas.items()
        }
        if counters:
            joules = instant.joules
            for name, flow in totals.items():
                fields[name] = flow(joules) / 3600
        return fields

    return Part(fill, deltas=deltas)


def frequency(time_s: int) -> float:
    """Return the grid's frequency in Hz."""
    return round(
        50
        + 0.012 * sin(time_s / 53)
        + 0.009 * sin(time_s / 17.3)
        + 0.006 * sin(time_s / 5.1),
        3,
    )


def voltages(instant: Instant) -> tuple[float, float, float]:
    """Return the voltages of the phases against neutral: the grid's own, and the house's drop."""
    time_s = instant.time_s
    supply = 231.2 + 1.7 * sin(time_s / 13_750) + 0.4 * sin(time_s / 97)
    drop = 0.0008 / instant.scale
    first, second, third = grid_phases(instant.watts)
    return (
        round(supply + 0.5 - drop * first, 2),
        round(supply - 0.7 - drop * second, 2),
        round(supply + 0.2 - drop * third, 2),
    )


def electrical(phases: Phases) -> Part:
    """Voltages, currents, power factors and reactive power of a three-phase connection."""

    def fill(instant: Instant) -> dict[str, FieldValue]:
        p1, p2, p3 = phases(instant.watts)
        u1, u2, u3 = voltages(instant)
        idle = 16 * instant.scale
        q1, q2, q3 = idle + 0.06 * abs(p1), idle + 0.06 * abs(p2), idle + 0.06 * abs(p3)
        s1, s2, s3 = hypot(p1, q1), hypot(p2, q2), hypot(p3, q3)
        i1, i2, i3 = s1 / u1, s2 / u2, s3 / u3
        p, q = p1 + p2 + p3, q1 + q2 + q3
        return {
            "voltageL1N_V": u1,
            "voltageL2N_V": u2,
            "voltageL3N_V": u3,
            "voltageL1L2_V": sqrt(u1 * u1 + u2 * u2 + u1 * u2),
            "voltageL2L3_V": sqrt(u2 * u2 + u3 * u3 + u2 * u3),
            "voltageL3L1_V": sqrt(u3 * u3 + u1 * u1 + u3 * u1),
            "currentL1_A": i1,
            "currentL2_A": i2,
            "currentL3_A": i3,
            "currentN_A": sqrt(
                max(0.0, i1 * i1 + i2 * i2 + i3 * i3 - i1 * i2 - i2 * i3 - i3 * i1)
            ),
            "powerFactorTot": p / hypot(p, q),
            "powerFactorL1": p1 / s1,
            "powerFactorL2": p2 / s2,
            "powerFactorL3": p3 / s3,
            "reacPowerTot_VAr": q,
            "reacPowerL1_VAr": q1,
            "reacPowerL2_VAr": q2,
            "reacPowerL3_VAr": q3,
            "frequency_Hz": frequency(instant.time_s),
        }

    return Part(fill)


def single_phase(flow: Flow) -> Part:
    """Voltage, current, power factor and reactive power of a connection to the first phase."""

    def fill(instant: Instant) -> dict[str, FieldValue]:
        p = flow(instant.watts)
        u = voltages(instant)[0]
        q = 3 * instant.scale + 0.08 * abs(p)
        s = hypot(p, q)
        return {
            "actualPowerL1_W": p,
            "voltageL1N_V": u,
            "currentL1_A": s / u,
            "powerFactorTot": p / s,
            "reacPowerTot_VAr": q,
            "frequency_Hz": frequency(instant.time_s),
        }

    return Part(fill)


def response_time(phase: int) -> Part:
    """How long the controller took to read the device."""
    return Part(
        lambda instant: {
            "getMeasTime_s": round(0.14 + 0.05 * sin(instant.time_s / 411 + phase), 3)
        }
    )


def battery_state() -> Part:
    """State of charge, and the battery's own voltage and current."""

    def fill(instant: Instant) -> dict[str, FieldValue]:
        watts = battery(instant.watts)
        load = watts / (instant.scale * BATTERY_POWER_W)
        volts = round(49.6 + 3.4 * instant.state_of_charge + 1.2 * load, 2)
        return {
            "stateOfCharge_frac": instant.state_of_charge,
            "batteryVoltage_V": volts,
            "batteryCurrent_A": watts / volts,
        }

    return Part(fill)


def battery_health() -> Part:
    """State and health of the battery, which change too seldom to be written with every row."""

    def fill(instant: Instant) -> dict[str, FieldValue]:
        watts = battery(instant.watts)
        status = "CHARGING" if watts > 5 else "DISCHARGING" if watts < -5 else "IDLE"
        # Wear comes with use
        given_wh = instant.joules.discharge / (instant.scale * 3600)
        cycles = given_wh / BATTERY_CAPACITY_WH
        return {"status": status, "stateOfHealth_frac": round(1.0 - cycles * 2e-5, 4)}

    return Part(fill, every_s=10)


def inverter_state() -> Part:
    """State of an inverter."""

    def fill(instant: Instant) -> dict[str, FieldValue]:
        flows = instant.watts
        running = sun(flows) + flows.charge + flows.discharge > 0
        return {
            "status": "RUNNING" if running else "STANDBY",
            "operationMode": "SELF_CONSUMPTION",
        }

    return Part(fill, every_s=10)


def inverter_setpoints() -> Part:
    """Powers that the controller asks of a hybrid inverter."""
    return Part(
        lambda instant: {
            "powerSetpoint_W": hybrid(instant.watts),
            "reacPowerSetpoint_VAr": 0.0,
        }
    )


def string_state(flow: Flow) -> Part:
    """Direct voltage and current of a solar string."""

    def fill(instant: Instant) -> dict[str, FieldValue]:
        watts = flow(instant.watts)
        volts = round(412 - 0.006 * watts / instant.scale, 1) if watts > 0 else 0.0
        return {
            "voltageDC_V": volts,
            "currentDC_A": watts / volts if volts else 0.0,
        }

    return Part(fill)


def car_state() -> Part:
    """State of a charge point and of the car at it."""

    def fill(instant: Instant) -> dict[str, FieldValue]:
        car = instant.car
        return {
            "status": car.name,
            "operationMode": "SMART",
            "evRequiringCharge": car in (CarState.WAITING, CarState.CHARGING),
            "setpoint_W": 11_040 * instant.scale if car is CarState.CHARGING else 0.0,
        }

    return Part(fill)


def heat_state() -> Part:
    """State of a heat pump."""

    def fill(instant: Instant) -> dict[str, FieldValue]:
        heat = instant.heat
        return {
            "status": "IDLE" if heat is HeatMode.OFF else "RUNNING",
            "operationMode": heat.name,
        }

    return Part(fill)


def signal() -> Part:
    """Relay of a grid operator who asks for less around the evening peak."""
    return Part(
        lambda instant: {
            "signalActive": 17 * 3600 <= instant.time_s % 86_400 < 19 * 3600
        }
    )


def switched_state(flow: Flow) -> Part:
    """Whether a switched load is on."""

    def fill(instant: Instant) -> dict[str, FieldValue]:
        on = flow(instant.watts) > 30 * instant.scale
        return {"status": "ON" if on else "OFF"}

    return Part(fill)


def children(*, storage: bool, car: bool, other: Flow) -> Part:
    """Totals of the nodes below a site; `other` is what no meter of a child sees."""

    def fill(instant: Instant) -> dict[str, FieldValue]:
        flows = instant.watts
        fields: dict[str, FieldValue] = {
            "childrenProducedPower_W": sun(flows),
            "childrenConsumedPower_W": consumption(flows),
            "childrenOtherPower_W": other(flows),
        }
        if storage:
            fields["childrenStoragePower_W"] = battery(flows)
            fields["childrenStorageStateOfCharge_frac"] = instant.state_of_charge
        if car:
            fields["childrenEVPower_W"] = flows.car
        return fields

    return Part(fill)


def site_state() -> Part:
    """Aims of the controller, and the limits that it keeps."""
    return Part(
        lambda instant: {
            "policy": _in_telemetry(instant.rules.storage or "self-consumption"),
            "strategy": "DEFAULT",
            "constraint_ph0_label": _in_telemetry(instant.rules.solar or "none"),
            "importLimit_W": instant.rules.import_w * instant.scale,
            "exportLimit_W": instant.rules.export_w * instant.scale,
        },
        every_s=10,
    )


def _in_telemetry(policy: str) -> str:
    """Return the word of telemetry for a policy of a schedule."""
    return policy.upper().replace("-", "_")
