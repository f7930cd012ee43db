"""The account's forms: every way in, every way to go wrong, and the way back from each."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
import json
import logging
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.eniris.account import address_problem
from custom_components.eniris.const import (
    CONF_ADVANCED,
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_CODE,
    CONF_INGRESS_URL,
    CONF_REFRESH_TOKEN,
    CONF_REFRESH_TOKEN_ISSUED,
    DOMAIN,
)
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntry, ConfigEntryState
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.setup import async_setup_component
from simulator.accounts import DEMO_TOTP_SECRET, Account
from simulator.faults import FaultKind
from simulator.server import Simulator
from simulator.totp import totp

from .common import (
    METADATA_POLL,
    add_export,
    advance,
    imported_entities,
    settle,
    start_flow,
    submit,
)

PASSWORD = "Tr0ub4dor & žluť"
TOTP_MENU = {"next_step_id": "totp"}
EMAIL_MENU = {"next_step_id": "email_otp"}


def as_user(user_input: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what another demo user types."""
    return {**user_input, CONF_USERNAME: f"{name}@example.com"}


def current_code() -> str:
    """Return what the authenticator app shows."""
    return totp(DEMO_TOTP_SECRET, datetime.now(UTC))


def wrong_code() -> str:
    """Return a code that an authenticator app will not show for long."""
    return totp(DEMO_TOTP_SECRET, datetime.now(UTC) + timedelta(days=1))


def secret_account(simulator: Simulator) -> Account:
    """Return an account the password of which occurs nowhere else."""
    account = Account("me@example.com", 2001, PASSWORD)
    simulator.accounts.add(account)
    return account


