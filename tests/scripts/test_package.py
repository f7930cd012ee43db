"""What is handed out: the archive of a release, and the images."""

from importlib.util import find_spec
import json
from pathlib import Path
import shutil
import subprocess
import sys
from typing import Any
from zipfile import ZipFile

import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.eniris.const import DOMAIN
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from scripts import make_package
from scripts.demo import config_dir, log, steps
from scripts.demo.home_assistant import HomeAssistant as Browser
from scripts.demo.processes import LOOPBACK, Child, free_port
from simulator.server import Simulator

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "custom_components" / "eniris"
BRAND = PACKAGE / "brand"
VERSION = "9.8.7"

START_PATIENCE = 120.0
STOP_PATIENCE = 30.0


def json_file(path: Path) -> Any:
    """Return what a file of JSON says."""
    return json.loads(path.read_text("utf-8"))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return the archive of a release."""
    path = tmp_path / "dist" / "eniris.zip"
    make_package.make(PACKAGE, path, VERSION)
    return path


def test_content(archive: Path) -> None:
    """The archive holds the whole package, nothing else, and nothing outside of it."""
    with ZipFile(archive) as opened:
        names = opened.namelist()
        contents = {name: opened.read(name) for name in names}
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "."],
        cwd=PACKAGE,
        check=False,
        capture_output=True,
        text=True,
    )
    if tracked.returncode == 0 and tracked.stdout:
        assert set(names) == set(tracked.stdout.splitlines())
    assert {
        "__init__.py",
        "brand/icon.png",
        "icons.json",
        "importing/coordinator.py",
        "manifest.json",
        "quality_scale.yaml",
        "services.yaml",
        "translations/en.json",
    } <= set(names)
    for name, content in contents.items():
        assert not name.startswith(("/", ".")), name
        assert ".." not in name, name
        assert "test" not in Path(name).parts[0], name
        if name != "manifest.json":
            assert content == (PACKAGE / name).read_bytes(), name


def test_version(archive: Path) -> None:
    """The archive's manifest has the version of the release, and is otherwise that of the sources."""
    with ZipFile(archive) as opened:
        manifest = json.loads(opened.read("manifest.json"))
    sources = json_file(PACKAGE / "manifest.json")
    assert list(manifest) == list(sources)
    assert manifest == {**sources, "version": VERSION}


def test_same_archive_again(archive: Path, tmp_path: Path) -> None:
    """Another checkout, unpacked at another time and used since, gives the same archive."""
    copy = tmp_path / "copy"
    shutil.copytree(
        PACKAGE, copy, copy_function=shutil.copyfile, ignore=lambda *_: {"__pycache__"}
    )
    (copy / "api" / "__pycache__").mkdir()
    (copy / "api" / "__pycache__" / "auth.cpython-313.pyc").write_bytes(b"stale")
    again = tmp_path / "again.zip"
    make_package.make(copy, again, VERSION)
    assert again.read_bytes() == archive.read_bytes()


@pytest.mark.parametrize("name", ["notes.txt", ".secrets.json", "sensor.py.orig"])
def test_strange_file(tmp_path: Path, name: str) -> None:
    """What does not look like a part of the package is not handed out by accident."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / name).write_text("x")
    with pytest.raises(ValueError, match="is not of the package"):
        make_package.make(tmp_path / "package", tmp_path / "eniris.zip")


def test_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The script takes a tag for a version, and refuses what is none."""
    monkeypatch.setattr(make_package, "ROOT", tmp_path)
    monkeypatch.setattr(make_package, "ARCHIVE", tmp_path / "dist" / "eniris.zip")
    assert make_package.main(["v1.2.3b4"]) == 0
    with ZipFile(make_package.ARCHIVE) as opened:
        assert json.loads(opened.read("manifest.json"))["version"] == "1.2.3b4"
    for wrong in ("latest", "1.2", "1.2.3-4", "../1.2.3", "vv1.2.3"):
        assert make_package.main([wrong]) == 1, wrong
    assert make_package.main(["1.2.3", "1.2.4"]) == 2
    assert make_package.main([]) == 0
    with ZipFile(make_package.ARCHIVE) as opened:
        assert (
            json.loads(opened.read("manifest.json"))["version"]
            == (json_file(PACKAGE / "manifest.json")["version"])
        )


@pytest.mark.timeout(300)
async def test_installed_by_unpacking(
    archive: Path, simulator: Simulator, tmp_path: Path
) -> None:
    """A Home Assistant that has nothing of ours but what was unpacked takes an account and loads it."""
    if find_spec("hass_frontend") is None:
        pytest.fail("Home Assistant does not start without home-assistant-frontend")
    folder = tmp_path / "config"
    port = free_port()
    config_dir.prepare(folder, config_dir.Ports(port, simulator.port))
    installed = folder / "custom_components" / DOMAIN
    installed.unlink()
    with ZipFile(archive) as opened:
        opened.extractall(installed)
    configuration = folder / "configuration.yaml"
    http = [
        line
        for line in configuration.read_text("utf-8").splitlines()
        if line.startswith("http:")
    ]
    configuration.write_text(
        "\n".join(["api:", "config:", "frontend:", *http, ""]), "utf-8"
    )
    child = Child(
        "Home Assistant",
        [
            *(sys.executable, "-P", "-m", "homeassistant", "--skip-pip"),
            *("--log-no-color", "--config", str(folder)),
        ],
        cwd=folder,
        log=folder / "console.log",
        env={"PYTHONUNBUFFERED": "1", "PYTHONPATH": ""},
        patience=STOP_PATIENCE,
    )
    home = Browser(f"http://{LOOPBACK}:{port}")
    async with child, home:
        await steps.wait_until_up(home, child, START_PATIENCE)
        await steps.onboard_or_log_in(home)
        await steps.wait_until_running(home, child, START_PATIENCE)
        manifest = await home.call("manifest/get", integration=DOMAIN)
        assert manifest["version"] == VERSION
        assert not manifest["is_built_in"]
        await steps.ensure_entry(home, simulator.url)
        await steps.ensure_loaded(home, START_PATIENCE)
        names = await home.call(
            "frontend/get_translations",
            language="en",
            category="services",
            integration=[DOMAIN],
        )
        assert names["resources"][f"component.{DOMAIN}.services.push.name"]
        assert await steps.imported(home)
    ours = [item.text for item in log.complaints(child.log, ROOT) if item.ours]
    assert not ours, "\n".join(ours)


@pytest.mark.skipif(
    find_spec("homeassistant.components.brands") is None,
    reason="Home Assistant serves images of custom integrations since 2026.3",
)
async def test_served(hass: HomeAssistant, hass_client: ClientSessionGenerator) -> None:
    """Home Assistant shows each of the images itself, none in place of another."""
    assert await async_setup_component(hass, "brands", {})
    client = await hass_client()
    for path in BRAND.iterdir():
        response = await client.get(f"/api/brands/integration/{DOMAIN}/{path.name}")
        assert response.status == 200
        assert response.content_type == "image/png"
        assert await response.read() == path.read_bytes()
