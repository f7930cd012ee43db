"""The log-in: what can go wrong with it, and the way back from there."""

from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.const import (
    CONF_ADVANCED,
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_INGRESS_URL,
)
from homeassistant.const import CONF_PASSWORD
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from simulator.faults import FaultKind
from simulator.server import Simulator
from tests.kit.common import start_flow, submit
from tests.kit.log_in import as_user


@pytest.mark.parametrize("code_in_error", [False, True])
async def test_wrong_password(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    code_in_error: bool,
) -> None:
    """A wrong password is told at its field, and can be corrected there."""
    simulator.switches.code_in_error = code_in_error
    flow_id = await start_flow(hass)
    result = await submit(hass, flow_id, {**user_input, CONF_PASSWORD: "demo1"})
    assert result["type"] is FlowResultType.FORM
    assert result["errors"] == {CONF_PASSWORD: "invalid_auth"}
    result = await submit(hass, flow_id, user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_too_many_wrong_passwords(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """After too many wrong passwords the form tells how long to wait."""
    flow_id = await start_flow(hass)
    for _ in range(simulator.auth.limits.passwords.allowed):
        await submit(hass, flow_id, {**user_input, CONF_PASSWORD: "demo1"})
    result = await submit(hass, flow_id, user_input)
    assert result["errors"] == {"base": "rate_limited"}
    assert result["description_placeholders"]
    assert result["description_placeholders"]["minutes"] == "5"
    freezer.tick(301)
    result = await submit(hass, flow_id, user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_rate_limited_without_a_time(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """The form advises a time to wait where the service names none."""
    simulator.faults.add("/auth/login", "status", status=429, times=1)
    result = await submit(hass, await start_flow(hass), user_input)
    assert result["errors"] == {"base": "rate_limited"}
    assert result["description_placeholders"]
    assert result["description_placeholders"]["minutes"] == "15"


async def test_no_password_information(
    hass: HomeAssistant, user_input: dict[str, Any]
) -> None:
    """An account without a password says so; another can be typed into the same form."""
    flow_id = await start_flow(hass)
    result = await submit(hass, flow_id, as_user(user_input, "nopassword"))
    assert result["errors"] == {"base": "no_password"}
    result = await submit(hass, flow_id, user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_unreachable(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """Nobody at home is told with its reason; the same form works once somebody is."""
    await simulator.stop()
    flow_id = await start_flow(hass)
    result = await submit(hass, flow_id, user_input)
    assert result["errors"] == {
        "base": "cannot_connect",
        CONF_AUTHENTICATION_URL: "cannot_connect",
    }
    assert result["description_placeholders"]
    assert "refused" in result["description_placeholders"]["error"]
    assert result["description_placeholders"]["address"] == simulator.url
    await simulator.start(port=simulator.port)
    result = await submit(hass, flow_id, user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize(
    "path", ["/auth/login", "/auth/accesstoken", "/auth/refreshtoken/validate"]
)
async def test_answers_that_are_not_eniris(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any], path: str
) -> None:
    """Whatever answers in the service's place, the form stays usable."""
    answers: list[tuple[FaultKind, dict[str, Any], str]] = [
        ("html", {"status": 200}, "unexpected_answer"),
        ("html", {"status": 502}, "cannot_connect"),
        ("html", {"status": 302}, "unexpected_answer"),
        ("html", {"status": 404}, "unexpected_answer"),
        ("status", {"status": 405}, "unexpected_answer"),
        ("status", {"status": 400}, "refused"),
        ("half_body", {}, "cannot_connect"),
        ("garbage", {}, "unexpected_answer"),
        ("empty", {}, "unexpected_answer"),
        ("wrong_type", {}, "unexpected_answer"),
        ("json", {"body": {"userId": "1001"}}, "unexpected_answer"),
        ("json", {"body": None}, "unexpected_answer"),
        ("status", {"status": 418}, "refused"),
        ("status", {"status": 503}, "cannot_connect"),
    ]
    flow_id = await start_flow(hass)
    for kind, options, error in answers:
        simulator.faults.clear()
        simulator.faults.add(path, kind, times=1, **options)
        result = await submit(hass, flow_id, user_input)
        assert result["type"] is FlowResultType.FORM, kind
        # What can be the address' fault is told there too
        assert result["errors"] == (
            {"base": error}
            if error == "refused"
            else {"base": error, CONF_AUTHENTICATION_URL: error}
        ), kind
        assert result["description_placeholders"]
        assert result["description_placeholders"]["error"]
    result = await submit(hass, flow_id, user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize(
    "key", [CONF_AUTHENTICATION_URL, CONF_API_URL, CONF_INGRESS_URL]
)
@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("http://api.example.com", "https_required"),
        ("http://192.168.1.20:8124", "https_required"),
        ("http://127.0.0.1.example.com", "https_required"),
        ("api.example.com", "invalid_url"),
        ("", "invalid_url"),
        ("nonsense", "invalid_url"),
        ("ftp://api.example.com", "invalid_url"),
        ("https://", "invalid_url"),
        ("https://api.example.com:http", "invalid_url"),
        ("https://api example.com", "invalid_url"),
        ("https://[::1", "invalid_url"),
        ("https://me@api.example.com", "invalid_url"),
        ("https://me:secret@api.example.com", "invalid_url"),
        ("https://:secret@api.example.com", "invalid_url"),
        ("https://api.example.com/?key=1", "invalid_url"),
        ("https://api.example.com?", "invalid_url"),
        ("https://api.example.com/#top", "invalid_url"),
    ],
)
async def test_bad_address(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    key: str,
    address: str,
    error: str,
) -> None:
    """A bad address is told at its field and above the section, which is open now."""
    advanced = {**user_input[CONF_ADVANCED], key: address}
    result = await submit(
        hass, await start_flow(hass), {**user_input, CONF_ADVANCED: advanced}
    )
    assert result["type"] is FlowResultType.FORM
    assert result["errors"] == {"base": "advanced_invalid", key: error}
    assert result["description_placeholders"] == {"addresses": address.strip() or "–"}
    schema = result["data_schema"]
    assert schema is not None
    assert schema.schema[CONF_ADVANCED].options == {"collapsed": False}
    assert not simulator.log.requests


async def test_address_can_be_corrected(
    hass: HomeAssistant, user_input: dict[str, Any]
) -> None:
    """All bad addresses are told at once, and the same form takes the right ones."""
    flow_id = await start_flow(hass)
    result = await submit(
        hass,
        flow_id,
        {**user_input, CONF_ADVANCED: dict.fromkeys(user_input[CONF_ADVANCED], "?")},
    )
    assert result["errors"] == {
        "base": "advanced_invalid",
        **dict.fromkeys(user_input[CONF_ADVANCED], "invalid_url"),
    }
    result = await submit(hass, flow_id, user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize(
    ("key", "path", "kind", "options", "error"),
    [
        (CONF_API_URL, "/v1/company", "html", {"status": 200}, "unexpected_answer"),
        (CONF_API_URL, "/v1/company", "status", {"status": 404}, "unexpected_answer"),
        (CONF_API_URL, "/v1/company", "status", {"status": 401}, "unexpected_answer"),
        (CONF_API_URL, "/v1/company", "status", {"status": 503}, "cannot_connect"),
        (CONF_API_URL, "/v1/company", "drop", {}, "cannot_connect"),
    ],
)
async def test_api_address_of_something_else(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    key: str,
    path: str,
    kind: FaultKind,
    options: dict[str, Any],
    error: str,
) -> None:
    """An api address of one's own is tried, and what does not answer as Eniris does is told."""
    simulator.faults.add(path, kind, times=2, **options)
    flow_id = await start_flow(hass)
    result = await submit(hass, flow_id, user_input)
    assert result["errors"] == {"base": error, key: error}
    assert result["description_placeholders"]
    assert (
        result["description_placeholders"]["address"] == user_input[CONF_ADVANCED][key]
    )
    assert simulator.log.count("POST /auth/logout", 204) == 1
    simulator.faults.clear()
    result = await submit(hass, flow_id, user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert simulator.log.count("POST /auth/logout", 204) == 1


@pytest.mark.parametrize("status", [403, 429])
async def test_api_that_refuses_as_eniris_does(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any], status: int
) -> None:
    """An account may lack a right, or have no budget left: the address is right all the same."""
    simulator.faults.add("/v1/company", "status", status=status)
    result = await submit(hass, await start_flow(hass), user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize("username", ["demo", "email"])
@pytest.mark.parametrize("key", [CONF_API_URL, CONF_INGRESS_URL])
async def test_address_where_nobody_answers(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    unused_tcp_port: int,
    key: str,
    username: str,
) -> None:
    """It is told before a code is e-mailed, and without a token having been sent anywhere."""
    nobody = f"http://127.0.0.1:{unused_tcp_port}"
    typed = as_user(
        {**user_input, CONF_ADVANCED: {**user_input[CONF_ADVANCED], key: nobody}},
        username,
    )
    result = await submit(hass, await start_flow(hass), typed)
    assert result["step_id"] == "user"
    assert result["errors"] == {"base": "cannot_connect", key: "cannot_connect"}
    assert result["description_placeholders"]
    assert result["description_placeholders"]["address"] == nobody
    assert not simulator.emails
    # That of the account without a second factor was good for something
    assert simulator.log.count("POST /auth/logout", 204) == (username == "demo")
