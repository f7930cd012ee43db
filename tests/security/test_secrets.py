"""The whole life of an account, with every logger at its loudest: nothing secret gets anywhere."""

from collections.abc import Callable, Iterator
from datetime import timedelta
import json
import logging
from pathlib import Path
import re
import traceback
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.eniris.account import stored_token
from custom_components.eniris.api import PartialToken, RefreshToken
from custom_components.eniris.api.transport import Answer
from custom_components.eniris.const import CONF_CODE, CONF_OTHER_WAY, DOMAIN

# What Home Assistant adds to the file imports it, which cannot be done while time stands still
import homeassistant.components.hassio  # noqa: F401
from homeassistant.config_entries import SOURCE_RECONFIGURE, ConfigEntryState
from homeassistant.const import (
    CONF_PASSWORD,
    CONF_USERNAME,
    EVENT_HOMEASSISTANT_FINAL_WRITE,
    EVENT_LOGGING_CHANGED,
    MATCH_ALL,
)
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import device_registry as dr, issue_registry as ir
from homeassistant.setup import async_setup_component
from simulator.accounts import DEMO_TOTP_SECRET, Account
from simulator.server import Simulator
from tests.kit.common import settle
from tests.kit.exports import INGRESS, POWER, START, Home
from tests.kit.log_in import current_code, wrong_code

from .leaks import found_in, found_in_bytes, found_on_disk, log_everything

USER = "me@example.com"
PASSWORD = 'pl4nted "P4ss\\wörd" & /%+<x>'
CONFIG_ENTRIES = ".storage/core.config_entries"


def test_what_looks_for_secrets(tmp_path: Path) -> None:
    """It finds a password in any form, a part of a token, a code by itself, and tells where."""
    secrets = {"password": PASSWORD, "code": "123456"}
    for text in (
        PASSWORD,
        PASSWORD.upper(),
        repr({"p": PASSWORD}),
        "a=pl4nted+%22P4ss%5Cw%C3%B6rd%22+%26+%2F%25%2B%3Cx%3E",
        "pl4nted &quot;P4ss\\wörd&quot; &amp; /%+&lt;x&gt;",
    ):
        assert found_in(f"before {text} behind", secrets) == ["password"], text
    assert found_in("the code 123456.", secrets) == ["code"]
    assert not found_in("0x123456, 912345678, 1.123456", secrets)
    assert found_in("bbbbbbbbbbbbbbbbbbbb", {"t": "a.bbbbbbbbbbbbbbbbbbbb.c"}) == ["t"]
    assert found_in_bytes(PASSWORD.encode("utf-16"), secrets) == ["password"]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text(f"x{PASSWORD}")
    assert found_on_disk(tmp_path, secrets) == [("folder/file", ["password"])]
    assert not found_on_disk(tmp_path, secrets, but=["folder/file"])


def test_what_holds_a_token_does_not_show_it() -> None:
    """A value in a traceback, a log or a debugger is the repr of it."""
    held = (
        RefreshToken("planted-token", 0.0),
        PartialToken("planted-token"),
        Answer(200, {"X": "planted-token"}, b"planted-token"),
    )
    for thing in held:
        assert "planted-token" not in f"{thing!r} {thing!s} {[thing]}"


