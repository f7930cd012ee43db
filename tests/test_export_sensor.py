"""What the user sees of an export: its device, figures and problem."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from syrupy.assertion import SnapshotAssertion

from custom_components.eniris import async_remove_config_entry_device
from custom_components.eniris.const import (
    CONF_ATTRIBUTE,
    CONF_ENTITY,
    CONF_FIELD,
    DOMAIN,
)
from homeassistant.config_entries import ConfigEntryState, ConfigSubentry
from homeassistant.const import (
    ATTR_DEVICE_CLASS,
    ATTR_FRIENDLY_NAME,
    ATTR_UNIT_OF_MEASUREMENT,
)
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.util import dt as dt_util
from simulator.server import Simulator
from tests.kit.common import device_of
from tests.kit.exports import INGRESS, POWER, START, WRITE, Home, MeterWorld
from tests.kit.shown_export import (
    ASKED_AGAIN,
    FIELD,
    STATUS,
    figures,
    measure,
    press,
    problem,
)

pytestmark = pytest.mark.usefixtures("all_enabled")


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


def registered(home: Home, export: ConfigSubentry) -> list[er.RegistryEntry]:
    """Return the entities of an export, by entity id."""
    entities = er.async_entries_for_config_entry(
        er.async_get(home.hass), home.entry.entry_id
    )
    return sorted(
        (
            entity
            for entity in entities
            if entity.config_subentry_id == export.subentry_id
        ),
        key=lambda entity: entity.entity_id,
    )


def device(home: Home, export: ConfigSubentry) -> dr.DeviceEntry | None:
    """Return the device of an export."""
    return device_of(
        home.hass, home.entry, f"{home.entry.unique_id}_{export.subentry_id}"
    )


def subentries_of(device: dr.DeviceEntry) -> set[str | None]:
    """Return what a device belongs to, which the newest Home Assistant has one of."""
    if hasattr(device, "config_subentry_id"):
        return {device.config_subentry_id}
    [subentries] = device.config_entries_subentries.values()
    return subentries


async def test_device(home: Home, export: ConfigSubentry) -> None:
    """An export is a device of its own, below the account's."""
    found = device(home, export)
    assert found is not None
    assert found.name == "House"
    assert found.manufacturer == "Eniris"
    assert found.model == "Data export"
    assert found.entry_type is dr.DeviceEntryType.SERVICE
    assert subentries_of(found) == {export.subentry_id}
    account = device_of(home.hass, home.entry, f"account_{home.entry.unique_id}")
    assert account is not None
    assert found.via_device_id == account.id
    assert subentries_of(account) == {None}


async def test_entities(
    home: Home, export: ConfigSubentry, snapshot: SnapshotAssertion
) -> None:
    """Every entity of an export, as registered and as shown."""
    await home.wait(STATUS)
    found = {}
    its_device = device(home, export)
    assert its_device is not None
    for entity in registered(home, export):
        state = home.hass.states.get(entity.entity_id)
        assert state is not None
        assert entity.unique_id.startswith(
            f"{home.entry.unique_id}_{export.subentry_id}_"
        )
        assert entity.device_id == its_device.id
        assert entity.has_entity_name
        assert entity.disabled_by is None
        assert entity.hidden_by is None
        found[entity.entity_id] = {
            "key": entity.unique_id.rpartition(f"{export.subentry_id}_")[2],
            "translation_key": entity.translation_key,
            "category": str(entity.entity_category),
            "state_class": str((entity.capabilities or {}).get("state_class")),
            "name": state.attributes[ATTR_FRIENDLY_NAME],
            "device_class": str(state.attributes.get(ATTR_DEVICE_CLASS)),
            "unit": str(state.attributes.get(ATTR_UNIT_OF_MEASUREMENT)),
            "state": state.state,
        }
    assert found == snapshot