@pytest.fixture
def issued_tokens(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """Collect every token that the simulator hands out."""
    tokens: list[str] = []
    issue = simulator.mint.issue

    def issue_and_note(*args: Any) -> str:
        tokens.append(issue(*args))
        return tokens[-1]

    monkeypatch.setattr(simulator.mint, "issue", issue_and_note)
    return iter([tokens])


async def test_plain_account(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """A user name and a password make an account, which is set up at once."""
    result = await submit(hass, await start_flow(hass), user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["title"] == "demo@example.com"
    entry: ConfigEntry[Any] = result["result"]
    assert entry.unique_id == "1001"
    assert entry.state is ConfigEntryState.LOADED
    issued = entry.data[CONF_REFRESH_TOKEN_ISSUED]
    assert abs(issued - datetime.now(UTC).timestamp()) < 60
    assert dict(entry.data) == {
        CONF_USERNAME: "demo@example.com",
        CONF_REFRESH_TOKEN: entry.data[CONF_REFRESH_TOKEN],
        CONF_REFRESH_TOKEN_ISSUED: issued,
        CONF_AUTHENTICATION_URL: simulator.url,
        CONF_API_URL: simulator.url,
        CONF_INGRESS_URL: simulator.url,
    }
    assert simulator.mint.read(entry.data[CONF_REFRESH_TOKEN]).kind == "refresh"
    assert simulator.log.count("POST /auth/logout") == 0


async def test_spaces_around_what_is_typed(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """A pasted user name or address may have spaces around it."""
    pasted = {
        **user_input,
        CONF_USERNAME: " demo@example.com ",
        CONF_ADVANCED: {
            key: f" {address}/ " for key, address in user_input[CONF_ADVANCED].items()
        },
    }
    result = await submit(hass, await start_flow(hass), pasted)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["result"].data[CONF_USERNAME] == "demo@example.com"
    assert result["result"].state is ConfigEntryState.LOADED
    assert simulator.log.count("POST /v1/device/query", 200) == 1


async def test_tokens_in_quotes(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """A token that arrives in quotes is kept without them."""
    simulator.switches.quote_tokens = True
    result = await submit(hass, await start_flow(hass), user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert '"' not in result["result"].data[CONF_REFRESH_TOKEN]
    assert result["result"].state is ConfigEntryState.LOADED


async def test_authenticator_app(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """The code of an authenticator app completes the log-in, with spaces in it or without."""
    flow_id = await start_flow(hass)
    result = await submit(hass, flow_id, as_user(user_input, "totp"))
    assert result["type"] is FlowResultType.MENU
    assert result["step_id"] == "second_factor"
    assert result["menu_options"] == ["totp", "email_otp"]
    result = await submit(hass, flow_id, TOTP_MENU)
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "totp"
    assert result["description_placeholders"]
    assert result["description_placeholders"][CONF_USERNAME] == "totp@example.com"
    code = current_code()
    result = await submit(hass, flow_id, {CONF_CODE: f"{code[:3]} {code[3:]}"})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["result"].unique_id == "1002"
    assert result["result"].state is ConfigEntryState.LOADED


@pytest.mark.parametrize(
    ("language", "asked"), [("en", "en"), ("nl", "nl"), ("pt-BR", "pt")]
)
async def test_emailed_code(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    language: str,
    asked: str,
) -> None:
    """A code that is e-mailed, in the language of Home Assistant, completes the log-in."""
    hass.config.language = language
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "email"))
    assert not simulator.emails
    result = await submit(hass, flow_id, EMAIL_MENU)
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "email_otp"
    assert not result["errors"]
    [email] = simulator.emails
    assert email.language == asked
    result = await submit(hass, flow_id, {CONF_CODE: email.code})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["result"].unique_id == "1003"
    assert len(simulator.emails) == 1


@pytest.mark.parametrize("factor", ["totp", "email_otp"])
async def test_both_factors(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any], factor: str
) -> None:
    """Who has both factors takes either, and is only e-mailed where that was the choice."""
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "both"))
    await submit(hass, flow_id, {"next_step_id": factor})
    assert len(simulator.emails) == (factor == "email_otp")
    code = simulator.emails[0].code if simulator.emails else current_code()
    result = await submit(hass, flow_id, {CONF_CODE: code})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["result"].unique_id == "1004"


@pytest.mark.parametrize("code", [None, "123", "1234567", ""])
async def test_wrong_authenticator_code(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    code: str | None,
) -> None:
    """A wrong code, or one of the wrong length, is told at its field; the next one goes through."""
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "totp"))
    await submit(hass, flow_id, TOTP_MENU)
    result = await submit(
        hass, flow_id, {CONF_CODE: wrong_code() if code is None else code}
    )
    assert result["type"] is FlowResultType.FORM
    assert result["errors"] == {CONF_CODE: "invalid_code"}
    result = await submit(hass, flow_id, {CONF_CODE: current_code()})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_too_many_wrong_codes(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Who guesses is told how long to wait, and gets in after that."""
    simulator.faults.add(
        "/user/2fa/totp/authenticate", "status", status=429, retry_after=600, times=1
    )
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "totp"))
    await submit(hass, flow_id, TOTP_MENU)
    result = await submit(hass, flow_id, {CONF_CODE: current_code()})
    assert result["errors"] == {"base": "rate_limited"}
    assert result["description_placeholders"]
    assert result["description_placeholders"]["minutes"] == "10"
    freezer.tick(601)
    result = await submit(hass, flow_id, {CONF_CODE: current_code()})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_wrong_emailed_code(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """A wrong code is told at its field, no second e-mail goes out, and the right one still counts."""
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "email"))
    await submit(hass, flow_id, EMAIL_MENU)
    code = simulator.emails[0].code
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    result = await submit(hass, flow_id, {CONF_CODE: wrong})
    assert result["errors"] == {CONF_CODE: "invalid_code"}
    assert len(simulator.emails) == 1
    result = await submit(hass, flow_id, {CONF_CODE: code})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_expired_emailed_code(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A code that came too late is told from a wrong one; a new dialog sends another."""
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "email"))
    await submit(hass, flow_id, EMAIL_MENU)
    freezer.tick(simulator.auth.limits.email_code_s)
    result = await submit(hass, flow_id, {CONF_CODE: simulator.emails[0].code})
    assert result["errors"] == {CONF_CODE: "code_expired"}
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "email"))
    await submit(hass, flow_id, EMAIL_MENU)
    result = await submit(hass, flow_id, {CONF_CODE: simulator.emails[1].code})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_too_many_emails(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """When no further e-mail is sent, the code of the last one can still be typed."""
    for _ in range(simulator.auth.limits.otp_emails.allowed):
        flow_id = await start_flow(hass)
        await submit(hass, flow_id, as_user(user_input, "email"))
        await submit(hass, flow_id, EMAIL_MENU)
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "email"))
    result = await submit(hass, flow_id, EMAIL_MENU)
    assert result["type"] is FlowResultType.FORM
    assert result["errors"] == {"base": "too_many_emails"}
    assert result["description_placeholders"]
    assert result["description_placeholders"]["minutes"] == "15"
    result = await submit(hass, flow_id, {CONF_CODE: simulator.emails[-1].code})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_email_that_cannot_be_asked_for(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """Where asking for the e-mail failed, submitting the form asks again."""
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "email"))
    simulator.faults.add("/user/2fa/email-otp/challenge", "drop", times=1)
    result = await submit(hass, flow_id, EMAIL_MENU)
    assert result["errors"] == {"base": "cannot_connect"}
    assert not simulator.emails
    result = await submit(hass, flow_id, {CONF_CODE: "?"})
    assert result["step_id"] == "email_otp"
    assert not result["errors"]
    [email] = simulator.emails
    result = await submit(hass, flow_id, {CONF_CODE: email.code})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_factor_that_is_not_set_up(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """A factor that turns out not to be set up leaves the other in the menu."""
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "totp"))
    result = await submit(hass, flow_id, EMAIL_MENU)
    assert result["type"] is FlowResultType.MENU
    assert result["menu_options"] == ["totp"]
    await submit(hass, flow_id, TOTP_MENU)
    result = await submit(hass, flow_id, {CONF_CODE: current_code()})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_app_that_is_not_set_up(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """That there is no authenticator app shows only with the first code; e-mail is left."""
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "email"))
    await submit(hass, flow_id, TOTP_MENU)
    result = await submit(hass, flow_id, {CONF_CODE: "123456"})
    assert result["type"] is FlowResultType.MENU
    assert result["menu_options"] == ["email_otp"]
    await submit(hass, flow_id, EMAIL_MENU)
    result = await submit(hass, flow_id, {CONF_CODE: simulator.emails[0].code})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_no_factor_left(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """Where neither factor works there is nothing to be done here."""
    for path, code in (
        ("/user/2fa/totp/authenticate", "TOTP_UNINITIALIZED"),
        ("/user/2fa/email-otp/challenge", "EMAIL_OTP_UNINITIALIZED"),
    ):
        simulator.faults.add(path, "status", status=409, message=code)
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "both"))
    await submit(hass, flow_id, TOTP_MENU)
    await submit(hass, flow_id, {CONF_CODE: "123456"})
    result = await submit(hass, flow_id, EMAIL_MENU)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "no_second_factor"
    assert not hass.config_entries.async_entries(DOMAIN)


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
    """The form has words for a limit that comes without the time to wait."""
    simulator.faults.add("/auth/login", "status", status=429, times=1)
    result = await submit(hass, await start_flow(hass), user_input)
    assert result["errors"] == {"base": "rate_limited"}
    assert result["description_placeholders"]
    assert result["description_placeholders"]["minutes"] == "?"


