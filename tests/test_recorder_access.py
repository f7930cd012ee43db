"""Reading the recorder: in its own threads, to the end, whoever still waits for it."""

import asyncio
import threading

import pytest

from custom_components.eniris.recorder_access import async_read_recorder, has_recorder
from homeassistant.components.recorder.core import Recorder
from homeassistant.core import HomeAssistant


def test_no_recorder(hass: HomeAssistant) -> None:
    """Where there is no recorder, that is told."""
    assert not has_recorder(hass)


async def test_read(recorder_mock: Recorder, hass: HomeAssistant) -> None:
    """What a function returns or raises comes back, from another thread."""
    assert has_recorder(hass)
    thread = await async_read_recorder(hass, threading.current_thread)
    assert thread is not threading.current_thread()
    assert await async_read_recorder(hass, int, "11", base=2) == 3
    with pytest.raises(ValueError, match="invalid literal"):
        await async_read_recorder(hass, int, "x")


@pytest.mark.parametrize("fails", [False, True])
async def test_cancelled(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    caplog: pytest.LogCaptureFixture,
    fails: bool,
) -> None:
    """Whoever waits can be cancelled; Home Assistant waits for the thread, and its error is no news."""
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def read() -> None:
        begun.set()
        go_on.wait(10)
        ended.set()
        if fails:
            raise ValueError("nobody wants to know")

    waiting = asyncio.create_task(async_read_recorder(hass, read))
    await asyncio.to_thread(begun.wait, 10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not ended.is_set()
    go_on.set()
    await hass.async_block_till_done()
    assert ended.is_set()
    assert "nobody wants to know" not in caplog.text
