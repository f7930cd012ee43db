"""The account's forms: every way in, every way to go wrong, and the way back from each."""

from collections.abc import Iterator
from datetime import UTC, datetime
import json
import logging
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.eniris.const import (
    CONF_ADVANCED,
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_CODE,
    CONF_INGRESS_URL,
    CONF_OTHER_WAY,
    CONF_REFRESH_TOKEN,
    CONF_REFRESH_TOKEN_ISSUED,
    DOMAIN,
)
from custom_components.eniris.http import address_problem
from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.setup import async_setup_component
from simulator.accounts import Account
from simulator.faults import FaultKind
from simulator.server import Simulator

from .kit.common import settle, start_flow, submit
from .kit.exports import suggested
from .kit.log_in import (
    EMAIL_MENU,
    TOTP_MENU,
    as_user,
    current_code,
    lose_log_in,
    wrong_code,
)

PASSWORD = "Tr0ub4dor & žluť"
OTHER_WAY = {CONF_OTHER_WAY: True}


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


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (None, "invalid_code"),
        ("123", "invalid_code"),
        ("1234567", "invalid_code"),
        ("", "code_missing"),
        ("   ", "code_missing"),
    ],
)
@pytest.mark.parametrize("code_in_error", [False, True])
async def test_wrong_authenticator_code(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    code: str | None,
    error: str,
    code_in_error: bool,
) -> None:
    """A wrong code, or one of the wrong length, is told at its field; the next one goes through."""
    simulator.switches.code_in_error = code_in_error
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "totp"))
    await submit(hass, flow_id, TOTP_MENU)
    result = await submit(
        hass, flow_id, {CONF_CODE: wrong_code() if code is None else code}
    )
    assert result["type"] is FlowResultType.FORM
    assert result["errors"] == {CONF_CODE: error}
    result = await submit(hass, flow_id, {CONF_CODE: current_code()})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_too_many_wrong_codes(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Who guesses is told how long to wait, and gets in after that."""
    retry_after = 541
    simulator.faults.add(
        "/user/2fa/totp/authenticate",
        "status",
        status=429,
        retry_after=retry_after,
        times=1,
    )
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "totp"))
    await submit(hass, flow_id, TOTP_MENU)
    result = await submit(hass, flow_id, {CONF_CODE: current_code()})
    assert result["errors"] == {"base": "too_many_codes"}
    assert result["description_placeholders"]
    # Rounded up: a minute too early would be one more try
    assert result["description_placeholders"]["minutes"] == "10"
    freezer.tick(retry_after + 1)
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
    """A code that came too late is told from a wrong one, and a new one can be had at once."""
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "email"))
    await submit(hass, flow_id, EMAIL_MENU)
    freezer.tick(simulator.auth.limits.email_code_s)
    result = await submit(hass, flow_id, {CONF_CODE: simulator.emails[0].code})
    assert result["errors"] == {CONF_CODE: "code_expired"}
    result = await submit(hass, flow_id, OTHER_WAY)
    assert result["type"] is FlowResultType.MENU
    assert result["step_id"] == "other_way"
    assert result["menu_options"] == ["totp", "email_otp", "resend", "password"]
    result = await submit(hass, flow_id, {"next_step_id": "resend"})
    assert result["step_id"] == "email_otp"
    assert not result["errors"]
    first, second = simulator.emails
    # Only the newest counts
    result = await submit(hass, flow_id, {CONF_CODE: first.code})
    assert result["errors"] == {CONF_CODE: "invalid_code"}
    result = await submit(hass, flow_id, {CONF_CODE: second.code})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert len(simulator.emails) == 2


async def test_other_factor(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """Who chose the app and has no phone at hand gets an e-mail in the same dialog, and the reverse."""
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "both"))
    await submit(hass, flow_id, TOTP_MENU)
    result = await submit(hass, flow_id, OTHER_WAY)
    assert result["menu_options"] == ["totp", "resend", "password"]
    assert not simulator.emails
    result = await submit(hass, flow_id, {"next_step_id": "resend"})
    assert result["step_id"] == "email_otp"
    [email] = simulator.emails
    # What was typed beside it does not count as a try
    await submit(hass, flow_id, {CONF_CODE: "000000", **OTHER_WAY})
    assert simulator.log.count("POST /user/2fa/email-otp/authenticate") == 0
    await submit(hass, flow_id, TOTP_MENU)
    result = await submit(hass, flow_id, {CONF_CODE: wrong_code()})
    assert result["errors"] == {CONF_CODE: "invalid_code"}
    await submit(hass, flow_id, OTHER_WAY)
    # The code that came before is still good: no other is sent for it
    result = await submit(hass, flow_id, EMAIL_MENU)
    assert result["step_id"] == "email_otp"
    assert simulator.emails == [email]
    result = await submit(hass, flow_id, {CONF_CODE: email.code})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["result"].unique_id == "1004"


async def test_too_many_resends(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """Where no further code is sent the form says how long, and takes the last one."""
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "email"))
    await submit(hass, flow_id, EMAIL_MENU)
    allowed = simulator.auth.limits.otp_emails.allowed
    for _ in range(allowed - 1):
        await submit(hass, flow_id, OTHER_WAY)
        result = await submit(hass, flow_id, {"next_step_id": "resend"})
        assert not result["errors"]
    await submit(hass, flow_id, OTHER_WAY)
    result = await submit(hass, flow_id, {"next_step_id": "resend"})
    assert result["errors"] == {"base": "too_many_emails"}
    assert len(simulator.emails) == allowed
    result = await submit(hass, flow_id, {CONF_CODE: simulator.emails[-1].code})
    assert result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize("code_in_error", [False, True])
@pytest.mark.parametrize("factor", ["totp", "email_otp", "resend"])
async def test_log_in_that_has_expired(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    factor: str,
    code_in_error: bool,
) -> None:
    """Who waits too long with the code is asked for the password again, with the rest filled in."""
    simulator.switches.code_in_error = code_in_error
    flow_id = await start_flow(hass)
    typed = as_user(user_input, "both")
    await submit(hass, flow_id, typed)
    await submit(hass, flow_id, {"next_step_id": factor.replace("resend", "totp")})
    simulator.revoke("both@example.com", "partial")
    if factor == "resend":
        await submit(hass, flow_id, OTHER_WAY)
        result = await submit(hass, flow_id, {"next_step_id": "resend"})
    else:
        result = await submit(hass, flow_id, {CONF_CODE: "123456"})
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "user"
    assert result["errors"] == {"base": "login_expired"}
    assert result["data_schema"] is not None
    assert suggested(result["data_schema"]) == {
        key: value for key, value in typed.items() if key != CONF_PASSWORD
    }
    result = await submit(hass, flow_id, typed)
    assert result["step_id"] == "second_factor"
    await submit(hass, flow_id, TOTP_MENU)
    result = await submit(hass, flow_id, {CONF_CODE: current_code()})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_wrong_code_when_more_cannot_be_told(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """Where the service does not say what was refused, it is the code; the password is a way out."""
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "totp"))
    await submit(hass, flow_id, TOTP_MENU)
    simulator.faults.add("/auth/accesstoken", "drop", times=1)
    result = await submit(hass, flow_id, {CONF_CODE: wrong_code()})
    assert result["errors"] == {CONF_CODE: "invalid_code"}
    await submit(hass, flow_id, OTHER_WAY)
    result = await submit(hass, flow_id, {"next_step_id": "password"})
    assert result["step_id"] == "user"
    assert not result["errors"]
    result = await submit(hass, flow_id, user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["result"].unique_id == "1001"


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
    result = await submit(hass, flow_id, OTHER_WAY)
    assert result["menu_options"] == ["totp", "resend", "password"]
    simulator.faults.add("/user/2fa/email-otp/challenge", "drop", times=1)
    result = await submit(hass, flow_id, {"next_step_id": "resend"})
    assert result["errors"] == {"base": "cannot_connect"}
    result = await submit(hass, flow_id, {CONF_CODE: "?"})
    assert result["step_id"] == "email_otp"
    assert not result["errors"]
    [email] = simulator.emails
    result = await submit(hass, flow_id, {CONF_CODE: email.code})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_factor_that_is_not_set_up(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """A factor that turns out not to be set up is told, and leaves the other."""
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "totp"))
    result = await submit(hass, flow_id, EMAIL_MENU)
    assert result["type"] is FlowResultType.MENU
    assert result["step_id"] == "no_email_otp"
    assert result["menu_options"] == ["totp", "password"]
    await submit(hass, flow_id, TOTP_MENU)
    result = await submit(hass, flow_id, OTHER_WAY)
    assert result["menu_options"] == ["totp", "password"]
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
    assert result["step_id"] == "no_totp"
    assert result["menu_options"] == ["email_otp", "password"]
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
    """The form advises a time to wait where the service names none."""
    simulator.faults.add("/auth/login", "status", status=429, times=1)
    result = await submit(hass, await start_flow(hass), user_input)
    assert result["errors"] == {"base": "rate_limited"}
    assert result["description_placeholders"]
    assert result["description_placeholders"]["minutes"] == "15"


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


@pytest.mark.expected_log("fetching Eniris .*log-in")
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