class Life:
    """An account from its first form to its removal, and all that could be seen of it."""

    def __init__(
        self,
        hass: HomeAssistant,
        simulator: Simulator,
        freezer: FrozenDateTimeFactory,
        user_input: dict[str, Any],
    ) -> None:
        """Look at everything that happens in Home Assistant from now on."""
        self.hass = hass
        self.simulator = simulator
        self.freezer = freezer
        self.user_input = {**user_input, CONF_USERNAME: USER, CONF_PASSWORD: PASSWORD}
        self.secrets: dict[str, str] = {
            "password": PASSWORD,
            "wrong password": "wr0ng-one-than-pl4nted",
            "secret of the app": DEMO_TOTP_SECRET,
        }
        self.seen: list[str] = []
        """Forms, events, errors and states, as text."""
        hass.bus.async_listen(MATCH_ALL, self._note_event)

    @callback
    def _note_event(self, event: Event) -> None:
        self.seen.append(repr(event.as_dict()))

    def note(self, thing: Any) -> None:
        """Keep what was shown."""
        self.seen.append(f"{thing!r} {thing!s}")

    def note_token(self, token: str) -> str:
        """Keep a token that was handed out, to look for it."""
        self.secrets[f"token {len(self.secrets)}"] = token
        return token

    def note_code(self, code: str) -> str:
        """Keep a code, to look for it."""
        self.secrets[f"code {len(self.secrets)}"] = code
        return code

    async def submit(self, flow_id: str, user_input: dict[str, Any]) -> Any:
        """Fill in a form, and keep what comes of it."""
        result = await self.hass.config_entries.flow.async_configure(
            flow_id, user_input
        )
        # What is stored is not shown: Home Assistant takes it out before the frontend sees it
        hidden = ("data", "result")
        self.note({key: value for key, value in result.items() if key not in hidden})
        self.note(self.hass.config_entries.flow.async_progress())
        await settle(self.hass)
        return result

    async def act(self, action: str, **data: Any) -> None:
        """Call an action, and keep its answer or its error with all that a log would show of it."""
        try:
            self.note(
                await self.hass.services.async_call(
                    DOMAIN, action, data, blocking=True, return_response=True
                )
            )
        except HomeAssistantError as err:
            self.note(err)
            self.seen.append("".join(traceback.format_exception(err)))

    def note_everything_shown(self) -> None:
        """Keep states, devices, entities and repair issues as they are now."""
        for state in self.hass.states.async_all():
            self.seen.append(repr(state.as_dict()))
        for entry in self.hass.config_entries.async_entries(DOMAIN):
            for device in dr.async_entries_for_config_entry(
                dr.async_get(self.hass), entry.entry_id
            ):
                self.seen.append(repr(device))
        for issue in ir.async_get(self.hass).issues.values():
            self.seen.append(repr(issue))