async def test_figures(home: Home) -> None:
    """The figures tell what waits and what became of the rest, through an outage and after it."""
    home.add_power()
    export = await home.add_export({POWER: FIELD})
    nothing = {
        "waiting": 0,
        "uploaded": 0,
        "rejected": 0,
        "oldest_waiting": 0,
        "last_upload": None,
    }
    assert figures(home, export) == nothing
    assert problem(home, export) is None
    await home.wait(STATUS)
    # The time is that of the upload: the five seconds after the start
    uploaded = figures(home, export)
    last_upload = uploaded.pop("last_upload")
    assert last_upload is not None
    assert START < last_upload <= START + timedelta(seconds=6)
    assert uploaded == {
        "waiting": 0,
        "uploaded": 1,
        "rejected": 0,
        "oldest_waiting": 0,
    }

    home.simulator.faults.add(INGRESS, "drop")
    first = dt_util.utcnow()
    for state in ("2", "3", "4"):
        measure(home, state)
        await home.wait(2)
    await home.wait(STATUS)
    assert figures(home, export) == {
        "waiting": 3,
        "uploaded": 1,
        "rejected": 0,
        "oldest_waiting": STATUS,
        "last_upload": last_upload,
    }
    assert problem(home, export) is not None

    home.simulator.faults.clear()
    await home.wait(ASKED_AGAIN)
    assert home.values() == [1500.0, 2000.0, 3000.0, 4000.0]
    recovered = figures(home, export)
    assert recovered.pop("last_upload") > first + timedelta(seconds=STATUS)
    assert recovered == {
        "waiting": 0,
        "uploaded": 4,
        "rejected": 0,
        "oldest_waiting": 0,
    }
    assert problem(home, export) is None
    # The figures are those of the export's whole life
    assert await home.hass.config_entries.async_reload(home.entry.entry_id)
    await home.settle()
    assert figures(home, export)["uploaded"] >= 4


@pytest.mark.expected_log("refuses a value of field")
async def test_rejected(home: Home, export: ConfigSubentry) -> None:
    """A value that is refused for good is counted; one that is too old and still holds is sent with the present time."""
    home.simulator.switches.max_age_s = 3600
    home.hass.states.async_set(
        POWER, "2", {ATTR_UNIT_OF_MEASUREMENT: "kW"}, timestamp=START.timestamp() - 7200
    )
    await home.wait(STATUS)
    assert home.values() == [1500.0, 2000.0]
    shown = figures(home, export)
    assert (shown["waiting"], shown["uploaded"], shown["rejected"]) == (0, 2, 1)
    # The others go on, so nothing is wrong
    assert problem(home, export) is None


@pytest.mark.expected_log("refuses every value of field")
@pytest.mark.expected_log("refuses a value of field")
async def test_blocked(home: Home, export: ConfigSubentry) -> None:
    """A field that is refused twice waits, the others go on; within an hour of its mending all of it goes up."""
    home.hass.states.async_set("sensor.b", "1")
    other = await home.add_export({"sensor.b": "b"}, title="Other")
    await home.wait(6)
    home.simulator.switches.refuse_fields["b"] = "float"
    for state in ("2", "3", "4"):
        home.hass.states.async_set("sensor.b", state)
        measure(home, state)
        await home.wait(10)
    await home.wait(STATUS)
    assert "b" in (problem(home, other) or "")
    assert problem(home, export) is None
    shown = figures(home, other)
    assert (shown["waiting"], shown["uploaded"], shown["rejected"]) == (3, 1, 0)
    assert figures(home, export)["waiting"] == 0
    await press(home, export)
    with pytest.raises(HomeAssistantError) as err:
        await press(home, other)
    assert err.value.translation_placeholders == {"error": problem(home, other)}
    [issue] = home.issues().values()
    assert issue["field"] == "b"
    home.simulator.switches.refuse_fields.clear()
    await home.wait(3700, step=10)
    assert home.values("b") == ["1", "2", "3", "4"]
    assert problem(home, other) is None
    assert figures(home, other)["waiting"] == 0
    assert not home.issues()


