"""The Home Assistant under test: a process that is started, killed, stopped and asked."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
import json
from pathlib import Path
import shutil
import signal
import sys
from typing import Any, Final

import aiohttp

from scripts.demo import config_dir, steps
from scripts.demo.config_dir import ROOT
from scripts.demo.errors import DemoError
from scripts.demo.home_assistant import HomeAssistant
from scripts.demo.processes import LOOPBACK, Child, free_port

from .exports import COLLECTOR, DATABASE, EXPORTS, METERS, TAGS, Exported
from .machine import Clock, Disk

USER: Final = "demo@example.com"
START_PATIENCE: Final = 240.0
STOP_PATIENCE: Final = 60.0
PERIOD: Final = 1.0
"""Seconds between two values of a meter."""

_LOST: Final = (aiohttp.ClientError, OSError, TimeoutError, TypeError, ValueError)
"""What a connection ends in when the process at the other end does."""


class GoneError(Exception):
    """Home Assistant did not answer, because it was killed for instance."""


class Door:
    """One connection to Home Assistant, made anew where it was lost; one question at a time."""

    def __init__(self, base: str) -> None:
        """Ask at `base`, once somebody does."""
        self._base = base
        self._lock = asyncio.Lock()
        self._stack: AsyncExitStack | None = None
        self._home: HomeAssistant | None = None

    async def call(self, command: str, **arguments: Any) -> Any:
        """Give a WebSocket command; raises `GoneError`, or `DemoError` where it is refused."""
        async with self._lock:
            try:
                if self._home is None:
                    await self._open()
                assert self._home is not None
                return await self._home.call(command, **arguments)
            except _LOST as err:
                await self._close()
                raise GoneError(repr(err)) from err

    async def walk(
        self,
        path: str,
        handler: str | list[str],
        answers: Mapping[str, Any],
        choices: Mapping[str, str],
    ) -> None:
        """Go through a flow, freshly logged in, since a set clock ends log-ins."""
        async with self._lock:
            try:
                await self._open()
                assert self._home is not None
                await steps.walk(self._home, path, handler, answers, choices)
            except _LOST as err:
                await self._close()
                raise GoneError(repr(err)) from err

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST a JSON document, freshly logged in."""
        async with self._lock:
            try:
                await self._open()
                assert self._home is not None
                return await self._home.post(path, body)
            except _LOST as err:
                await self._close()
                raise GoneError(repr(err)) from err

    async def act(
        self, domain: str, service: str, *, answer: bool = False, **data: Any
    ) -> Any:
        """Call an action, and return its answer if it has one."""
        extra = {"return_response": True} if answer else {}
        result = await self.call(
            "call_service", domain=domain, service=service, service_data=data, **extra
        )
        return result["response"] if answer else None

    async def close(self) -> None:
        """Close the connection."""
        async with self._lock:
            await self._close()

    async def _open(self) -> None:
        # One that was refused or cut short may have left its session
        await self._close()
        stack = AsyncExitStack()
        self._stack = stack
        home = await stack.enter_async_context(HomeAssistant(self._base))
        await steps.onboard_or_log_in(home)
        self._home = home

    async def _close(self) -> None:
        self._home = None
        stack, self._stack = self._stack, None
        if stack is not None:
            with suppress(*_LOST):
                await stack.aclose()


