"""What a loaded account has at run time."""

from tests.kit.exports import POWER, Home


async def test_exporter(home: Home) -> None:
    """The exporter is the one that runs, before and after a change of the exports."""
    before = home.entry.runtime_data.exporter
    assert not before.exports
    home.add_power()
    export = await home.add_export({POWER: "actualPowerTot_W"})
    after = home.entry.runtime_data.exporter
    assert list(after.exports) == [export.subentry_id]
    assert after is home.entry.runtime_data.exports.exporter
