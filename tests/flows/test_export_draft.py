"""An export that is changed: what stays, and what becomes of the rest."""

from typing import Any

import pytest

from custom_components.eniris.const import (
    CONF_ATTRIBUTES,
    CONF_ENABLED,
    CONF_ENTITIES,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_HEARTBEAT,
    CONF_KIND,
    CONF_MODE,
    CONF_SHORTEST,
    CONF_TAGS,
)
from homeassistant.const import CONF_NAME
from homeassistant.helpers import entity_registry as er
from tests.flows.kit import ENERGY, FIELD, OWN, registry_id, stored
from tests.kit.exports import POWER, WHERE, Dialog, Home
from tests.simulator.tiny_world import LEFT


async def test_reconfigure_the_mode(home: Home, dialog: Dialog) -> None:
    """Changing the mode leaves nothing of the other one behind."""
    subentry = await home.add_export({registry_id(home): FIELD}, shortest=5)
    await dialog.open(subentry)
    await dialog.choose("when")
    await dialog.choose("interval")
    # What holds of the other mode is not what is meant here
    assert dialog.shown[CONF_HEARTBEAT] == 0
    await dialog.submit(dialog.shown)
    await dialog.choose("trial")
    await dialog.end()
    [changed] = home.exports
    assert CONF_SHORTEST not in changed.data
    assert changed.data[CONF_MODE] == "interval"
    await dialog.open(changed)
    await dialog.choose("when")
    await dialog.choose("change")
    await dialog.submit(dialog.shown)
    await dialog.choose("trial")
    await dialog.end()
    assert home.exports[0].data == stored({registry_id(home): FIELD}, shortest=60)


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("switched", ["before", "meanwhile"])
async def test_reconfigure_keeps_the_switch(
    home: Home, dialog: Dialog, enabled: bool, switched: str
) -> None:
    """Changing an export does not switch it, also where that happens while the dialog is open."""
    subentry = await home.add_export({POWER: FIELD}, enabled=not enabled)
    switch = home.entity_id(subentry, "switch", "enabled")

    async def use_switch() -> None:
        await home.hass.services.async_call(
            "switch",
            "turn_on" if enabled else "turn_off",
            {"entity_id": switch},
            blocking=True,
        )

    if switched == "before":
        await use_switch()
    await dialog.open(subentry)
    await dialog.choose("trial")
    if switched == "meanwhile":
        await use_switch()
    await dialog.end()
    assert home.exports[0].data[CONF_ENABLED] is enabled
    assert home.shown(subentry, "enabled", "switch") == ("on" if enabled else "off")


async def test_reconfigure_follows_the_registry(home: Home, dialog: Dialog) -> None:
    """A renamed entity is shown under its new name, and one that was deleted is left out."""
    gone = home.add_entity("sensor.gone", "1")
    subentry = await home.add_export({registry_id(home): FIELD, gone: "gone"})
    registry = er.async_get(home.hass)
    registry.async_update_entity(POWER, new_entity_id="sensor.renamed")
    home.hass.states.async_set("sensor.renamed", "1", {"unit_of_measurement": "kW"})
    registry.async_remove("sensor.gone")
    await home.settle()
    assert home.issues()["entity_gone"]["field"] == "gone"
    await dialog.open(subentry)
    assert dialog.quoted["entities"] == "renamed"
    await dialog.choose("entities")
    assert dialog.shown[CONF_ENTITIES] == ["sensor.renamed"]
    await dialog.submit(dialog.shown)
    assert dialog.shown == {"sensor.renamed": FIELD}
    await dialog.submit(dialog.shown)
    await dialog.choose("trial")
    await dialog.end()
    assert home.exports[0].data == stored({registry_id(home, "sensor.renamed"): FIELD})
    assert "entity_gone" not in home.issues()


def kinds(home: Home) -> dict[str, str | None]:
    """Return the stored kinds of the first export's fields."""
    return {
        row[CONF_FIELD]: row.get(CONF_KIND) for row in home.exports[0].data[CONF_FIELDS]
    }


async def test_kinds(home: Home, dialog: Dialog) -> None:
    """The kind of each field is stored where its entity tells it, and nothing is sent without."""
    entities = {
        "sensor.error": ("0", {}, "error", "text"),
        "switch.heater": ("on", {}, "isHeating", "boolean"),
        "sensor.meter": ("7", {"state_class": "total_increasing"}, "pulses", "counter"),
        "number.limit": ("5", {}, "limit", "number"),
        "sensor.late": ("unavailable", {}, "late", None),
    }
    for entity_id, (state, attributes, _, _) in entities.items():
        home.hass.states.async_set(entity_id, state, attributes)
    await dialog.open()
    await dialog.submit(WHERE)
    await dialog.submit({CONF_ENTITIES: list(entities), CONF_ATTRIBUTES: False})
    await dialog.to_trial({id_: field for id_, (_, _, field, _) in entities.items()})
    dialog.expect("written")
    assert dialog.quoted["missing"] == "- `late` = –"
    [point] = home.points()
    assert point.fields == {
        "error": "0",
        "isHeating": True,
        "pulses": 7.0,
        "limit": 5.0,
    }
    await dialog.end()
    assert kinds(home) == {field: kind for _, _, field, kind in entities.values()}


