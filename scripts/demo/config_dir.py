"""The folder that the demo's Home Assistant lives in."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
import fcntl
from importlib.util import find_spec
import json
from pathlib import Path
import shutil
from typing import Any, NamedTuple

from .errors import DemoError
from .processes import LOOPBACK

ROOT = Path(__file__).resolve().parents[2]
MARKER = "demo.json"


class Ports(NamedTuple):
    """Where Home Assistant, the simulated cloud, and the broker of the simulated controller listen; 0: it does not."""

    home: int
    simulator: int
    mqtt: int = 0


def prepare(folder: Path, ports: Ports) -> None:
    """Make the folder, or bring the one that is there up to date."""
    storage = folder / ".storage"
    storage.mkdir(parents=True, exist_ok=True)
    _remember(folder / MARKER, ports)
    link = folder / "custom_components" / "eniris"
    link.parent.mkdir(exist_ok=True)
    source = ROOT / "custom_components" / "eniris"
    # The checkout may have been moved or copied since
    if link.is_symlink() and link.readlink() != source:
        link.unlink()
    if not link.is_symlink():
        link.symlink_to(source, target_is_directory=True)
    configuration = (Path(__file__).parent / "configuration.yaml").read_text("utf-8")
    http = {"server_host": [LOOPBACK], "server_port": ports.home}
    if find_spec("homeassistant.components.http.config") is None:
        configuration += f"\nhttp: {json.dumps(http)}\n"
    else:
        # Newer ones take this from their store; from YAML they take it once, on trial for five minutes
        _store(
            storage / "http",
            version=2,
            minor_version=2,
            data={
                "stable": {
                    **http,
                    "cors_allowed_origins": [],
                    "ip_ban_enabled": True,
                    "login_attempts_threshold": -1,
                    "ssl_profile": "modern",
                    "use_x_frame_options": True,
                    "created_at": datetime.now(UTC).isoformat(),
                    "error": None,
                    "error_message": None,
                },
                "pending": None,
                "yaml_migration_done": True,
            },
        )
    (folder / "configuration.yaml").write_text(configuration, "utf-8")
    for own, empty in (("automations.yaml", "[]\n"), ("scripts.yaml", "{}\n")):
        if not (folder / own).exists():
            (folder / own).write_text(empty, "utf-8")
    if not (storage / "onboarding").exists():
        # This step would do no more than add Met.no, Radio Browser and Google Translate, which call
        # the internet. What the user enters in its forms goes through config/core/update.
        _store(storage / "onboarding", version=4, data={"done": ["core_config"]})


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep a second demo out of the folder: it would reset, or run on, what the first is using."""
    lock = ROOT / ".cache" / f"{folder.name}.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"A demo is running in {folder.name} already") from None
        yield


def remove(folder: Path) -> None:
    """Remove a folder of the demo, and nothing else."""
    if not folder.exists():
        return
    if not (folder / MARKER).is_file():
        raise DemoError(f"{folder} is not a folder of the demo; not removed")
    shutil.rmtree(folder)


def _remember(marker: Path, ports: Ports) -> None:
    """Keep to the simulator's ports: the entry holds its addresses."""
    kept = {"--simulator-port": ports.simulator, "--mqtt-port": ports.mqtt}
    if marker.exists():
        known = json.loads(marker.read_text("utf-8"))
        if known != kept:
            options = " ".join(f"{name} {port}" for name, port in known.items())
            raise DemoError(
                f"This demo was set up with {options}; use that, or --reset"
            )
    marker.write_text(json.dumps(kept), "utf-8")


def _store(
    path: Path, *, version: int, data: dict[str, Any], minor_version: int = 1
) -> None:
    document = {
        "version": version,
        "minor_version": minor_version,
        "key": path.name,
        "data": data,
    }
    path.write_text(json.dumps(document), "utf-8")
