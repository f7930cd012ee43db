"""The finding of Python, the keeping of environments, and the reading of the demo's log."""

from dataclasses import dataclass
from pathlib import Path
import shutil
import subprocess
import sys

import pytest

from scripts.demo.log import complaints

ROOT = Path(__file__).parents[2]
TOOLS = (
    "bash",
    "cat",
    "dirname",
    "flock",
    "mkdir",
    "mktemp",
    "mv",
    "rm",
    "sleep",
    "tail",
)

WORKS_313 = 'echo "3.13 $0"'
WORKS_314 = 'echo "3.14 $0"'
BROKEN_SHIM = 'echo "pyenv: $0: command not found" >&2; exit 127'
TOO_OLD = 'echo "3.11.7 is too old" >&2; exit 1'
# Makes environments that hold nothing, and tells what it was asked
UV = """
echo "$*" >>"$HOME/uv.log"
for last; do :; done
case "$*" in
  *" venv "*)
    sleep 0.2
    mkdir -p "$last/bin"
    echo '#!/bin/sh' >"$last/bin/python"
    chmod +x "$last/bin/python" ;;
  *" sync "*) [ ! -e "$HOME/offline" ] ;;
esac
"""


@dataclass
class Machine:
    """A computer on which only that is installed which a test puts there."""

    home: Path

    @property
    def project(self) -> Path:
        """A checkout; its path has a space in it."""
        return self.home / "my projects" / "eniris"

    def install(self, path: str, script: str) -> Path:
        """Put a program at a path below the home."""
        program = self.home / path
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        program.chmod(0o755)
        return program

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the shared script."""
        return subprocess.run(
            ["bash", "-c", f"set -euo pipefail; source scripts/_env.sh; {command}"],
            cwd=self.project,
            env={"HOME": str(self.home), "PATH": str(self.home / "bin")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def find(self, want: str) -> subprocess.CompletedProcess[str]:
        """Look for a Python."""
        return self.run(f'find_python "{want}"; echo "$version $python"')

    def use(self, want: str) -> subprocess.CompletedProcess[str]:
        """Ask for an environment."""
        return self.run(f'use_env "{want}"; echo "$version $python"')

    def uv_calls(self, name: str) -> int:
        """Return how often uv was asked for something."""
        log = self.home / "uv.log"
        return log.read_text("utf-8").count(f" {name} ") if log.exists() else 0


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine without any Python."""
    machine = Machine(tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in (*TOOLS, "chmod"):
        if found := shutil.which(tool):
            (tmp_path / "bin" / tool).symlink_to(found)
    (machine.project / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "_env.sh", machine.project / "scripts")
    (machine.project / "requirements").mkdir()
    for version in ("3.13", "3.14"):
        pins = machine.project / "requirements" / f"python-{version}.txt"
        pins.write_text("homeassistant==1\nother==2\n", "utf-8")
    return machine


def test_real_interpreter(machine: Machine) -> None:
    """An interpreter that is named is tried, and told by its version."""
    result = machine.find(sys.executable)
    version, _, path = result.stdout.strip().partition(" ")
    assert version == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert Path(path).exists()


def test_pyenv_behind_its_broken_shim(machine: Machine) -> None:
    """A shim that does not run gives way to the version behind it."""
    machine.install("bin/python3.13", BROKEN_SHIM)
    machine.install("bin/python3", TOO_OLD)
    real = machine.install(".pyenv/versions/3.13.0/bin/python", WORKS_313)
    assert machine.find("best").stdout == f"3.13 {real}\n"


def test_newest_first(machine: Machine) -> None:
    """3.14 anywhere wins over 3.13 on the PATH, unless 3.13 is asked for."""
    old = machine.install("bin/python3", WORKS_313)
    new = machine.install(
        ".local/share/uv/python/cpython-3.14.2-linux/bin/python3", WORKS_314
    )
    assert machine.find("best").stdout == f"3.14 {new}\n"
    assert machine.find("3.13").stdout == f"3.13 {old}\n"


def test_refused_interpreters(machine: Machine) -> None:
    """What is named has to be usable; the reason is told."""
    old = machine.install("bin/python3", TOO_OLD)
    result = machine.find(str(old))
    assert result.returncode == 1
    assert "3.11.7 is too old" in result.stderr
    assert machine.find("3.12").returncode == 1


def test_none_at_all(machine: Machine) -> None:
    """Without Python and uv, the message says what to install."""
    result = machine.find("best")
    assert result.returncode == 1
    assert result.stdout == ""
    for hint in ("uv python install 3.14", "pyenv install 3.14", "--python"):
        assert hint in result.stderr


def test_download(machine: Machine) -> None:
    """The last resort is uv, which puts a Python into the checkout."""
    fresh = machine.project / ".cache/python/cpython-3.13.9-linux/bin/python3"
    machine.install(
        "bin/uv",
        f"""case "$*" in *"python install"*"{fresh.parents[2]}"*)
          mkdir -p "{fresh.parent}"
          printf '#!/bin/sh\\n%s\\n' '{WORKS_313}' >"{fresh}"
          chmod +x "{fresh}" ;;
        esac""",
    )
    assert machine.find("3.13").stdout == f"3.13 {fresh}\n"
    (machine.home / "bin" / "uv").unlink()
    assert machine.find("best").stdout == f"3.13 {fresh}\n"


def test_uv_is_fetched_without_venv(machine: Machine) -> None:
    """A Python that cannot make environments may still have pip; uv is fetched once."""
    machine.install("bin/python3.13", BROKEN_SHIM)
    machine.install("uv", UV)
    machine.install(
        "bin/python3",
        f"""case "$*" in
          *"-m venv"*) exit 1 ;;
          *"-m pip"*) mkdir -p "$6/bin" && mv "$HOME/uv" "$6/bin/uv" ;;
          *) {WORKS_313} ;;
        esac""",
    )
    assert machine.use("3.13").returncode == 0
    shutil.rmtree(machine.project / ".venv-3.13")
    assert machine.use("3.13").returncode == 0
    assert (machine.project / ".cache" / "uv").exists()
    assert not list((machine.project / ".cache").glob("fetch*"))


def test_environment_is_made_once(machine: Machine) -> None:
    """The second use finds the environment of the first."""
    machine.install("bin/uv", UV)
    machine.install("bin/python3", WORKS_313)
    first = machine.use("best")
    assert first.stdout == f"3.13 {machine.project}/.venv-3.13/bin/python\n"
    assert machine.use("best").stdout == first.stdout
    assert machine.use("3.13").stdout == first.stdout
    assert (machine.uv_calls("venv"), machine.uv_calls("sync")) == (1, 1)


def test_environment_follows_its_pins(machine: Machine) -> None:
    """Other pins are installed into what is there; another interpreter is not."""
    machine.install("bin/uv", UV)
    machine.install("bin/python3", WORKS_313)
    machine.use("3.13")
    pins = machine.project / "requirements" / "python-3.13.txt"
    pins.write_text("homeassistant==2\n", "utf-8")
    machine.use("3.13")
    assert (machine.uv_calls("venv"), machine.uv_calls("sync")) == (1, 2)
    machine.use(str(machine.install("elsewhere/python", WORKS_313)))
    assert (machine.uv_calls("venv"), machine.uv_calls("sync")) == (2, 3)


def test_interrupted_environment_is_not_trusted(machine: Machine) -> None:
    """What could not be finished is made anew."""
    machine.install("bin/uv", UV)
    machine.install("bin/python3", WORKS_313)
    (machine.home / "offline").touch()
    assert machine.use("3.13").returncode == 1
    assert machine.use("3.13").returncode == 1
    (machine.home / "offline").unlink()
    assert machine.use("3.13").returncode == 0
    assert machine.uv_calls("venv") == 3


LOG = """\
2026-11-22 19:10:37.445 WARNING (MainThread) [homeassistant.loader] We found a custom integration eniris which has not been tested by Home Assistant
2026-11-22 19:10:38.000 INFO (MainThread) [custom_components.eniris] Logged in
2026-11-22 19:10:38.190 WARNING (MainThread) [other] Slow
2026-11-22 19:10:38.200 WARNING (MainThread) [homeassistant.helpers.frame] Detected that custom integration 'eniris' does something
2026-11-22 19:10:38.300 ERROR (MainThread) [asyncio] Task exception was never retrieved
Traceback (most recent call last):
  File "{root}/custom_components/eniris/sensor.py", line 1, in x
2026-11-22 19:10:38.400 ERROR (MainThread) [homeassistant] Error
Traceback (most recent call last):
  File "{root}/.venv-3.13/lib/python3.13/site-packages/other.py", line 1, in x
"""


def test_log(tmp_path: Path) -> None:
    """Ours is what names the integration, tracebacks included; the checkout's own path does not count."""
    root = tmp_path / "eniris"
    log = tmp_path / "home-assistant.log"
    log.write_text(LOG.format(root=root), "utf-8")
    assert [(item.logger, item.ours) for item in complaints(log, root)] == [
        ("other", False),
        ("homeassistant.helpers.frame", True),
        ("asyncio", True),
        ("homeassistant", False),
    ]
