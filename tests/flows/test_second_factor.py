"""The second factor: every way through it, and every way to go wrong."""

from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.const import CONF_CODE, CONF_OTHER_WAY, DOMAIN
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from simulator.faults import FaultKind
from simulator.server import Simulator
from tests.kit.common import start_flow, submit
from tests.kit.exports import suggested
from tests.kit.log_in import EMAIL_MENU, TOTP_MENU, as_user, current_code, wrong_code

OTHER_WAY = {CONF_OTHER_WAY: True}


async def test_authenticator_app(
    hass: HomeAssistant, user_input: dict[str, Any]
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
    hass: HomeAssistant, user_input: dict[str, Any]
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
