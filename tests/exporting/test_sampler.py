from .conftest import *


async def test_smoke(hass, clock, add_account, received):
    hass.states.async_set("sensor.power", "1.5", {"unit_of_measurement": "kW"})
    await add_account(export_data({"sensor.power": "actualPowerTot_W"}))
    await clock.advance(3)
    hass.states.async_set("sensor.power", "2.5", {"unit_of_measurement": "kW"})
    await clock.advance(7)
    assert received.values() == [(0, 1500.0), (3, 2500.0)]


async def test_smoke2(kit, received):
    await kit.outbox.add([sample(0), sample(1)])
    await kit.upload()
    assert received.values()
    assert received.statuses == [204]
