"""Repairs of a target that takes nothing."""

from custom_components.eniris.api import WriteTarget
from custom_components.eniris.const import CONF_DATABASE, CONF_RETENTION_POLICY, DOMAIN
from custom_components.eniris.exporting.outbox import corrections
from homeassistant.config_entries import ConfigSubentry
from homeassistant.helpers import issue_registry as ir
from tests.kit.exports import INGRESS, POWER, Home

from .kit import REFUSED, TARGET, Fix, count_set_ups, export_power, measure


@REFUSED
async def test_role_given(home: Home, fix: Fix) -> None:
    """Once the role is given, everything goes up at once."""
    home.simulator.accounts["demo@example.com"].roles.clear()
    await export_power(home)
    await measure(home, 1)
    await measure(home, 2)
    await fix.open("role_missing", "init")
    assert fix.shown["menu_options"] == ["try_again", "correct"]
    assert int(fix.shown["description_placeholders"]["waiting"]) == 3
    await fix.choose("try_again")
    fix.expect("still_refused")
    assert "CustomerName" in fix.shown["description_placeholders"]["error"]
    assert "role_missing" in home.issues()
    home.simulator.accounts["demo@example.com"].roles.add("CustomerName")
    await fix.choose("try_again")
    fix.expect_solved()
    assert home.values() == [1.0, 2.0]


async def export_to_wrong_database(home: Home) -> ConfigSubentry:
    """Export to a database that does not exist, until two values wait."""
    export = await export_power(home, database="dmeo")
    await measure(home, 1)
    await measure(home, 2)
    assert home.issues()["namespace_unknown"]["database"] == "dmeo"
    return export


@REFUSED
async def test_database_corrected(home: Home, fix: Fix) -> None:
    """The export is changed, and what waited goes where it was meant to go."""
    export = await export_to_wrong_database(home)
    await fix.open("namespace_unknown", "init")
    assert fix.shown["menu_options"] == ["correct", "try_again"]
    await fix.choose("correct")
    fix.expect("correct")
    assert {field["name"]: field["default"] for field in fix.shown["data_schema"]} == {
        **TARGET,
        "database": "dmeo",
        "move": True,
    }
    await fix.submit()
    fix.expect("correct", base="unchanged")
    await fix.submit(database="de mo")
    fix.expect("correct", database="name_characters")
    await fix.submit(database="demo ")
    fix.expect_solved()
    assert home.entry.subentries[export.subentry_id].data[CONF_DATABASE] == "demo"
    assert home.values() == [1.0, 2.0]
    assert home.shown(export, "waiting") == "0"
    assert home.shown(export, "problem", "binary_sensor") == "off"
    await measure(home, 3)
    assert home.values()[-1] == 3.0
    await home.wait(120, step=10)
    assert not home.issues()


@REFUSED
async def test_what_waits_is_left(home: Home, fix: Fix) -> None:
    """Whoever does not want it moved is told, and can still have it moved later."""
    await export_to_wrong_database(home)
    await fix.open("namespace_unknown")
    await fix.choose("correct")
    await fix.submit(database="demo", move=False)
    assert int(fix.expect_abort("left_waiting")["waiting"]) == 3
    # The present value is taken once more after a start
    assert home.values() == [2.0]
    await home.wait(10)
    assert home.issues()["namespace_unknown"]["database"] == "dmeo"
    # No export is to be changed any more, but what waits is moved
    await fix.open("namespace_unknown")
    await fix.choose("correct")
    await fix.submit(database="demo")
    fix.expect_solved()
    assert home.values() == [1.0, 2.0]
    await home.wait(120, step=10)
    assert not home.issues()


def unknown_databases(home: Home) -> list[str]:
    """Return the databases that issues name as unknown."""
    return sorted(
        (issue.translation_placeholders or {})["database"]
        for issue in ir.async_get(home.hass).issues.values()
        if issue.domain == DOMAIN
        and issue.active
        and issue.translation_key == "namespace_unknown"
    )


