"""What is still to be fetched of the past: how much of it is done, and where that is stored."""

import pytest

from custom_components.eniris.importing.history.job import Job, history_store
from homeassistant.core import HomeAssistant

DAY = 86_400


@pytest.mark.parametrize(
    ("cursor", "percent"),
    [(10 * DAY, 0.0), (9 * DAY, 10.0), (DAY // 100, 99.9), (0, 100.0)],
)
def test_percent(cursor: int, percent: float) -> None:
    """The newest comes first: what is done is behind the cursor."""
    assert Job(0, 10 * DAY, cursor).percent == percent


def test_nothing_to_fetch() -> None:
    """A past without any time in it is no division by zero."""
    assert Job(DAY, DAY, DAY).percent == 0.0


async def test_store(hass: HomeAssistant) -> None:
    """Each account has one of its own."""
    await history_store(hass, "one").async_save({"jobs": [1]})
    assert await history_store(hass, "one").async_load() == {"jobs": [1]}
    assert await history_store(hass, "two").async_load() is None
