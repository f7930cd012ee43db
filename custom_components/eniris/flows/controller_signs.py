"""What arrives from a controller beside what the cloud says, and which signs differ.

The signs of what a controller pushes are written down nowhere. Telemetry's are, so whoever looks
at both knows which powers have to be shown with the other sign.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import voluptuous as vol

from homeassistant.helpers.selector import (
    BooleanSelector,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)

from ..controller.fields import GROUPS
from ..controller.live import Live
from ..data import EnirisData
from ..importing.nodes import Node, in_sites

_POWER: Final = "actualPowerTot_W"
_LEAST: Final = 100.0
"""Watts: below that, a sign may be that of noise."""

_FACTOR: Final = 2.0
"""Powers that differ by more are not of the same thing, or not of the same moment."""

_OF_SITE: Final[Mapping[str, tuple[str | None, str]]] = {
    "grid": (_POWER, "powerMeter"),
    "storage": ("childrenStoragePower_W", "battery"),
    "solar": ("childrenProducedPower_W", "solarInverter"),
    "variable_power_load": ("childrenEVPower_W", "evCharger"),
    "heat_pump": (None, "heatPump"),
    "switched_load": (None, "switchedLoad"),
}
"""By group: the field of the site that says the same, and the type of the nodes that say it together."""


_NODES: Final = "nodes"
"""The field for all that is no group."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The power of a group or node: as it arrived, and what the cloud says for the same moment, in W."""

    source: str
    name: str
    is_group: bool
    received: float
    measured: float | None
    """None where the cloud says nothing of that moment."""

    @property
    def clearly_differs(self) -> bool:
        """Whether the two are of opposite signs, and otherwise the same."""
        if self.measured is None or self.received * self.measured >= 0:
            return False
        smaller, larger = sorted((abs(self.received), abs(self.measured)))
        return smaller >= _LEAST and larger <= _FACTOR * smaller


def compare(live: Live, data: EnirisData, site_node_id: str) -> list[Compared]:
    """Return every power that has arrived, groups first, beside what the account's telemetry says."""
    nodes = in_sites(data.nodes.data.all, [site_node_id])
    cloud = _Cloud(data, nodes.values(), site_node_id)
    compared = []
    for source, newest in live.powers.items():
        is_group = source in GROUPS and source not in nodes
        readings = list(cloud.of_group(source) if is_group else cloud.of_node(source))
        # What arrived at the time of what the cloud has; the cloud is some time behind
        then = (
            live.power_at(source, max(time for time, _ in readings))
            if readings
            else None
        )
        compared.append(
            Compared(
                source,
                _name(nodes, source),
                is_group,
                newest if then is None else then,
                None if then is None else sum(power for _, power in readings),
            )
        )
    return sorted(compared, key=lambda each: not each.is_group)


def _name(nodes: Mapping[str, Node], source: str) -> str:
    node = nodes.get(source)
    return (None if node is None else node.device.name) or source


class _Cloud:
    """The newest powers in the telemetry of one site, each with its time."""

    def __init__(
        self, data: EnirisData, nodes: Iterable[Node], site_node_id: str
    ) -> None:
        self._nodes = list(nodes)
        self._site = site_node_id
        self._newest: dict[tuple[str, str], tuple[datetime, float]] = {}
        for key, reading in data.telemetry.data.items():
            value: Any = reading.value
            if isinstance(value, int | float) and not isinstance(value, bool):
                its = key.node_id, key.field
                known = self._newest.get(its)
                if known is None or known[0] < reading.time:
                    self._newest[its] = reading.time, float(value)

    def of_node(self, node_id: str) -> Iterator[tuple[datetime, float]]:
        """Yield the power of a node, if it is known."""
        if (found := self._newest.get((node_id, _POWER))) is not None:
            yield found

    def of_group(self, group: str) -> Iterator[tuple[datetime, float]]:
        """Yield what the site says of a group, else what each of its nodes says."""
        field, node_type = _OF_SITE[group]
        if field is not None and (found := self._newest.get((self._site, field))):
            yield found
            return
        for node in self._nodes:
            if node.device.node_type == node_type and (
                # Circuits have meters, too, but their parents are switchboards
                group != "grid" or self._site in node.device.parents
            ):
                yield from self.of_node(node.id)


def signs_form(
    powers: Sequence[Compared], inverted: Sequence[str] | None
) -> vol.Schema:
    """Return the form that asks which powers have the other sign.

    Preset are those that were chosen before, or else those that clearly differ.
    """
    preset = [
        power.source
        for power in powers
        if (power.clearly_differs if inverted is None else power.source in inverted)
    ]
    schema: dict[Any, Any] = {
        vol.Required(power.source, default=power.source in preset): BooleanSelector()
        for power in powers
        if power.is_group
    }
    if nodes := [power for power in powers if not power.is_group]:
        chosen = [node.source for node in nodes if node.source in preset]
        schema[vol.Required(_NODES, default=chosen)] = SelectSelector(
            SelectSelectorConfig(
                options=[
                    SelectOptionDict(
                        value=node.source,
                        label=f"{node.name}: {_watts(node.received)} / {_watts(node.measured)}",
                    )
                    for node in nodes
                ],
                multiple=True,
                mode=SelectSelectorMode.LIST,
            )
        )
    return vol.Schema(schema)


def quoted_powers(powers: Iterable[Compared]) -> dict[str, str]:
    """Return what the texts of the form quote."""
    quoted = {}
    for power in powers:
        if power.is_group:
            quoted[f"{power.source}_received"] = _watts(power.received)
            quoted[f"{power.source}_measured"] = _watts(power.measured)
    return quoted


def chosen_signs(
    user_input: Mapping[str, Any], powers: Iterable[Compared], before: Iterable[str]
) -> list[str]:
    """Return what is inverted after the form: what was chosen, and what it did not show as it was before."""
    nodes = user_input.get(_NODES, ())
    shown = {power.source for power in powers}
    return sorted(
        {
            *nodes,
            *(source for source in shown if user_input.get(source) is True),
            *(source for source in before if source not in shown),
        }
    )


def _watts(power: float | None) -> str:
    return "–" if power is None else f"{round(power)} W"