@pytest.fixture
def life(
    hass: HomeAssistant,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    user_input: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    real_storage: None,
) -> Iterator[Life]:
    """Return a life that begins now, with the secrets that the service makes noted."""
    freezer.move_to(START)
    levels = {
        name: logger.level
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    log_everything()
    hass.loop.set_debug(True)
    life = Life(hass, simulator, freezer, user_input)
    issue: Callable[..., str] = simulator.mint.issue
    monkeypatch.setattr(
        simulator.mint, "issue", lambda *args: life.note_token(issue(*args))
    )
    simulator.accounts.add(
        Account(USER, 7001, PASSWORD, totp_secret=DEMO_TOTP_SECRET, email_otp=True)
    )
    yield life
    hass.loop.set_debug(False)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


async def log_in(life: Life, client: Any) -> Home:
    """Walk the first form over HTTP, as a browser does, with all that can go wrong at it."""
    simulator = life.simulator
    url = "/api/config/config_entries/flow"
    shown = await client.post(url, json={"handler": DOMAIN})
    flow_id = (await shown.json())["flow_id"]
    wrong = {**life.user_input, CONF_PASSWORD: life.secrets["wrong password"]}
    for status in (400, 401, 429, 500, 302):
        simulator.faults.add(
            "/auth/login",
            "status",
            status=status,
            message=f"who is {wrong[CONF_PASSWORD]}\n",
            times=1,
        )
    for typed in (*[wrong] * 6, life.user_input):
        answer = await client.post(f"{url}/{flow_id}", json=typed)
        text = await answer.text()
        # The form gives whoever typed it the password back, in its field
        field = json.dumps({"suggested_value": typed[CONF_PASSWORD]}).strip("{}")
        kept = field.replace(": ", ":")
        assert text.count(kept) <= 1
        life.note(text.replace(kept, ""))
        assert answer.status == 200, text
    assert '"second_factor"' in text
    # A code by e-mail, another one, a wrong one, and then that of the app
    await life.submit(flow_id, {"next_step_id": "email_otp"})
    life.note_code(simulator.emails[-1].code)
    await life.submit(flow_id, {CONF_OTHER_WAY: True})
    await life.submit(flow_id, {"next_step_id": "resend"})
    life.note_code(simulator.emails[-1].code)
    # That of the log-in is the partial one
    partial = [text for name, text in life.secrets.items() if "token" in name][-1]
    said = f"730264 with {partial}, {partial}"
    for status in (400, 401, 409, 429, 500):
        simulator.faults.add(
            "/user/2fa/", "status", status=status, message=said, times=1
        )
    await life.submit(flow_id, {CONF_CODE: life.note_code("730264")})
    await life.submit(flow_id, {CONF_CODE: "730264"})
    simulator.faults.clear()
    await life.submit(flow_id, {CONF_OTHER_WAY: True, CONF_CODE: "730264"})
    result = await life.submit(flow_id, {"next_step_id": "totp"})
    await life.submit(flow_id, {CONF_CODE: life.note_code(wrong_code())})
    result = await life.submit(flow_id, {CONF_CODE: life.note_code(current_code())})
    assert result["type"] is FlowResultType.CREATE_ENTRY, result
    home = Home(life.hass, life.freezer, simulator, result["result"])
    await home.settle()
    return home


async def fail_at_everything(life: Life, home: Home) -> None:
    """Have each call refused with all secrets quoted, polls, uploads and actions alike."""
    simulator, entry = home.simulator, home.entry
    account = {"config_entry_id": entry.entry_id}
    point = {
        "measurement": "gridMetrics",
        "tags": {"serialNr": "1"},
        "fields": {"x": 1.0},
    }
    target = {
        "collector": "demo-ingress",
        "database": "demo",
        "retention_policy": "rp_one_m",
    }
    for status in (302, 400, 403, 404, 409, 500):
        for path in (INGRESS, "/v1/device/", "/v1/telemetry/query", "/v1/company"):
            simulator.faults.add(path, "status", status=status, message=_quoted(life))
        home.hass.states.async_set(
            POWER, str(status), {"unit_of_measurement": "kW", "device_class": "power"}
        )
        await home.wait(70, step=10)
        await life.act("push", **account, **target, points=[point])
        await life.act("upload_now", **account)
        await life.act("list_rejects", **account)
        await life.act("get_device", node_id="meter")
        await life.act(
            "set_device_properties", node_id="meter", properties={"name": "x"}
        )
        await life.act(
            "query_telemetry",
            node_id="meter",
            fields=["actualPowerTot_W"],
            start=START.isoformat(),
        )
        life.note_everything_shown()
        simulator.faults.clear()
    # One in an answer that is a success
    simulator.faults.add(
        "/v1/telemetry/query",
        "json",
        body=[{"statement_id": n, "error": _quoted(life)} for n in range(3)],
    )
    await home.wait(140, step=70)
    simulator.faults.clear()
    await home.wait(1000, step=100)


def _quoted(life: Life) -> str:
    """Return what a host of the service can know: the tokens of the account."""
    session = life.hass.config_entries.async_loaded_entries(DOMAIN)[
        0
    ].runtime_data.session
    return (
        f"Bearer {session._access_token} and {session.refresh_token.value}, you said\n"
    )


async def diagnostics(life: Life, home: Home, client: Any) -> list[str]:
    """Download the file of the account and of each device."""
    path = f"/api/diagnostics/config_entry/{home.entry.entry_id}"
    devices = dr.async_entries_for_config_entry(
        dr.async_get(life.hass), home.entry.entry_id
    )
    texts = []
    for address in (path, *(f"{path}/device/{device.id}" for device in devices)):
        answer = await client.get(address)
        assert answer.status == 200
        texts.append(await answer.text())
    return texts


@pytest.mark.expected_log(".")
async def test_a_whole_life(
    hass: HomeAssistant,
    life: Life,
    hass_client: ClientSessionGenerator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Tokens, password and codes are in the stored log-in alone, and the password is nowhere."""
    caplog.set_level(logging.DEBUG)
    root = Path(hass.config.config_dir)
    for component in ("config", "diagnostics", "webhook"):
        assert await async_setup_component(hass, component, {})
    log_everything()
    hass.bus.async_fire(EVENT_LOGGING_CHANGED)
    [user] = [user for user in await hass.auth.async_get_users() if user.is_admin]
    token = next(iter(user.refresh_tokens.values()))
    client = await hass_client(hass.auth.async_create_access_token(token))
    home = await log_in(life, client)
    home.add_power()
    await home.add_export({POWER: "actualPowerTot_W"})
    await home.wait(6)
    assert home.points()
    life.note_everything_shown()
    # A new access token, a new refresh token, errors that quote them
    home.simulator.revoke(USER, "access")
    await home.wait(70, step=10)
    before = stored_token(home.entry)
    home.freezer.tick(timedelta(hours=25))
    await home.wait(70, step=10)
    assert stored_token(home.entry) != before
    await fail_at_everything(life, home)
    client = await hass_client(hass.auth.async_create_access_token(token))
    shown = await diagnostics(life, home, client)
    assert len(shown) > 3
    # The end of the log-in, and a new one
    home.simulator.revoke(USER, "refresh")
    home.simulator.revoke(USER, "access")
    await home.wait(1000, step=100)
    assert home.log_ins_asked_for() == 1
    [flow] = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    await life.submit(flow["flow_id"], {CONF_PASSWORD: PASSWORD})
    await life.submit(flow["flow_id"], {"next_step_id": "totp"})
    await life.submit(flow["flow_id"], {CONF_CODE: life.note_code(current_code())})
    assert not home.log_ins_asked_for()
    # Reconfigured: another log-in, whose forerunner is logged out
    home.freezer.tick(60)
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_RECONFIGURE, "entry_id": home.entry.entry_id}
    )
    await life.submit(result["flow_id"], {"next_step_id": "log_in"})
    await life.submit(result["flow_id"], {CONF_USERNAME: USER, CONF_PASSWORD: PASSWORD})
    await life.submit(result["flow_id"], {"next_step_id": "totp"})
    result = await life.submit(
        result["flow_id"], {CONF_CODE: life.note_code(current_code())}
    )
    assert result["reason"] == "reconfigure_successful"
    await home.wait(10)
    assert home.entry.state is ConfigEntryState.LOADED
    # Something waits, and something is set aside
    home.simulator.faults.add(INGRESS, "status", status=503, message=_quoted(life))
    hass.states.async_set(POWER, "3", {"unit_of_measurement": "kW"})
    await home.wait(10)
    for held in (home.entry, home.entry.runtime_data, home.entry.runtime_data.session):
        life.note(held)
    life.note(vars(home.entry.runtime_data.session)["_authentication"])
    files = sorted(path.name for path in (root / ".storage").glob("eniris.*"))
    assert f"eniris.{home.entry.entry_id}.outbox.db-wal" in files

    # On disk: the log-in, and that once
    current = stored_token(home.entry).value
    hass.config_entries._async_schedule_save()
    hass.bus.async_fire(EVENT_HOMEASSISTANT_FINAL_WRITE)
    await settle(hass)
    stored = (root / CONFIG_ENTRIES).read_text("utf-8")
    assert stored.count(current) == 1
    tokens = {key: text for key, text in life.secrets.items() if "token" in key}
    assert len(tokens) > 10
    [name] = [key for key, text in tokens.items() if text == current]
    assert found_on_disk(root, life.secrets) == [(CONFIG_ENTRIES, [name])]

    # Removed, with a service that refuses the log-out
    home.simulator.faults.add("/auth/logout", "status", status=500, message=current)
    await hass.config_entries.async_remove(home.entry.entry_id)
    await home.settle()
    life.note_everything_shown()
    for text in shown:
        assert not found_in(text, life.secrets)
    assert any("Internal Server Error" in text for text in life.seen)
    assert not [text for text in life.seen if found_in(text, life.secrets)]
    hass.config_entries._async_schedule_save()
    hass.bus.async_fire(EVENT_HOMEASSISTANT_FINAL_WRITE)
    await settle(hass)
    assert not found_on_disk(root, life.secrets)

    # All of it was logged, as loudly as can be
    loggers = {record.name for record in caplog.records if record.levelno == 10}
    assert {"homeassistant.core", "custom_components.eniris", "asyncio"} <= loggers
    log = "\n".join(
        f"{record.getMessage()} {record.args!r} {record.exc_text}"
        for record in caplog.records
    )
    assert "could not be logged out" in log
    assert re.search("REDACTED", log)
    assert not found_in(f"{log}\n{caplog.text}", life.secrets)
