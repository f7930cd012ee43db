"""What a controller posts: who may, what is taken of it, and what is to be seen."""

from http import HTTPStatus
import json
import logging
from typing import Any

import pytest

from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.const import STATE_OFF, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from simulator.controller import SimulatedController
from tests.kit.common import settle
from tests.kit.controller import ADDRESS, TOKEN, Posting, entity_id, post, state_of


@pytest.mark.parametrize("token", [None, "", "wrong", f"{TOKEN}x", "ü€"])
@pytest.mark.expected_log("without its token")
async def test_token(
    hass: HomeAssistant,
    webhook: Posting,
    controller: SimulatedController,
    token: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without the token nothing is taken and nothing told; the log has a line an hour, without any token."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    body = json.dumps(controller.webhook_body("type")).encode()
    for _ in range(3):
        if token == "ü€":
            headers = {"Authorization": b"Bearer \xc3\xbc".decode("latin-1")}
        answer = await webhook.post(ADDRESS, data=body, headers=headers)
        assert answer.status == HTTPStatus.UNAUTHORIZED
        assert await answer.read() == b""
    warnings = [its for its in caplog.records if its.levelno == logging.WARNING]
    assert sum("without its token" in its.getMessage() for its in warnings) == 1
    assert TOKEN not in caplog.text
    assert state_of(hass, "binary_sensor", "live_connection").state == STATE_OFF


async def test_other_site(
    hass: HomeAssistant, webhook: Posting, controller: SimulatedController
) -> None:
    """What is of another site is refused, whoever knows the token."""
    body = {**controller.webhook_body("type"), "siteNodeId": "SGC0000-000001_site_0"}
    assert await post(hass, webhook, body) == HTTPStatus.FORBIDDEN
    assert state_of(hass, "binary_sensor", "live_connection").state == STATE_OFF


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"time": ' + b"9" * 5000 + b"}",
        b" " * (256 * 1024 + 1),
        b"[]",
        b"null",
        b'"text"',
        b"{}",
    ],
)
async def test_nonsense(hass: HomeAssistant, webhook: Posting, body: bytes) -> None:
    """What is no message is told so."""
    assert await post(hass, webhook, body) == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    "time", [None, "", "soon", True, -1, 0, 1e300, "nan", "inf", [], {}]
)
async def test_no_time(
    hass: HomeAssistant,
    webhook: Posting,
    controller: SimulatedController,
    time: Any,
) -> None:
    """A message without a time is none."""
    body = {**controller.webhook_body("type"), "time": time}
    assert await post(hass, webhook, body) == HTTPStatus.BAD_REQUEST


async def test_flood(
    hass: HomeAssistant, webhook: Posting, controller: SimulatedController
) -> None:
    """At most twenty messages a second are worked on."""
    body = json.dumps(controller.webhook_body("type")).encode()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    statuses = []
    for _ in range(30):
        answer = await webhook.post(ADDRESS, data=body, headers=headers)
        statuses.append(answer.status)
    assert statuses[:20] == [HTTPStatus.OK] * 20
    assert HTTPStatus.TOO_MANY_REQUESTS in statuses


async def test_reload(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    webhook: Posting,
    controller: SimulatedController,
) -> None:
    """A reload of the account takes the same webhook again, and the same entities."""
    await post(hass, webhook, controller.webhook_body("type"))
    power = entity_id(hass, "sensor", "grid_power")
    await hass.config_entries.async_reload(entry.entry_id)
    await settle(hass)
    assert await post(hass, webhook, controller.webhook_body("type")) == HTTPStatus.OK
    assert entity_id(hass, "sensor", "grid_power") == power
    state = hass.states.get(power)
    assert state is not None
    assert state.state != STATE_UNAVAILABLE
