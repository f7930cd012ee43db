"""A flood of posts to the webhook: Home Assistant stays at hand."""

import asyncio
import json
import logging
from pathlib import Path
import sys
import time
from typing import Final

import pytest

from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from scripts.demo.config_dir import ROOT
from simulator.controller import SimulatedController
from tests.kit.controller import ADDRESS, TOKEN, Posting, state_of

_RATE: Final = 1_000
_SECONDS: Final = 3
_LATEST_S: Final = 0.05
_PATIENCE_S: Final = 30
"""How much longer a busy machine may take for all posts."""


@pytest.mark.parametrize(
    "token",
    [
        TOKEN,
        pytest.param("wrong", marks=pytest.mark.expected_log("without its token")),
    ],
)
async def test_flood(
    hass: HomeAssistant,
    webhook: Posting,
    controller: SimulatedController,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    token: str,
) -> None:
    """The event loop is late by what it computes at a stretch, and that does not depend on what else the machine does."""
    # Each line that the test kit keeps takes longer than what it tells of
    caplog.set_level(logging.WARNING)
    body = tmp_path / "body.json"
    body.write_text(json.dumps(controller.webhook_body("type")))
    flooder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos.flooder", str(webhook.port), ADDRESS),
        *(token, str(body), str(_RATE), str(_SECONDS)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    flood = asyncio.create_task(flooder.communicate())
    late: list[float] = []
    while not flood.done():
        before = time.thread_time()
        await asyncio.sleep(0.001)
        late.append(time.thread_time() - before)
    output, _ = await flood
    statuses = json.loads(output)
    assert sum(statuses.values()) == _RATE * _SECONDS
    if token == TOKEN:
        assert statuses.keys() == {"200", "429"}
        assert statuses["200"] <= 20 * (_SECONDS + _PATIENCE_S)
        assert state_of(hass, "sensor", "grid_power").state != STATE_UNAVAILABLE
    else:
        assert statuses.keys() == {"401"}
    assert max(late) < _LATEST_S
