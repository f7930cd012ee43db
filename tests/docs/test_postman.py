"""The Postman collection, run by newman against the simulator.

Where there is no newman to be had, these tests are skipped, unless `ENIRIS_NEWMAN=required` is set.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
import fcntl
import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import time
from typing import Any, NoReturn

import pytest

from simulator.control import CONTROL_PREFIX
from simulator.server import Simulator
from simulator.tokens import TokenKind
from simulator.totp import totp
from simulator.world import HomeWorld

NEWMAN = "6.2.2"
ROOT = Path(__file__).parents[2]
COLLECTION = ROOT / "docs" / "eniris.postman_collection.json"

INSTALL_PATIENCE = 300
RUN_PATIENCE = 90

PASSWORD = 'quiet "hedgehog", \\ nine'
NEW_NAME = "Named by the trial"

CALLS = {
    "POST /auth/login",
    "GET /auth/accesstoken",
    "GET /auth/refreshtoken",
    "GET /auth/refreshtoken/validate",
    "POST /auth/logout",
    "POST /user/2fa/totp/authenticate",
    "POST /user/2fa/email-otp/challenge",
    "POST /user/2fa/email-otp/authenticate",
    "POST /v1/device/query",
    "GET /v1/device",
    "GET /v1/company",
    "PUT /v1/device/{id}",
    "POST /v1/device/{id}",
    "POST /v1/telemetry/query",
    "POST /v1/telemetry",
}
"""What the collection asks: all there is, except to create a device or to edit one with PATCH."""

CREATES_A_DEVICE = "POST /v1/device"
SECOND_FACTOR = {call for call in CALLS if " /user/2fa/" in call}

DAY_S = 86_400

pytestmark = pytest.mark.timeout(INSTALL_PATIENCE + RUN_PATIENCE)


def unavailable(reason: str) -> NoReturn:
    """Skip, or fail where newman is required."""
    if os.environ.get("ENIRIS_NEWMAN") == "required":
        pytest.fail(reason)
    pytest.skip(f"{reason}; ENIRIS_NEWMAN=required makes this an error")


@pytest.fixture(scope="session")
def newman() -> Path:
    """Return newman, which is installed once per checkout."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        unavailable("Node.js with npm is not installed")
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    folder = cache / f"newman-{NEWMAN}"
    # Several workers may come here at once; a folder has its name only when it is complete
    with (cache / "newman.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            fresh = cache / "newman.fresh"
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            try:
                subprocess.run(
                    [
                        *(npm, "install", f"newman@{NEWMAN}", "--prefix", str(fresh)),
                        *("--no-audit", "--no-fund", "--no-package-lock"),
                        *("--ignore-scripts", "--silent"),
                    ],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    check=True,
                    timeout=INSTALL_PATIENCE,
                )
            except (subprocess.SubprocessError, OSError) as err:
                unavailable(f"npm could not install newman {NEWMAN}: {err}")
            fresh.rename(folder)
    return folder / "node_modules" / "newman" / "bin" / "newman.js"


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the collection.

    output: what newman printed. answered: names of the requests that were sent, with the status of the last answer.
    failed, skipped: tests of the collection, with what they say.
    """

    code: int
    output: str
    answered: dict[str, int]
    failed: list[str]
    skipped: list[str]


class Postman:
    """Somebody who has filled in the variables of the collection."""

    def __init__(self, newman: Path, simulator: Simulator, folder: Path) -> None:
        """Use the account without anything special."""
        self.variables: dict[str, str] = {}
        """What overrides the collection, as an environment does."""
        self.kept: dict[str, str] = {}
        """What the scripts have kept from an earlier time."""
        self._newman = newman
        self._simulator = simulator
        self._folder = folder
        self._issued: list[str] = []
        self._watch_tokens()
        self.log_in_as("demo@example.com")

    def log_in_as(self, username: str) -> None:
        """Take an account, and give it a password that would be noticed in an output."""
        self._simulator.accounts[username].password = PASSWORD
        url = self._simulator.url
        self.variables |= {
            "authenticationUrl": url,
            "apiUrl": url,
            "ingressUrl": url,
            "username": username,
            "password": PASSWORD,
            "collector": "demo-ingress",
            "database": "demo",
        }

    def keep_token(self, kind: TokenKind, age: float) -> None:
        """Let the scripts have kept a token for some seconds."""
        user = self._simulator.accounts[self.variables["username"]]
        self.kept[f"{kind}Token"] = self._simulator.mint.issue(kind, user.user_id)
        self.kept[f"{kind}TokenSince"] = str(round((time.time() - age) * 1000))

    async def run(self, *names: str) -> Run:
        """Run the collection, or some of its requests and folders; no secret may be printed."""
        collection = json.loads(COLLECTION.read_text("utf-8"))
        for variable in collection["variable"]:
            variable["value"] = self.kept.get(variable["key"], variable["value"])
        report = self._folder / "report.json"
        report.unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(
            *("node", str(self._newman), "run"),
            self._write("collection.json", collection),
            *("--environment", self._write("environment.json", self._environment())),
            *(part for name in names for part in ("--folder", name)),
            *("--reporters", "cli,json", "--reporter-json-export", str(report)),
            *("--color", "off", "--disable-unicode"),
            env={
                name: value
                for name, value in os.environ.items()
                # Proxies of the environment are no part of the test
                if not name.lower().endswith("_proxy")
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(RUN_PATIENCE):
                output = (await process.communicate())[0].decode()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert report.exists(), output
        self._assert_discreet(output)
        return _read_run(
            process.returncode or 0, output, json.loads(report.read_text("utf-8"))
        )

    def _environment(self) -> dict[str, Any]:
        return {
            "name": "test",
            "values": [
                {"key": key, "value": value} for key, value in self.variables.items()
            ],
        }

    def _write(self, name: str, content: Any) -> str:
        path = self._folder / name
        path.write_text(json.dumps(content), "utf-8")
        return str(path)

    def _watch_tokens(self) -> None:
        issue = self._simulator.mint.issue

        def watched(kind: TokenKind, user_id: int) -> str:
            token = issue(kind, user_id)
            self._issued.append(token)
            return token

        self._simulator.mint.issue = watched  # type: ignore[method-assign]

    def _assert_discreet(self, output: str) -> None:
        # newman breaks long lines, frames them, and escapes some characters
        squeezed = re.sub(r"\W", "", output)
        for secret in (PASSWORD, *self._issued):
            for part in secret.split("."):
                assert re.sub(r"\W", "", part) not in squeezed


def _read_run(code: int, output: str, report: dict[str, Any]) -> Run:
    executions = report["run"]["executions"]
    return Run(
        code=code,
        output=output,
        answered={
            execution["item"]["name"]: execution["response"]["code"]
            for execution in executions
            # What a script asked before the request was skipped stands here too
            if "response" in execution
            and execution["request"]["url"]["path"][:2]
            == execution["item"]["request"]["url"]["path"][:2]
        },
        failed=[
            f"{failure['error']['test']}: {failure['error']['message']}"
            if "test" in failure["error"]
            else failure["error"]["message"]
            for failure in report["run"]["failures"]
        ],
        skipped=re.findall(r"- +\[skipped\] (.*)", output),
    )


@pytest.fixture
def postman(newman: Path, simulator: Simulator, tmp_path: Path) -> Postman:
    """Return a user of the collection."""
    return Postman(newman, simulator, tmp_path)


def items(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Go through the requests below a folder."""
    for item in node["item"]:
        if "item" in item:
            yield from items(item)
        else:
            yield item


@pytest.fixture
def collection() -> dict[str, Any]:
    """Return the collection as it is stored."""
    content: dict[str, Any] = json.loads(COLLECTION.read_text("utf-8"))
    return content


def requests_of(collection: dict[str, Any]) -> dict[str, str]:
    """Return the call of each request, by name."""
    return {
        item["name"]: " ".join(
            (item["request"]["method"], "/" + "/".join(item["request"]["url"]["path"]))
        ).replace("{{deviceId}}", "{id}")
        for item in items(collection)
    }


def test_one_request_for_every_call(
    collection: dict[str, Any], world: HomeWorld
) -> None:
    """The collection, the list above and the simulator know the same calls; none of them creates a device."""
    simulated = {
        f"{route.method} {route.path}"
        for api in Simulator(world)._apis
        for route in api.routes()
        if not route.path.startswith(CONTROL_PREFIX)
    }
    assert simulated - {CREATES_A_DEVICE} == CALLS
    assert set(requests_of(collection).values()) == CALLS


def test_form(collection: dict[str, Any]) -> None:
    """It is a collection of version 2.1, fit to be read and compared as text."""
    text = COLLECTION.read_text("utf-8")
    assert text == json.dumps(collection, indent=2, ensure_ascii=False) + "\n"
    assert collection.keys() == {"info", "auth", "event", "variable", "item"}
    assert collection["info"].keys() == {"name", "description", "schema"}
    assert collection["info"]["schema"] == (
        "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
    )
    everything = list(items(collection))
    names = [item["name"] for item in everything]
    assert len(set(names)) == len(names)
    for node in [collection, *collection["item"], *everything]:
        # An id would change with every export
        assert not node.keys() & {"id", "uid", "_postman_id"}
        for event in node.get("event", []):
            assert event["listen"] in ("prerequest", "test")
            assert event["script"]["type"] == "text/javascript"
            assert all("\n" not in line for line in event["script"]["exec"])
    for item in everything:
        request = item["request"]
        url = request["url"]
        assert request["description"]
        assert "test" in [event["listen"] for event in item["event"]]
        query = "&".join(
            f"{pair['key']}={pair['value']}" for pair in url.get("query", [])
        )
        assert url["raw"] == "/".join((*url["host"], *url["path"])) + (
            f"?{query}" if query else ""
        )


def test_nothing_secret_is_stored(collection: dict[str, Any]) -> None:
    """Secrets are of the type that Postman hides, and empty; so is what comes from an account."""
    # The published schema of 2.1 has this type for no variable of a collection; newman takes it as text
    values = {item["key"]: item["value"] for item in collection["variable"]}
    secret = {
        item["key"] for item in collection["variable"] if item["type"] == "secret"
    }
    assert secret == {
        *("password", "totp", "emailOtp"),
        *("refreshToken", "accessToken", "partialToken"),
    }
    assert {key: value for key, value in values.items() if value} == {
        "authenticationUrl": "https://authentication.eniris.be",
        "apiUrl": "https://api.eniris.be",
        "ingressUrl": "https://neodata-ingress.eniris.be",
        "language": "en",
        "newName": "{{deviceName}}",
        "retentionPolicy": "rp_one_m",
    }
    used = set(re.findall(r"{{(\w+)}}", json.dumps(collection["item"])))
    # Those that scripts work out for a single request
    assert used - values.keys() == {"since", "now", "time", "timeNs"}


@pytest.mark.parametrize("older", [False, True], ids=["newer", "older"])
async def test_from_top_to_bottom(
    postman: Postman, simulator: Simulator, collection: dict[str, Any], older: bool
) -> None:
    """Every request works, within the smallest budget, and leaves nothing changed but one point.

    older: the service answers as its older descriptions have it.
    """
    simulator.tier = "free"
    simulator.switches.quote_tokens = older
    simulator.switches.put_status = 405 if older else None
    simulator.switches.time_format = "ms" if older else "iso_ms"
    names = {
        device["id"]: device["properties"]["name"] for device in simulator.devices.all()
    }
    postman.variables["newName"] = NEW_NAME

    run = await postman.run()

    assert (run.failed, run.code) == ([], 0), run.output
    calls = requests_of(collection)
    assert run.answered.keys() == {
        name for name, call in calls.items() if call not in SECOND_FACTOR
    }
    assert set(simulator.log.counts) == CALLS - SECOND_FACTOR
    statuses = {
        "All devices, if anything changed": 204,
        "Rename, merging": 405 if older else 200,
        "Name it back, replacing": 405 if older else 200,
        "Edit with POST": 200 if older else 405,
        "Write as JSON": 204,
        "Write as line protocol": 204,
        "Log out": 204,
    }
    assert run.answered == dict.fromkeys(run.answered, 200) | statuses
    assert simulator.log.count("POST /auth/login") == 1
    new_names = [
        entry.json["properties"]["name"]
        for entry in simulator.log.find("PUT /v1/device/{id}", status=200)
    ]
    assert new_names[:1] == ([] if older else [NEW_NAME])
    assert names == {
        device["id"]: device["properties"]["name"] for device in simulator.devices.all()
    }
    guarded = simulator.log.find("PUT /v1/device/{id}")[0]
    assert "If-Unmodified-Since" in guarded.headers
    json_write, line_write = simulator.log.find("POST /v1/telemetry")
    assert dict(json_write.query)["u"] == "demo-ingress"
    assert "Content-Type" not in line_write.headers
    assert [
        point.fields for point in simulator.store.points(measurement="exampleMetrics")
    ] == [{"maximumProductionPower_W": 2000.0}] * len(simulator.store)
    assert len(run.skipped) == len(SECOND_FACTOR) + (2 if older else 1)


async def test_nothing_is_written_unasked(
    postman: Postman, simulator: Simulator
) -> None:
    """Whoever has not said where to gets no point written and no name changed."""
    for name in ("collector", "database"):
        del postman.variables[name]
    names = [device["properties"]["name"] for device in simulator.devices.all()]
    run = await postman.run()
    assert (run.failed, run.code) == ([], 0), run.output
    assert simulator.log.count("POST /v1/telemetry") == 0
    for entry in simulator.log.find("PUT /v1/device/{id}"):
        assert entry.json["properties"]["name"] in names
    assert sum("Nothing is written" in text for text in run.skipped) == 2


async def test_tokens_are_used_while_they_are_good(
    postman: Postman, simulator: Simulator
) -> None:
    """Nothing is asked of the authentication host in vain."""
    postman.keep_token("refresh", 6.9 * DAY_S)
    postman.keep_token("access", 3.5 * 60)
    run = await postman.run("Companies")
    assert (run.failed, run.code) == ([], 0), run.output
    assert set(simulator.log.counts) == {"GET /v1/company"}


async def test_access_token_is_renewed_in_time(
    postman: Postman, simulator: Simulator
) -> None:
    """An old access token is replaced before it is refused."""
    postman.keep_token("refresh", 0)
    postman.keep_token("access", 4 * 60)
    run = await postman.run("Companies")
    assert (run.failed, run.code) == ([], 0), run.output
    assert [entry.call for entry in simulator.log.requests] == [
        "GET /auth/accesstoken",
        "GET /v1/company",
    ]


@pytest.mark.parametrize(
    ("days", "call"), [(7.1, "GET /auth/refreshtoken"), (13.1, "POST /auth/login")]
)
async def test_refresh_token_is_renewed_in_time(
    postman: Postman, simulator: Simulator, days: float, call: str
) -> None:
    """An older refresh token buys a new one; one near its end is not trusted."""
    postman.keep_token("refresh", days * DAY_S)
    postman.keep_token("access", 0)
    run = await postman.run("Companies")
    assert (run.failed, run.code) == ([], 0), run.output
    assert [entry.call for entry in simulator.log.requests] == [
        call,
        "GET /auth/accesstoken",
        "GET /v1/company",
    ]


async def test_stale_access_token(postman: Postman, simulator: Simulator) -> None:
    """A token that is refused is replaced, and the request repeated, once."""
    postman.keep_token("refresh", 0)
    postman.keep_token("access", 0)
    simulator.revoke("demo@example.com", "access")
    run = await postman.run("Companies")
    assert (run.failed, run.code) == ([], 0), run.output
    assert [(entry.call, entry.status) for entry in simulator.log.requests] == [
        ("GET /v1/company", 401),
        ("GET /auth/accesstoken", 200),
        ("GET /v1/company", 200),
    ]


async def test_refused_for_good(postman: Postman, simulator: Simulator) -> None:
    """A second refusal ends the run and says what to do."""
    simulator.faults.add("/v1/device/query", "status", status=401)
    run = await postman.run("Devices")
    assert run.code == 1
    assert any('Send "Log in"' in text for text in run.failed), run.output
    assert simulator.log.count("POST /v1/device/query") == 2
    assert simulator.log.count("GET /v1/company") == 0
    assert simulator.log.count("POST /auth/login") == 1


async def test_revoked_refresh_token(postman: Postman, simulator: Simulator) -> None:
    """A refresh token that was revoked leads to one new log-in."""
    postman.keep_token("refresh", 0)
    simulator.revoke("demo@example.com", "refresh")
    run = await postman.run("Companies")
    assert (run.failed, run.code) == ([], 0), run.output
    assert [(entry.call, entry.status) for entry in simulator.log.requests] == [
        ("GET /auth/accesstoken", 401),
        ("POST /auth/login", 200),
        ("GET /auth/accesstoken", 200),
        ("GET /v1/company", 200),
    ]


@pytest.mark.parametrize("names", [(), ("Devices",)], ids=["all", "devices"])
async def test_wrong_password(
    postman: Postman, simulator: Simulator, names: tuple[str, ...]
) -> None:
    """A wrong password is tried once, lest the account be locked."""
    simulator.accounts["demo@example.com"].password = "another"
    run = await postman.run(*names)
    assert run.code == 1
    assert simulator.log.counts == {"POST /auth/login": {401: 1}}
    assert "401" in "".join(run.failed)


async def test_nothing_filled_in(postman: Postman, simulator: Simulator) -> None:
    """Without a user name nothing is sent, and the reason is told."""
    del postman.variables["username"]
    run = await postman.run()
    assert run.failed == ["Logged in: Fill in the variables username and password."]
    assert not simulator.log.requests


async def test_budget_used_up(postman: Postman, simulator: Simulator) -> None:
    """A run ends at 429 and says how long to wait."""
    simulator.faults.add("/v1/telemetry/query", "status", status=429, retry_after=17)
    run = await postman.run()
    assert run.code == 1
    assert any("Wait 17 seconds" in text for text in run.failed), run.output
    assert simulator.log.count("POST /v1/telemetry/query") == 1
    assert simulator.log.count("POST /v1/telemetry") == 0


@pytest.mark.parametrize("username", ["totp@example.com", "email@example.com"])
async def test_second_factor_is_asked_for(
    postman: Postman, simulator: Simulator, username: str
) -> None:
    """Without the second factor no other request is sent, and it is said what to do."""
    postman.log_in_as(username)
    run = await postman.run("Devices")
    assert run.code == 1
    assert 'the folder "Second factor"' in "".join(run.failed)
    assert set(simulator.log.counts) == {"POST /auth/login", "GET /auth/accesstoken"}


async def test_authenticator_app(postman: Postman, simulator: Simulator) -> None:
    """The code of the app completes the log-in, and all else follows."""
    postman.log_in_as("totp@example.com")
    secret = simulator.accounts["totp@example.com"].totp_secret
    assert secret is not None
    postman.variables["totp"] = totp(secret, simulator.clock())
    run = await postman.run()
    assert (run.failed, run.code) == ([], 0), run.output
    assert run.answered["Give the code of the app"] == 200
    assert "Give the e-mailed code" not in run.answered
    assert simulator.log.count("POST /auth/login") == 1


async def test_app_without_a_code(postman: Postman, simulator: Simulator) -> None:
    """A run without the code ends where it is needed."""
    postman.log_in_as("totp@example.com")
    run = await postman.run()
    assert run.code == 1
    assert "or that of the app into totp" in "".join(run.failed)
    assert simulator.log.count("POST /v1/device/query") == 0


async def test_code_by_email(postman: Postman, simulator: Simulator) -> None:
    """A code is asked for, given, and all else follows."""
    postman.log_in_as("email@example.com")
    run = await postman.run("Ask for a code by e-mail")
    assert (run.failed, run.code) == ([], 0), run.output
    assert [email.language for email in simulator.emails] == ["en"]

    postman.variables["emailOtp"] = simulator.emails[0].code
    run = await postman.run()
    assert (run.failed, run.code) == ([], 0), run.output
    assert run.answered["Give the e-mailed code"] == 200
    assert run.answered["Companies"] == 200
    assert len(simulator.emails) == 1