async def test_outage(home: Home, export: ConfigSubentry) -> None:
    """A service that does not answer is a problem from the first upload that fails to the next."""
    home.simulator.faults.add(INGRESS, "drop")
    await home.wait(STATUS)
    # Nothing waits, so nothing is wrong
    assert problem(home, export) is None
    await home.wait(1)
    measure(home, "2")
    await home.wait(6)
    reason = problem(home, export)
    assert reason
    assert "Injected" not in reason
    home.simulator.faults.clear()
    failing = dt_util.utcnow()
    while problem(home, export) is not None:
        assert dt_util.utcnow() - failing < timedelta(seconds=20)
        await home.wait(1)
    # At once: it was stored within the same second
    assert home.simulator.log.find(WRITE)[-1].time == dt_util.utcnow()
    assert home.values()[-1] == 2000.0


@pytest.mark.expected_log("cannot be uploaded at present")
@pytest.mark.parametrize(
    ("break_it", "mend", "issue", "says"),
    [
        (
            lambda simulator: simulator.accounts["demo@example.com"].roles.clear(),
            lambda simulator: simulator.accounts["demo@example.com"].roles.add(
                "CustomerName"
            ),
            "role_missing",
            "403 Forbidden",
        ),
        (
            lambda simulator: simulator.switches.namespaces.clear(),
            lambda simulator: simulator.switches.namespaces.add(("demo", "rp_one_m")),
            "namespace_unknown",
            "404 Not Found",
        ),
    ],
)
async def test_target_refused(
    home: Home,
    export: ConfigSubentry,
    break_it: Callable[[Simulator], None],
    mend: Callable[[Simulator], None],
    issue: str,
    says: str,
) -> None:
    """What only the account's owner can mend is a problem with a repair issue, until it is mended."""
    break_it(home.simulator)
    measure(home, "2")
    await home.wait(6)
    reason = problem(home, export)
    assert reason is not None
    assert says in reason
    assert home.issues()[issue] == {
        "account": "demo@example.com",
        "collector": "demo-ingress",
        "database": "demo",
        "retention_policy": "rp_one_m",
        "error": reason,
    }
    mend(home.simulator)
    await home.wait(ASKED_AGAIN)
    assert problem(home, export) is None
    assert issue not in home.issues()
    assert home.values()[-1] == 2000.0


@pytest.mark.expected_log("Samples cannot be put on disk")
@pytest.mark.expected_log("Samples can be put on disk again")
async def test_disk_full(home: Home) -> None:
    """A disk that is full is a problem at once; when there is room again nothing was lost."""
    row = {CONF_ENTITY: POWER, CONF_FIELD: "text", CONF_ATTRIBUTE: "text"}
    export = await home.add_export({}, fields=[row])
    store = home.entry.runtime_data.exporter.outbox.store

    async def limit(pages: int) -> None:
        await store.run(
            lambda rows: rows.db.execute(f"PRAGMA max_page_count = {pages}").fetchone()
        )

    outage = home.simulator.faults.add(INGRESS, "drop")
    await limit(1)
    await home.wait(STATUS + 1)
    home.hass.states.async_set(POWER, "1", {"text": "x" * 100_000})
    await home.wait(2)
    assert problem(home, export) == (
        "values cannot be put on disk: database or disk is full"
    )
    await home.wait(STATUS)
    assert not home.values("text")
    assert await home.entry.runtime_data.exporter.async_upload_now() == (
        "values cannot be put on disk: database or disk is full"
    )
    await limit(2**30)
    home.simulator.faults.remove(outage.id)
    await home.wait(ASKED_AGAIN)
    assert problem(home, export) is None
    assert home.values("text") == ["x" * 100_000]


