"""What is handed out: the archive of a release, the images, and what HACS is told."""

from importlib.util import find_spec
import json
import math
from pathlib import Path
import re
import shutil
import subprocess
import sys
from typing import Any
from zipfile import ZipFile

from PIL import Image, ImageChops, ImageStat
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator
import voluptuous as vol

from custom_components.eniris.const import DOMAIN
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import load_yaml_dict
from scripts import make_package
from scripts.demo import config_dir, log, steps
from scripts.demo.home_assistant import HomeAssistant as Browser
from scripts.demo.processes import LOOPBACK, Child, free_port
from simulator.server import Simulator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "custom_components" / "eniris"
BRAND = PACKAGE / "brand"
VERSION = "9.8.7"

# By name: the sizes that Home Assistant's collection of brands asks for
ICONS = {"icon": 256, "icon@2x": 512, "dark_icon": 256, "dark_icon@2x": 512}
LOGOS = {
    "logo": (128, 256),
    "logo@2x": (256, 512),
    "dark_logo": (128, 256),
    "dark_logo@2x": (256, 512),
}
LIGHTS = ["icon", "icon@2x", "logo", "logo@2x"]

WHITE = (255, 255, 255, 255)
DARK = (28, 28, 28, 255)

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


def test_one_version() -> None:
    """The project and the manifest say the same version."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    [version] = re.findall(r'^version = "(.+)"$', text, re.MULTILINE)
    assert version == json_file(PACKAGE / "manifest.json")["version"]


@pytest.mark.timeout(300)
async def test_installed_by_unpacking(
    archive: Path, simulator: Simulator, tmp_path: Path
) -> None:
    """A Home Assistant that has nothing of ours but what was unpacked takes an account and loads it."""
    if find_spec("hass_frontend") is None:
        pytest.fail("Home Assistant does not start without home-assistant-frontend")
    folder = tmp_path / "config"
    port = free_port()
    config_dir.prepare(folder, port, simulator.port)
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
@pytest.mark.parametrize("name", [*ICONS, *LOGOS])
async def test_served(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, name: str
) -> None:
    """Home Assistant shows each of the images itself, none in place of another."""
    assert await async_setup_component(hass, "brands", {})
    client = await hass_client()
    response = await client.get(f"/api/brands/integration/{DOMAIN}/{name}.png")
    assert response.status == 200
    assert response.content_type == "image/png"
    assert await response.read() == (BRAND / f"{name}.png").read_bytes()


def test_names() -> None:
    """There are all images that Home Assistant asks for, and no others."""
    assert {path.name for path in BRAND.iterdir()} == {
        f"{name}.png" for name in (*ICONS, *LOGOS)
    }


def image_of(name: str) -> Image.Image:
    """Return an image, its pixels read."""
    image: Image.Image = Image.open(BRAND / f"{name}.png")
    assert image.format == "PNG"
    image.load()
    return image


@pytest.mark.parametrize("name", [*ICONS, *LOGOS])
def test_size(name: str) -> None:
    """Every image has the right size, fills it, and lets what is behind it shine through."""
    image = image_of(name)
    if name in ICONS:
        assert image.size == (ICONS[name], ICONS[name])
    else:
        shortest, longest = LOGOS[name]
        assert shortest <= min(image.size) <= longest
        assert image.width > image.height
    assert image.mode == "RGBA"
    alpha = image.getchannel("A")
    assert alpha.getextrema() == (0, 255)
    assert alpha.getbbox() == (0, 0, *image.size)
    assert (BRAND / f"{name}.png").stat().st_size < 30_000


@pytest.mark.parametrize("name", LIGHTS)
def test_dark(name: str) -> None:
    """The dark variant is the same drawing in other colours, brighter ones."""
    light, dark = image_of(name), image_of(f"dark_{name}")
    assert light.size == dark.size
    assert light.getchannel("A").tobytes() == dark.getchannel("A").tobytes()
    brightness = [
        ImageStat.Stat(image.convert("L"), image.getchannel("A")).mean[0]
        for image in (light, dark)
    ]
    assert brightness[1] > brightness[0] + 10


@pytest.mark.parametrize("name", ["icon", "logo", "dark_icon", "dark_logo"])
def test_density(name: str) -> None:
    """The image of double density shows the same, twice as large."""
    single, double = image_of(name), image_of(f"{name}@2x")
    assert double.size == (single.width * 2, single.height * 2)
    smaller = double.resize(single.size, Image.Resampling.BOX)
    difference = ImageStat.Stat(ImageChops.difference(single, smaller)).mean
    assert max(difference) < 3


@pytest.mark.parametrize(
    ("name", "background"),
    [("icon", WHITE), ("dark_icon", DARK)],
    ids=["light", "dark"],
)
def test_contrast_when_small(name: str, background: tuple[int, int, int, int]) -> None:
    """At 24 pixels the house still stands out from the page, and the arrows from the house."""
    page = Image.new("RGBA", (24, 24), background)
    page.alpha_composite(image_of(name).resize((24, 24), Image.Resampling.LANCZOS))
    grey = page.convert("L")

    def luminance(x: int, y: int) -> float:
        return math.pow(grey.tobytes()[y * grey.width + x] / 255, 2.2)

    def contrast(one: float, other: float) -> float:
        return (max(one, other) + 0.05) / (min(one, other) + 0.05)

    house = luminance(12, 5)
    assert contrast(house, luminance(0, 0)) > 3
    assert contrast(house, luminance(8, 15)) > 2, "the arrow out"
    assert contrast(house, luminance(15, 13)) > 1.5, "the arrow in"


def test_hacs() -> None:
    """HACS is told all that it asks for, in the form in which it takes it."""
    hacs = json_file(ROOT / "hacs.json")
    vol.Schema(
        {
            vol.Required("name"): str,
            vol.Required("filename"): "eniris.zip",
            vol.Required("hacs"): vol.Match(r"^\d+\.\d+\.\d+$"),
            vol.Required("hide_default_branch"): True,
            vol.Required("homeassistant"): vol.Match(r"^\d{4}\.\d+\.\d+$"),
            vol.Required("zip_release"): True,
        }
    )(hacs)
    manifest = json_file(PACKAGE / "manifest.json")
    assert hacs["name"] == manifest["name"]
    assert hacs["filename"] == make_package.ARCHIVE.name
    # What HACS demands of an integration's manifest
    assert {"codeowners", "documentation", "domain", "issue_tracker", "version"} <= set(
        manifest
    )
    # One integration in the repository, and the text that HACS shows
    assert [path.name for path in PACKAGE.parent.iterdir() if path.is_dir()] in (
        [DOMAIN],
        ["__pycache__", DOMAIN],
        [DOMAIN, "__pycache__"],
    )
    assert (ROOT / "README.md").is_file()


def test_oldest_version() -> None:
    """HACS asks for the oldest Home Assistant that the tests run on."""
    [oldest] = re.findall(
        r"^homeassistant==(\d+\.\d+)\.",
        (ROOT / "requirements" / "python-3.13.in").read_text("utf-8"),
        re.MULTILINE,
    )
    assert json_file(ROOT / "hacs.json")["homeassistant"] == f"{oldest}.0"


def test_release_workflow() -> None:
    """A release attaches what `scripts/package` makes of the commit that is tagged, if it says the same version."""
    workflow: dict[str, Any] = load_yaml_dict(
        str(ROOT / ".github" / "workflows" / "release.yml")
    )
    [job] = workflow["jobs"].values()
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert any("manifest.json" in run and run.startswith("test ") for run in runs)
    assert any(run.startswith("scripts/package ") for run in runs)
    hacs = json_file(ROOT / "hacs.json")
    assert any(f"dist/{hacs['filename']}" in run for run in runs)
