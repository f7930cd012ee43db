"""What a live value is to Home Assistant."""

import pytest

from custom_components.eniris.controller.fields import describe_live
from custom_components.eniris.controller.message import LiveKey


@pytest.mark.parametrize(
    ("source", "field", "unit", "state_class"),
    [
        ("grid", "active_power_W", "W", "measurement"),
        ("grid", "today_imported_energy_Wh", "Wh", "total_increasing"),
        ("storage", "energy_stored_Wh", "Wh", "measurement"),
        ("storage", "mean_soc_perc", "%", "measurement"),
    ],
)
def test_known(source: str, field: str, unit: str, state_class: str) -> None:
    """What is written down has its name, its unit and its statistics, and is enabled."""
    described = describe_live(LiveKey(source, field), is_node=False)
    assert described.translation_key
    assert described.native_unit_of_measurement == unit
    assert described.state_class == state_class
    assert described.entity_registry_enabled_default


def test_unknown() -> None:
    """What is not is named by group and field, and disabled; nobody says that an energy is a counter."""
    described = describe_live(LiveKey("wind", "today_energy_Wh"), is_node=False)
    assert described.name == "Wind today energy"
    assert described.native_unit_of_measurement == "Wh"
    assert described.state_class is None
    assert not described.entity_registry_enabled_default


def test_node() -> None:
    """On a node's device the power is told apart from that of the cloud, beside which few need it."""
    for field in ("active_power_W", "actualPowerTot_W"):
        described = describe_live(LiveKey("n1", field), is_node=True)
        assert described.translation_key == "live_power"
        assert not described.entity_registry_enabled_default
    other = describe_live(LiveKey("n1", "voltageL1N_V"), is_node=True)
    assert other.name == "Voltage L1N (live)"
    assert not other.entity_registry_enabled_default