class Home:
    """Home Assistant in a directory that outlives its processes.

    `control` is for what a fault does, `observer` for what looks on: neither waits for the other.
    """

    def __init__(self, folder: Path, simulator_port: int, clock: Clock) -> None:
        """Prepare the directory."""
        self.folder = folder
        self.journal = folder.with_name("journal.txt")
        self.clock = clock
        self.port = free_port()
        base = f"http://{LOOPBACK}:{self.port}"
        self.control, self.observer = Door(base), Door(base)
        self.logs: list[Path] = []
        self.entry_id = ""
        self.switches: dict[str, str] = {}
        """The switch of an export, by its measurement."""
        self.waiting_sensors: dict[str, str] = {}
        self.refresh_button = ""
        self._child: Child | None = None
        config_dir.prepare(folder, self.port, simulator_port)
        self._write_configuration()
        (folder / "custom_components" / METERS).symlink_to(
            Path(__file__).parent / METERS, target_is_directory=True
        )
        self.disk = Disk(folder / ".storage")

    def _write_configuration(self) -> None:
        configuration = self.folder / "configuration.yaml"
        http = [
            line
            for line in configuration.read_text("utf-8").splitlines()
            if line.startswith("http:")
        ]
        meters = [meter for export in EXPORTS for meter in export.fields]
        own = {
            "journal": str(self.journal),
            "power": [meter for meter in meters if "_power_" in meter],
            "words": [meter for meter in meters if "_word_" in meter],
            "watched_domain": "eniris",
            "watched_entities": "switch.chaos",
            "period": PERIOD,
        }
        logs = {
            "default": "warning",
            # Secrets must not be there at any level
            "logs": {"custom_components.eniris": "debug"},
        }
        lines = [
            *("api:", "config:", "frontend:", "repairs:"),
            f"logger: {json.dumps(logs)}",
            f"{METERS}: {json.dumps(own)}",
            *http,
            "",
        ]
        configuration.write_text("\n".join(lines), "utf-8")

    @property
    def outbox(self) -> Path:
        """The outbox' file."""
        return self.folder / ".storage" / f"eniris.{self.entry_id}.outbox.db"

    @property
    def running(self) -> bool:
        """Whether there is a process that nobody has ended yet."""
        return self._child is not None

    async def start(self) -> None:
        """Start the process, and wait until it has started and logged in."""
        log = self.folder.with_name(f"console-{len(self.logs) + 1}.log")
        self.logs.append(log)
        setpriv = shutil.which("setpriv")
        # So that nothing is left behind, however the run itself may end
        leash = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
        child = Child(
            "Home Assistant",
            [
                *leash,
                *(sys.executable, "-m", "homeassistant", "--skip-pip"),
                *("--log-no-color", "--config", str(self.folder)),
            ],
            cwd=self.folder,
            log=log,
            env={
                "PYTHONUNBUFFERED": "1",
                # Compiled once and not at every start, also where nothing is to be written beside the sources
                "PYTHONDONTWRITEBYTECODE": "",
                "PYTHONPYCACHEPREFIX": str(ROOT / ".cache" / "chaos" / "compiled"),
                **self.clock.environment,
            },
            patience=STOP_PATIENCE,
        )
        await child.__aenter__()
        self._child = child

    async def wait_until_running(self) -> None:
        """Wait until a process that was started answers and has finished starting."""
        child = self._child
        assert child is not None
        async with HomeAssistant(f"http://{LOOPBACK}:{self.port}") as home:
            await steps.wait_until_up(home, child, START_PATIENCE)
            await steps.onboard_or_log_in(home)
            await steps.wait_until_running(home, child, START_PATIENCE)

    async def kill(self) -> None:
        """End the process as a power cut does."""
        child, self._child = self._child, None
        if child is not None:
            child._signal(signal.SIGKILL)
            await child._started.wait()
        await self._hang_up()

    async def stop(self) -> None:
        """End the process as a person does."""
        child, self._child = self._child, None
        if child is not None:
            await child.stop()
        await self._hang_up()

    async def _hang_up(self) -> None:
        await self.control.close()
        await self.observer.close()

    async def state_of_entry(self) -> str:
        """Return the state of the account's entry."""
        for entry in await self.control.call("config_entries/get", domain="eniris"):
            state: str = entry["state"]
            return state
        return "missing"

    async def wait_until_loaded(self, patience: float = 60.0) -> None:
        """Wait until the account is set up, and ask for it where Home Assistant takes its time."""
        try:
            async with asyncio.timeout(patience):
                while (state := await self.state_of_entry()) != "loaded":
                    await asyncio.sleep(1)
                    if state in ("setup_retry", "not_loaded"):
                        await self.reload()
        except TimeoutError:
            raise DemoError(f"The account is {state} after {patience:.0f} s") from None

    async def reload(self) -> None:
        """Set the account up anew."""
        await self.control.act(
            "homeassistant", "reload_config_entry", entry_id=self.entry_id
        )

    async def set_up(self, cloud: str, ingress: str, password: str) -> None:
        """Add the account and the exports."""
        addresses = {
            "authentication_url": cloud,
            "api_url": cloud,
            "ingress_url": ingress,
        }
        await self.control.walk(
            "/api/config/config_entries/flow",
            "eniris",
            {"user": {"username": USER, "password": password, "advanced": addresses}},
            {},
        )
        (entry,) = await self.control.call("config_entries/get", domain="eniris")
        self.entry_id = entry["entry_id"]
        await self.wait_until_loaded()
        for export in EXPORTS:
            await self._add_export(export)
            await self.wait_until_loaded()
        await self._find_entities()

    async def _add_export(self, export: Exported) -> None:
        answers: dict[str, Any] = {
            "user": {
                "name": export.name,
                "collector": COLLECTOR,
                "database": DATABASE,
                "retention_policy": export.retention_policy,
                "measurement": export.measurement,
                "tags": [f"{key}={value}" for key, value in TAGS.items()],
            },
            "entities": {"entities": list(export.fields)},
            "fields": export.fields,
            "change": {"shortest": export.shortest.total_seconds(), "heartbeat": 0},
        }
        if export.interval is not None:
            answers["interval"] = {
                "interval": export.interval.total_seconds(),
                "aggregate": export.aggregate,
                "heartbeat": 0,
            }
        await self.control.walk(
            "/api/config/config_entries/subentries/flow",
            [self.entry_id, "export"],
            answers,
            {"when": "change" if export.interval is None else "interval"},
        )

    async def _find_entities(self) -> None:
        """Find the entities that faults and the end of the run look at, by their unique ids."""
        subentries = await self.control.call(
            "config_entries/subentries/list", entry_id=self.entry_id
        )
        titles = {export.name: export.measurement for export in EXPORTS}
        measurements = {
            item["subentry_id"]: titles[item["title"]] for item in subentries
        }
        for entity in await self.control.call("config/entity_registry/list"):
            if entity["platform"] != "eniris":
                continue
            entity_id = entity["entity_id"]
            measurement = measurements.get(entity.get("config_subentry_id") or "")
            key = entity["translation_key"]
            if measurement is None:
                if key == "refresh":
                    self.refresh_button = entity_id
            elif key == "enabled":
                self.switches[measurement] = entity_id
            elif key == "waiting":
                self.waiting_sensors[measurement] = entity_id

    async def log_in_again(self, password: str) -> bool:
        """Give the password where Home Assistant asks for it; return whether it did."""
        for flow in await self.observer.call("config_entries/flow/progress"):
            if flow["handler"] == "eniris" and flow["context"]["source"] == "reauth":
                address = f"/api/config/config_entries/flow/{flow['flow_id']}"
                await self.observer.post(address, {"password": password})
                return True
        return False

    async def rejects(self) -> list[dict[str, Any]]:
        """Return what the integration has set aside as refused."""
        answer = await self.observer.act(
            "eniris", "list_rejects", answer=True, config_entry_id=self.entry_id
        )
        found: list[dict[str, Any]] = answer["rejects"]
        return found

    async def upload_now(self) -> None:
        """Have uploaded what waits, pauses or not; it is no matter whether that succeeds."""
        with suppress(DemoError):
            await self.control.act(
                "eniris", "upload_now", config_entry_id=self.entry_id
            )

    async def refresh(self) -> None:
        """Have nodes and values read; it is no matter whether that succeeds."""
        if self.refresh_button:
            with suppress(DemoError):
                await self.control.act("button", "press", entity_id=self.refresh_button)

    async def imported(self) -> set[str]:
        """Return the entities of the import that are enabled."""
        return {
            entity["entity_id"]
            for entity in await self.observer.call("config/entity_registry/list")
            if entity["platform"] == "eniris"
            and entity["disabled_by"] is None
            # Those of exports are none of the import's
            and not entity["config_subentry_id"]
        }

    async def totals(self) -> dict[str, float]:
        """Return the imported totals that have a value, none of which ever goes back."""
        answer = await self.observer.call("get_states")
        imported = await self.imported()
        return {
            state["entity_id"]: float(state["state"])
            for state in answer
            if state["entity_id"] in imported
            and state["attributes"].get("state_class") == "total_increasing"
            and state["state"] not in ("unknown", "unavailable")
        }

    async def waiting(self) -> dict[str, str]:
        """Return what each export's sensor says of how many values wait, by measurement."""
        states = await self.states()
        return {
            measurement: states.get(entity_id, "missing")
            for measurement, entity_id in self.waiting_sensors.items()
        }

    async def issues(self) -> set[str]:
        """Return the kinds of the integration's repair issues."""
        answer = await self.observer.call("repairs/list_issues")
        return {
            issue["translation_key"]
            for issue in answer["issues"]
            if issue["domain"] == "eniris"
        }

    async def states(self) -> dict[str, str]:
        """Return all states."""
        answer = await self.observer.call("get_states")
        return {state["entity_id"]: state["state"] for state in answer}