@REFUSED
async def test_corrected_to_another_wrong_one(home: Home, fix: Fix) -> None:
    """Then the issue is about the new place, the dialog goes on with it, and nothing was lost."""
    export = await export_to_wrong_database(home)
    await fix.open("namespace_unknown")
    await fix.choose("correct")
    await fix.submit(database="demmo")
    fix.expect("still_refused")
    assert "404" in fix.shown["description_placeholders"]["error"]
    assert unknown_databases(home) == ["demmo"]
    assert home.shown(export, "waiting") == "4"
    await fix.choose("correct")
    fix.expect("correct")
    assert fix.shown["description_placeholders"]["database"] == "demmo"
    assert {field["name"]: field["default"] for field in fix.shown["data_schema"]} == {
        **TARGET,
        "database": "demmo",
        "move": True,
    }
    await fix.submit(database="demo")
    fix.expect_solved()
    assert home.values() == [1.0, 2.0]
    await home.wait(120, step=10)
    assert not home.issues()


@REFUSED
async def test_pushed_to_another_wrong_one(home: Home, fix: Fix) -> None:
    """Without an export that is changed, the issue of the old place goes, too."""
    await export_to_wrong_database(home)
    [export] = home.exports
    home.hass.config_entries.async_remove_subentry(home.entry, export.subentry_id)
    await home.settle()
    await home.wait(10)
    assert unknown_databases(home) == ["dmeo"]
    await fix.open("namespace_unknown")
    await fix.choose("correct")
    await fix.submit(database="demmo")
    fix.expect("still_refused")
    assert unknown_databases(home) == ["demmo"]
    await home.wait(120, step=10)
    assert unknown_databases(home) == ["demmo"]
    # Whoever closes the dialog finds the new place in the issue that is left
    await fix.open("namespace_unknown", "init")
    assert fix.shown["description_placeholders"]["database"] == "demmo"
    await fix.choose("correct")
    await fix.submit(database="demo")
    fix.expect_solved()
    assert home.values() == [1.0, 2.0]


@REFUSED
async def test_left_and_corrected_to_another_wrong_one(home: Home, fix: Fix) -> None:
    """Where values still wait for the old place, both are told of."""
    await export_to_wrong_database(home)
    await fix.open("namespace_unknown")
    await fix.choose("correct")
    await fix.submit(database="demmo", move=False)
    assert "404" in fix.expect_abort("corrected_still_refused")["error"]
    await home.wait(10)
    assert unknown_databases(home) == ["demmo", "dmeo"]


@REFUSED
async def test_database_made_at_last(home: Home, fix: Fix) -> None:
    """Or it was right, and is there now."""
    await export_to_wrong_database(home)
    home.simulator.switches.namespaces.add(("dmeo", "rp_one_m"))
    await fix.open("namespace_unknown")
    await fix.choose("try_again")
    fix.expect_solved()
    assert home.values() == [1.0, 2.0]


@REFUSED
async def test_all_exports_of_a_target(home: Home, fix: Fix) -> None:
    """All that use it are corrected, others are not, and no two may write the same field."""
    wrong = [
        await home.add_export({POWER: name}, title=name, database="dmeo")
        for name in ("first_W", "second_W")
    ]
    other = await home.add_export(
        {POWER: "first_W"}, title="other", retention_policy="rp_one_s"
    )
    await export_power(home, title="power")
    await measure(home, 1)
    await fix.open("namespace_unknown")
    await fix.choose("correct")
    await fix.submit(database="demo", retention_policy="rp_one_s")
    fix.expect("correct", base="field_taken")
    await fix.submit(database="demo", retention_policy="rp_one_m")
    fix.expect_solved()
    for export in wrong:
        data = home.entry.subentries[export.subentry_id].data
        assert (data[CONF_DATABASE], data[CONF_RETENTION_POLICY]) == (
            "demo",
            "rp_one_m",
        )
    data = home.entry.subentries[other.subentry_id].data
    assert data[CONF_RETENTION_POLICY] == "rp_one_s"
    assert 1.0 in home.values("second_W")