async def test_no_password_information(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
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
    assert result["errors"] == {"base": "cannot_connect"}
    assert result["description_placeholders"]
    assert "refused" in result["description_placeholders"]["error"]
    await simulator.start(port=simulator.port)
    result = await submit(hass, flow_id, user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize(
    "path", ["/auth/login", "/auth/accesstoken", "/auth/refreshtoken/validate"]
)
@pytest.mark.parametrize(
    ("kind", "options", "error"),
    [
        ("html", {"status": 200}, "unexpected_answer"),
        ("html", {"status": 502}, "cannot_connect"),
        ("html", {"status": 302}, "refused"),
        ("half_body", {}, "cannot_connect"),
        ("garbage", {}, "unexpected_answer"),
        ("empty", {}, "unexpected_answer"),
        ("wrong_type", {}, "unexpected_answer"),
        ("json", {"body": {"userId": "1001"}}, "unexpected_answer"),
        ("json", {"body": None}, "unexpected_answer"),
        ("status", {"status": 418}, "refused"),
        ("status", {"status": 503}, "cannot_connect"),
    ],
)
async def test_answers_that_are_not_eniris(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    path: str,
    kind: FaultKind,
    options: dict[str, Any],
    error: str,
) -> None:
    """Whatever answers in the service's place, the form stays usable."""
    simulator.faults.add(path, kind, times=1, **options)
    flow_id = await start_flow(hass)
    result = await submit(hass, flow_id, user_input)
    assert result["type"] is FlowResultType.FORM
    assert result["errors"] == {"base": error}
    assert result["description_placeholders"]
    assert result["description_placeholders"]["error"]
    result = await submit(hass, flow_id, user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("wrong_type", "unexpected_answer"),
        ("html", "cannot_connect"),
        ("half_body", "cannot_connect"),
    ],
)
async def test_malformed_answer_to_a_code(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    kind: FaultKind,
    error: str,
) -> None:
    """The form of the second factor survives strange answers too."""
    simulator.faults.add("/user/2fa/totp/authenticate", kind, times=1)
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "totp"))
    await submit(hass, flow_id, TOTP_MENU)
    result = await submit(hass, flow_id, {CONF_CODE: current_code()})
    assert result["errors"] == {"base": error}
    result = await submit(hass, flow_id, {CONF_CODE: current_code()})
    assert result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize(
    ("typed", "errors"),
    [
        ({CONF_USERNAME: "  "}, {CONF_USERNAME: "empty"}),
        ({CONF_PASSWORD: ""}, {CONF_PASSWORD: "empty"}),
        ({CONF_USERNAME: "u" * 257}, {CONF_USERNAME: "too_long"}),
        ({CONF_PASSWORD: "p" * 257}, {CONF_PASSWORD: "too_long"}),
        (
            {CONF_USERNAME: "", CONF_PASSWORD: "p" * 257},
            {CONF_USERNAME: "empty", CONF_PASSWORD: "too_long"},
        ),
    ],
)
async def test_credentials_that_cannot_be_right(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    typed: dict[str, str],
    errors: dict[str, str],
) -> None:
    """Each field has its own error, without a request."""
    flow_id = await start_flow(hass)
    result = await submit(hass, flow_id, {**user_input, **typed})
    assert result["errors"] == errors
    assert not simulator.log.requests
    result = await submit(hass, flow_id, user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_longest_credentials(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """256 characters are not too long."""
    name, password = "u" * 256, "p" * 256
    simulator.accounts.add(Account(name, 3001, password))
    result = await submit(
        hass,
        await start_flow(hass),
        {**user_input, CONF_USERNAME: name, CONF_PASSWORD: password},
    )
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
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
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
    "address",
    [
        "http://127.0.0.1:8124",
        "http://localhost:8124",
        "http://[::1]:8124",
        "http://127.8.8.8",
        "https://api.example.com",
        "https://api.example.com/eniris/",
        "HTTPS://API.EXAMPLE.COM",
        "https://192.168.1.20:8443",
    ],
)
def test_good_address(address: str) -> None:
    """Any https address is fine, and plain http to this very machine."""
    assert address_problem(address) is None


async def test_account_that_is_set_up_already(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    entry: ConfigEntry[Any],
) -> None:
    """The same account again, under whatever name, is refused, and its new token logged out."""
    simulator.accounts.add(Account("alias@example.com", 1001, "demo"))
    before = dict(entry.data)
    result = await submit(hass, await start_flow(hass), as_user(user_input, "alias"))
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "already_configured"
    assert simulator.log.count("POST /auth/logout", 204) == 1
    assert dict(entry.data) == before
    assert simulator.mint.read(entry.data[CONF_REFRESH_TOKEN])


async def test_superfluous_token_that_cannot_be_logged_out(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    entry: ConfigEntry[Any],
) -> None:
    """That the log-out fails is no business of the user's."""
    simulator.faults.add("/auth/logout", "drop")
    result = await submit(hass, await start_flow(hass), user_input)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "already_configured"


@pytest.mark.expected_log("cannot be read at present: .*log-in")
async def test_account_that_waits_for_a_log_in(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    entry: ConfigEntry[Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """An unfinished re-authentication does not change what the user is told."""
    await lose_log_in(hass, simulator, freezer)
    result = await submit(hass, await start_flow(hass), user_input)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "already_configured"
    assert simulator.log.count("POST /auth/logout", 204) == 1


@pytest.mark.parametrize("error", [False, True])
async def test_secrets_are_not_kept(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    issued_tokens: Iterator[list[str]],
    error: bool,
) -> None:
    """Neither entry nor log holds the password, and the log holds no token."""
    [tokens] = issued_tokens
    account = secret_account(simulator)
    typed = {
        **user_input,
        CONF_USERNAME: account.username,
        CONF_PASSWORD: PASSWORD,
    }
    caplog.set_level(logging.DEBUG)
    if error:
        # A server that repeats what it was sent
        simulator.faults.add(
            "/auth/login", "status", status=400, message=f"password={PASSWORD}", times=1
        )
    flow_id = await start_flow(hass)
    if error:
        result = await submit(hass, flow_id, typed)
        assert result["errors"] == {"base": "refused"}
        assert PASSWORD not in str(result)
    result = await submit(hass, flow_id, typed)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await settle(hass)
    entry = result["result"]
    assert PASSWORD not in json.dumps(entry.as_dict(), default=str)
    assert PASSWORD not in caplog.text
    assert len(tokens) >= 3
    for token in tokens:
        assert token not in caplog.text
    held = json.dumps(entry.as_dict(), default=str)
    assert [token for token in tokens if token in held] == [
        entry.data[CONF_REFRESH_TOKEN]
    ]


async def test_form_as_the_browser_gets_it(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    hass_client: ClientSessionGenerator,
) -> None:
    """After an error the form shows what was typed, but for the password."""
    account = secret_account(simulator)
    assert await async_setup_component(hass, "config", {})
    client = await hass_client()
    answer = await client.post(
        "/api/config/config_entries/flow", json={"handler": DOMAIN}
    )
    form = await answer.json()
    assert [field["name"] for field in form["data_schema"]] == [
        CONF_USERNAME,
        CONF_PASSWORD,
        CONF_ADVANCED,
    ]
    advanced = form["data_schema"][2]
    assert advanced["expanded"] is False
    assert [field["default"] for field in advanced["schema"]] == [
        "https://authentication.eniris.be",
        "https://api.eniris.be",
        "https://neodata-ingress.eniris.be",
    ]
    answer = await client.post(
        f"/api/config/config_entries/flow/{form['flow_id']}",
        json={
            **user_input,
            CONF_USERNAME: account.username,
            CONF_PASSWORD: f"{PASSWORD}!",
        },
    )
    text = await answer.text()
    form = json.loads(text)
    assert form["errors"] == {CONF_PASSWORD: "invalid_auth"}
    assert PASSWORD not in json.loads(f'"{text.replace(chr(34), "")}"')
    username, password, advanced = form["data_schema"]
    assert username["description"] == {"suggested_value": account.username}
    assert "description" not in password
    assert {
        field["description"]["suggested_value"] for field in advanced["schema"]
    } == {simulator.url}


async def lose_log_in(
    hass: HomeAssistant,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    username: str = "demo@example.com",
) -> str:
    """Make the service refuse the account's tokens; return the flow that this starts."""
    simulator.revoke(username, "refresh")
    simulator.revoke(username, "access")
    await advance(hass, freezer, METADATA_POLL)
    [flow] = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert flow["context"]["source"] == SOURCE_REAUTH
    assert flow["step_id"] == "reauth_confirm"
    return flow["flow_id"]


@pytest.mark.expected_log("cannot be read at present: .*log-in")
async def test_log_in_again(
    hass: HomeAssistant,
    simulator: Simulator,
    entry: EnirisConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    """A new log-in brings everything back as it was: entry, entities and exports."""
    subentry = add_export(hass, entry)
    await settle(hass)
    entities = {
        registered.entity_id: registered.id
        for registered in imported_entities(hass, entry)
    }
    assert entities
    before = dict(entry.data)
    flow_id = await lose_log_in(hass, simulator, freezer)
    power = hass.states.get("sensor.grid_meter_power")
    assert power is not None
    assert power.state == "unavailable"
    loaded_with = entry.runtime_data

    result = await submit(hass, flow_id, {CONF_PASSWORD: "demo"})
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "reauth_successful"
    assert entry.state is ConfigEntryState.LOADED
    assert hass.config_entries.async_entries(DOMAIN) == [entry]
    assert entry.runtime_data is not loaded_with
    assert list(entry.subentries.values()) == [subentry]
    after = {
        registered.entity_id: registered.id
        for registered in imported_entities(hass, entry)
    }
    # Fields that are written seldom may have come with the later polls
    assert entities.items() <= after.items()
    assert entry.data[CONF_REFRESH_TOKEN] != before[CONF_REFRESH_TOKEN]
    assert {**entry.data, **before} == before
    assert "demo" not in [
        value for key, value in entry.data.items() if key != CONF_USERNAME
    ]
    power = hass.states.get("sensor.grid_meter_power")
    assert power is not None
    assert power.state != "unavailable"
    assert simulator.log.count("POST /auth/logout") == 0
    assert not hass.config_entries.flow.async_progress()


@pytest.mark.expected_log("cannot be read at present: .*log-in")
async def test_log_in_again_as_somebody_else(
    hass: HomeAssistant,
    simulator: Simulator,
    entry: ConfigEntry[Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """The log-in of another account is not taken, and its token logged out."""
    before = dict(entry.data)
    flow_id = await lose_log_in(hass, simulator, freezer)
    # The user name was given to somebody else since
    simulator.accounts.add(Account("demo@example.com", 1999, "demo"))
    result = await submit(hass, flow_id, {CONF_PASSWORD: "demo"})
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "wrong_account"
    assert simulator.log.count("POST /auth/logout", 204) == 1
    assert dict(entry.data) == before


@pytest.mark.expected_log("cannot be read at present: .*log-in")
@pytest.mark.parametrize(
    ("password", "errors"),
    [
        ("demo1", {CONF_PASSWORD: "invalid_auth"}),
        ("", {CONF_PASSWORD: "empty"}),
        ("p" * 257, {CONF_PASSWORD: "too_long"}),
    ],
)
async def test_wrong_password_at_the_new_log_in(
    hass: HomeAssistant,
    simulator: Simulator,
    entry: ConfigEntry[Any],
    freezer: FrozenDateTimeFactory,
    password: str,
    errors: dict[str, str],
) -> None:
    """A wrong password can be corrected here too."""
    flow_id = await lose_log_in(hass, simulator, freezer)
    result = await submit(hass, flow_id, {CONF_PASSWORD: password})
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "reauth_confirm"
    assert result["errors"] == errors
    assert result["description_placeholders"]
    assert result["description_placeholders"][CONF_USERNAME] == "demo@example.com"
    result = await submit(hass, flow_id, {CONF_PASSWORD: "demo"})
    assert result["reason"] == "reauth_successful"
    assert entry.state is ConfigEntryState.LOADED


@pytest.mark.expected_log("cannot be read at present: .*log-in")
async def test_log_in_again_with_a_second_factor(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """The second factor is asked for again as well."""
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "totp"))
    await submit(hass, flow_id, TOTP_MENU)
    result = await submit(hass, flow_id, {CONF_CODE: current_code()})
    entry = result["result"]
    old_token = entry.data[CONF_REFRESH_TOKEN]

    flow_id = await lose_log_in(hass, simulator, freezer, "totp@example.com")
    result = await submit(hass, flow_id, {CONF_PASSWORD: "demo"})
    assert result["type"] is FlowResultType.MENU
    await submit(hass, flow_id, TOTP_MENU)
    result = await submit(hass, flow_id, {CONF_CODE: wrong_code()})
    assert result["errors"] == {CONF_CODE: "invalid_code"}
    result = await submit(hass, flow_id, {CONF_CODE: current_code()})
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "reauth_successful"
    assert entry.state is ConfigEntryState.LOADED
    assert entry.data[CONF_REFRESH_TOKEN] != old_token