async def test_a_kind_stays(home: Home, dialog: Dialog) -> None:
    """A field keeps its kind whatever its entity has become, until its row becomes another."""
    code = home.add_entity("sensor.code", "5")
    rows = [
        {CONF_ENTITY: entity, CONF_FIELD: field, CONF_KIND: "number"}
        for entity, field in ((code, "code"), (POWER, FIELD))
    ]
    changes: dict[str, Any] = {CONF_FIELDS: rows}
    subentry = await home.add_export({}, **changes)
    er.async_get(home.hass).async_update_entity(
        "sensor.code", new_entity_id="sensor.renamed"
    )
    home.hass.states.async_set("sensor.renamed", "6")
    await home.settle()
    await dialog.open(subentry)
    await dialog.choose("trial")
    dialog.expect("written")
    assert dialog.quoted["values"].splitlines()[0] == "- `code` = `6.0`"
    await dialog.end()
    assert kinds(home) == {"code": "number", FIELD: "number"}
    await dialog.open(subentry)
    await dialog.choose("fields")
    await dialog.submit({**dialog.shown, "sensor.renamed": "errorCode"})
    await dialog.choose("trial")
    await dialog.end()
    assert kinds(home) == {"errorCode": "text", FIELD: "number"}


async def test_reconfigure_the_name_alone(home: Home, dialog: Dialog) -> None:
    """Who changes one thing sees the forms of no other."""
    subentry = await home.add_export({registry_id(home): FIELD}, shortest=5)
    await dialog.open(subentry)
    await dialog.choose("where")
    await dialog.submit({**dialog.shown, CONF_NAME: "New"})
    await dialog.choose("trial")
    dialog.expect("written")
    await dialog.end()
    assert home.exports[0].title == "New"
    assert home.exports[0].data == subentry.data


async def test_reconfigure_when_all_is_gone(home: Home, dialog: Dialog) -> None:
    """An export whose entities were all deleted asks for others before it is tried out."""
    gone = home.add_entity("sensor.gone", "1")
    subentry = await home.add_export({gone: "gone"})
    er.async_get(home.hass).async_remove("sensor.gone")
    await home.settle()
    await dialog.open(subentry)
    assert dialog.quoted["entities"] == "–"
    await dialog.choose("trial")
    dialog.expect("entities", {CONF_ENTITIES: "no_entities"})
    await dialog.submit({CONF_ENTITIES: [POWER], CONF_ATTRIBUTES: False})
    dialog.expect("fields")
    await dialog.submit(dialog.shown)
    await dialog.choose("trial")
    dialog.expect("written")


async def test_reconfigure_into_the_series_of_another(
    home: Home, dialog: Dialog
) -> None:
    """Names that are taken in the series that was chosen are told before anything is written there."""
    await home.add_export({ENERGY: FIELD}, tags={"serialNr": "9"})
    subentry = await home.add_export({POWER: FIELD})
    await home.wait(7)
    written = len(home.writes)
    await dialog.open(subentry)
    await dialog.choose("where")
    await dialog.submit({**WHERE, CONF_TAGS: ["serialNr=9"]})
    await dialog.choose("trial")
    dialog.expect("fields", {POWER: "field_taken"})
    assert len(home.writes) == written


async def test_reconfigure_to_the_series_of_a_device(
    home: Home, dialog: Dialog
) -> None:
    """A change asks as well, and does not ask again for what was confirmed once."""
    home.simulator.switches.namespaces.add((LEFT.database, "rp_one_m"))
    subentry = await home.add_export({registry_id(home): "myPower_W"})
    await dialog.open(subentry)
    await dialog.choose("where")
    await dialog.submit({**WHERE, **OWN})
    dialog.expect("own_series")
    await dialog.choose("other_series")
    dialog.expect("where")
    await dialog.submit({**WHERE, **OWN})
    await dialog.choose("accept_series")
    dialog.expect("reconfigure")
    await dialog.choose("where")
    await dialog.submit({**dialog.shown, CONF_NAME: "New"})
    dialog.expect("reconfigure")
    await dialog.choose("trial")
    dialog.expect("written")
    await dialog.end()
    [changed] = home.exports
    assert changed.data[CONF_TAGS] == dict(LEFT.tags)
    await dialog.open(changed)
    await dialog.choose("where")
    await dialog.submit({**dialog.shown, CONF_NAME: "Newer"})
    dialog.expect("reconfigure")


async def test_reconfigure_of_many(home: Home, dialog: Dialog) -> None:
    """The menu names the first few entities, and counts the rest."""
    subentry = await home.add_export({f"sensor.a{n}": f"a{n}" for n in range(1, 9)})
    await dialog.open(subentry)
    assert dialog.quoted["entities"] == (
        "sensor.a1, sensor.a2, sensor.a3, sensor.a4, sensor.a5, sensor.a6 … (+2)"
    )