@pytest.mark.expected_log("cannot be uploaded at present")
async def test_two_exports(home: Home, export: ConfigSubentry) -> None:
    """Each export has its own figures and problem, also where both wait in one outbox."""
    other = await home.add_export(
        {POWER: FIELD, "sensor.b": "b"}, title="Other", database="unknown"
    )
    home.hass.states.async_set("sensor.b", "1")
    await home.wait(6)
    reason = problem(home, other)
    assert reason is not None
    assert "404 Not Found" in reason
    assert problem(home, export) is None
    measure(home, "2")
    await home.wait(STATUS)
    assert figures(home, export)["waiting"] == 0
    assert figures(home, export)["uploaded"] >= 2
    shown = figures(home, other)
    assert (shown["waiting"], shown["uploaded"]) == (3, 0)
    assert shown["last_upload"] is None
    assert home.values() == [1500.0, 2000.0]
    # The button is that of its own target
    await press(home, export)
    with pytest.raises(HomeAssistantError):
        await press(home, other)


async def test_same_series(home: Home, export: ConfigSubentry) -> None:
    """Two exports of one series are told apart by whose values they are."""
    home.hass.states.async_set("sensor.b", "1")
    other = await home.add_export({"sensor.b": "b"}, title="Other")
    await home.wait(STATUS)
    for state in ("2", "3"):
        home.hass.states.async_set("sensor.b", state)
        await home.wait(1)
    await home.wait(STATUS)
    assert figures(home, other)["uploaded"] == 3
    # Its first value was sent once more when the other export was added
    assert figures(home, export)["uploaded"] == 2


async def test_removal(home: Home, export: ConfigSubentry) -> None:
    """With an export, all of it goes; another one and what waited for it stay."""
    other = await home.add_export({POWER: FIELD}, title="Other", tags={"serialNr": "2"})
    gone = [entity.entity_id for entity in registered(home, export)]
    assert len(gone) == 8
    home.hass.config_entries.async_remove_subentry(home.entry, export.subentry_id)
    await home.settle()
    assert home.entry.state is ConfigEntryState.LOADED
    assert not registered(home, export)
    assert device(home, export) is None
    assert not [id_ for id_ in gone if home.hass.states.get(id_)]
    assert len(registered(home, other)) == 8
    assert device(home, other) is not None
    measure(home, "2")
    await home.wait(STATUS)
    assert [
        point.tags["serialNr"] for point in home.points() if point.fields[FIELD] == 2000
    ] == ["2"]


async def test_device_goes_with_the_export_only(
    home: Home, export: ConfigSubentry
) -> None:
    """The device of an export that runs cannot be deleted by itself."""
    found = device(home, export)
    assert found is not None
    assert not await async_remove_config_entry_device(home.hass, home.entry, found)
    left_over = dr.async_get(home.hass).async_get_or_create(
        config_entry_id=home.entry.entry_id,
        identifiers={(DOMAIN, f"{home.entry.unique_id}_gone")},
    )
    assert await async_remove_config_entry_device(home.hass, home.entry, left_over)


async def test_available_during_an_outage(home: Home, export: ConfigSubentry) -> None:
    """The entities of an export tell of trouble, and so are there in it, after a start too."""
    home.simulator.faults.add(INGRESS, "drop")
    measure(home, "2")
    await home.wait(6)
    assert await home.hass.config_entries.async_reload(home.entry.entry_id)
    await home.settle()
    # Before any upload was tried
    assert figures(home, export)["waiting"] == 1
    assert figures(home, export)["oldest_waiting"] == 6
    await home.wait(12)
    assert problem(home, export) is not None


async def test_reason_is_not_recorded(home: Home, export: ConfigSubentry) -> None:
    """The reason is for the eye: it is not kept in the recorder."""
    entity_id = home.entity_id(export, "binary_sensor", "problem")
    state = home.hass.states.get(entity_id)
    assert state is not None
    assert state.state_info is not None
    assert "reason" in state.state_info["unrecorded_attributes"]
