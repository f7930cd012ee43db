"""What all entities of a home have in common."""

import pytest

from custom_components.eniris import export_sensor
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.components.sensor import SensorDeviceClass
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
from scripts.checks.files import ENGLISH, ICONS

from .kit.common import add_export, settle

WITHOUT_UNIT = {
    SensorDeviceClass.DATE,
    SensorDeviceClass.ENUM,
    SensorDeviceClass.POWER_FACTOR,
    SensorDeviceClass.TIMESTAMP,
}
"""Device classes that have no unit by nature."""


@pytest.fixture
async def entities(
    hass: HomeAssistant, entry: EnirisConfigEntry
) -> list[er.RegistryEntry]:
    """Return the entities of a home that has an export."""
    add_export(hass, entry)
    await settle(hass)
    return er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)


async def test_identity_and_name(
    hass: HomeAssistant, entry: EnirisConfigEntry, entities: list[er.RegistryEntry]
) -> None:
    """Every entity has an identity, a device, a name of its own that is translated, and an icon."""
    assert len(entities) > 50
    assert len({(each.domain, each.unique_id) for each in entities}) == len(entities)
    nodes = entry.runtime_data.nodes.data.by_id
    for each in entities:
        assert each.unique_id.startswith(f"{entry.unique_id}_"), each.entity_id
        assert each.has_entity_name, each.entity_id
        device = dr.async_get(hass).async_get(each.device_id or "")
        assert device is not None
        assert device.name
        if each.translation_key is None:
            # Named by its class, or by its field where the catalogue does not know that
            assert each.original_device_class or each.original_name, each.entity_id
        else:
            assert ENGLISH["entity"][each.domain][each.translation_key]["name"]
            if each.original_device_class is None:
                assert each.translation_key in ICONS["entity"][each.domain]
        # What tells of the account or of an export, rather than of the home, is no main matter
        if not any(f"_{node_id}_" in each.unique_id for node_id in nodes):
            assert each.entity_category in (
                EntityCategory.DIAGNOSTIC,
                EntityCategory.CONFIG,
            ), each.entity_id


async def test_device_classes(entities: list[er.RegistryEntry]) -> None:
    """What is measured in a unit of which there is a class has that class, and the reverse."""
    units = {"W", "Wh", "kWh", "V", "A", "Hz", "VA", "var", "°C", "lx", "W/m²", "s"}
    measured = [each for each in entities if each.unit_of_measurement in units]
    assert len(measured) > 20
    for each in measured:
        assert each.original_device_class, each.entity_id
    for each in entities:
        if each.domain == "sensor" and each.original_device_class is not None:
            is_bare = each.original_device_class in WITHOUT_UNIT
            assert (each.unit_of_measurement is None) == is_bare, each.entity_id
    for description in export_sensor.EXPORT_SENSORS:
        # A count says what it counts
        texts = ENGLISH["entity"]["sensor"][description.translation_key]
        assert ("unit_of_measurement" in texts) == (description.device_class is None)


async def test_disabled_at_first(entities: list[er.RegistryEntry]) -> None:
    """What few look at, and what is noisy, waits to be enabled; what a house is about does not."""
    by_class: dict[str | None, set[bool]] = {}
    for each in entities:
        by_class.setdefault(each.original_device_class, set()).add(each.disabled)
    assert by_class["reactive_power"] == {True}
    assert by_class["power_factor"] == {True}
    assert by_class["battery"] == {False}
    assert False in by_class["power"]
    assert False in by_class["energy"]