# A target that refuses everything


async def refuse_everything(home: Home) -> ConfigSubentry:
    """Have the service refuse all that is sent, until three values wait."""
    home.simulator.faults.add(INGRESS, "status", status=400)
    export = await export_power(home)
    await measure(home, 1)
    await measure(home, 2)
    assert home.issues()["target_refuses"]["database"] == "demo"
    return export


@REFUSED
async def test_everything_refused_for_a_while(home: Home, fix: Fix) -> None:
    """Nothing is lost, and once the service takes it again, all goes up at once."""
    export = await refuse_everything(home)
    await fix.open("target_refuses", "init")
    assert fix.shown["menu_options"] == ["try_again", "correct", "discard"]
    assert fix.shown["description_placeholders"]["waiting"] == "3"
    await fix.choose("try_again")
    fix.expect("still_refused")
    assert fix.shown["menu_options"] == ["try_again", "correct", "discard"]
    assert "400" in fix.shown["description_placeholders"]["error"]
    home.simulator.faults.clear()
    await fix.choose("try_again")
    fix.expect_solved()
    assert home.values() == [1.0, 2.0]
    assert home.shown(export, "rejected") == "0"


@REFUSED
async def test_refused_values_discarded(home: Home, fix: Fix) -> None:
    """What waits is dropped and counted, once the user has seen how much; new values are sent."""
    export = await refuse_everything(home)
    await fix.open("target_refuses")
    await fix.choose("discard")
    fix.expect("discard")
    outbox = home.entry.runtime_data.exporter.outbox
    assert fix.shown["description_placeholders"]["waiting"] == "3"
    assert await corrections.count_waiting(outbox, WriteTarget(**TARGET)) == 3
    await fix.submit()
    fix.expect_solved()
    assert home.shown(export, "waiting") == "0"
    assert home.shown(export, "problem", "binary_sensor") == "off"
    assert (
        home.entry.runtime_data.exporter.status(export.subentry_id).figures.dropped == 3
    )
    home.simulator.faults.clear()
    await measure(home, 4)
    assert home.values() == [4.0]
    await home.wait(60, step=10)
    assert not home.issues()


@REFUSED
async def test_refused_target_corrected(home: Home, fix: Fix) -> None:
    """What waits goes to another target, as where the role is missing."""
    export = await refuse_everything(home)
    await fix.open("target_refuses")
    await fix.choose("correct")
    await fix.submit(retention_policy="rp_one_s")
    fix.expect("still_refused")
    home.simulator.faults.clear()
    await fix.choose("try_again")
    fix.expect_solved()
    data = home.entry.subentries[export.subentry_id].data
    assert data[CONF_RETENTION_POLICY] == "rp_one_s"
    stored = home.points(field_name="actualPowerTot_W", retention_policy="rp_one_s")
    assert [point.fields["actualPowerTot_W"] for point in stored] == [1.0, 2.0]
    await home.wait(60, step=10)
    assert not home.issues()


# One reload


@REFUSED
async def test_no_reload(home: Home, fix: Fix) -> None:
    """However many exports are changed, the account is set up once."""
    exports = [
        await home.add_export({POWER: f"field{n}_W"}, title=str(n), database="dmeo")
        for n in range(4)
    ]
    await measure(home, 1)
    set_ups = count_set_ups(home)
    await fix.open("namespace_unknown")
    await fix.choose("correct")
    await fix.submit(database="demo")
    fix.expect_solved()
    # Nothing that is read blinks
    assert not set_ups
    for number, export in enumerate(exports):
        data = home.entry.subentries[export.subentry_id].data
        assert data[CONF_DATABASE] == "demo"
        assert 1.0 in home.values(f"field{number}_W")
