"""What Home Assistant, HACS and GitHub are told: manifest, actions, icons, quality scale, images, versions.

Hassfest, which GitHub runs, is not installed with Home Assistant; what it asks is restated here as far as it concerns
this integration.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
import re
import tomllib
from typing import Any, Final

from PIL import Image
import voluptuous as vol

from homeassistant import components
from homeassistant.const import Platform
from homeassistant.helpers import selector
from homeassistant.util.yaml import load_yaml_dict

from .files import DOMAIN, ENGLISH, ICONS, MANIFEST, PACKAGE, ROOT, SERVICES, read_json

_COMPONENTS: Final = Path(components.__file__).parent


def check() -> Iterator[str]:
    """Yield what is wrong with the metadata."""
    for name, schema, content in (
        ("manifest.json", _MANIFEST, MANIFEST),
        ("services.yaml", _SERVICES, SERVICES),
        ("icons.json", _ICONS, ICONS),
        (
            "quality_scale.yaml",
            _SCALE,
            load_yaml_dict(str(PACKAGE / "quality_scale.yaml")),
        ),
        ("hacs.json", _HACS, read_json(ROOT / "hacs.json")),
    ):
        try:
            schema(content)
        except vol.Invalid as err:
            yield f"{name}: {err}."
    keys = list(MANIFEST)
    if keys != ["domain", "name", *sorted(set(keys) - {"domain", "name"})]:
        yield "manifest.json does not begin with the domain and the name, or the rest is not sorted."
    for path in PACKAGE.rglob("*.json"):
        content = path.read_text("utf-8")
        if not content.endswith("}\n") or "\t" in content or "\r" in content:
            yield f"{path.name} has tabs, or line ends that are none."
    yield from _icons()
    yield from _images()
    yield from _versions()


def _slug(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", value):
        raise vol.Invalid("not a slug")
    return value


def _component(value: Any) -> str:
    if not (_COMPONENTS / str(value) / "manifest.json").is_file():
        raise vol.Invalid("no such component")
    return str(value)


def _selector(value: Any) -> Any:
    selector.validate_selector(value)
    return value


_ADDRESS: Final = vol.Match(r"^https://[\w.-]+/")
_MANIFEST: Final = vol.Schema(
    {
        vol.Required("domain"): DOMAIN,
        vol.Required("name"): str,
        vol.Optional("after_dependencies"): [_component],
        vol.Required("codeowners"): vol.All(
            [vol.Match(r"^@[\w-]+$")], vol.Length(min=1)
        ),
        vol.Required("config_flow"): True,
        vol.Optional("dependencies"): [_component],
        vol.Required("documentation"): _ADDRESS,
        vol.Required("integration_type"): "hub",
        vol.Required("iot_class"): vol.In(
            ["cloud_polling", "cloud_push", "local_push"]
        ),
        vol.Required("issue_tracker"): _ADDRESS,
        vol.Optional("loggers"): [str],
        vol.Optional("requirements"): [vol.Match(r"^[\w.-]+(\[[\w,-]+\])?==[\w.]+$")],
        vol.Required("version"): vol.Match(r"^\d+\.\d+\.\d+$"),
    }
)

_HACS: Final = vol.Schema(
    {
        vol.Required("name"): MANIFEST["name"],
        vol.Required("filename"): "eniris.zip",
        vol.Required("hacs"): vol.Match(r"^\d+\.\d+\.\d+$"),
        vol.Required("hide_default_branch"): True,
        vol.Required("homeassistant"): vol.Match(r"^\d{4}\.\d+\.\d+$"),
        vol.Required("zip_release"): True,
    }
)

_FIELD: Final = {
    vol.Optional("example"): vol.NotIn([None]),
    vol.Optional("default"): vol.NotIn([None]),
    vol.Optional("required"): bool,
    vol.Optional("advanced"): bool,
    vol.Required("selector"): _selector,
}
_SECTION: Final = {
    vol.Optional("collapsed"): bool,
    vol.Required("fields"): {_slug: _FIELD},
}
_SERVICES: Final = vol.Schema(
    {
        _slug: {
            vol.Optional("target"): dict,
            vol.Optional("fields"): {_slug: vol.Any(_FIELD, _SECTION)},
        }
    }
)

_ICON: Final = vol.Match(r"^mdi:[a-z0-9]+(-[a-z0-9]+)*$")
_KEY: Final = vol.Match(r"^(?!.+[_-]{2})(?![_-])[a-z0-9_-]+(?<![_-])$")
_ICONS: Final = vol.Schema(
    {
        vol.Required("entity"): {
            vol.In([platform.value for platform in Platform]): {
                _KEY: {
                    vol.Required("default"): _ICON,
                    vol.Optional("state"): {_KEY: _ICON},
                    vol.Optional("range"): {str: _ICON},
                }
            }
        },
        vol.Required("services"): {
            vol.In(list(SERVICES)): {
                vol.Required("service"): _ICON,
                vol.Optional("sections"): {str: _ICON},
            }
        },
    }
)

_EXEMPT: Final = {
    vol.Required("status"): "exempt",
    vol.Required("comment"): vol.Match(r"(?s)^.{20,}\.\s*$"),
}
_SCALE: Final[Callable[[Any], Any]] = vol.Schema(
    {vol.Required("rules"): {str: vol.Any("done", _EXEMPT)}}
)


def _icons() -> Iterator[str]:
    """Yield icons of nothing, actions without one, and icons of states that show the default one."""
    for name in set(SERVICES) ^ set(ICONS["services"]):
        yield f"The action {name} has no icon, or is none."
    for platform, icons in ICONS["entity"].items():
        for name in set(icons) - set(ENGLISH["entity"][platform]):
            yield f"icons.json has {platform}.{name}, which has no name."
        for name, each in icons.items():
            if each["default"] in each.get("state", {}).values():
                yield f"icons.json: a state of {platform}.{name} has the default icon."


def _images() -> Iterator[str]:
    """Yield images that are missing, left over, or not as large as Home Assistant's brands have to be."""
    names = {
        f"{dark}{kind}{double}.png"
        for dark in ("", "dark_")
        for kind in ("icon", "logo")
        for double in ("", "@2x")
    }
    folder = PACKAGE / "brand"
    for name in names ^ {path.name for path in folder.iterdir()}:
        yield f"brand/{name} is missing, or is none that Home Assistant asks for."
    for name in names:
        with Image.open(folder / name) as image:
            shortest = 256 if "@2x" in name else 128
            fits = (
                image.size == (2 * shortest, 2 * shortest)
                if "icon" in name
                else shortest <= image.height <= 2 * shortest
                and image.height < image.width
            )
            if not fits or image.mode != "RGBA":
                yield f"brand/{name} has a wrong size, or no transparency."


def _versions() -> Iterator[str]:
    """Yield versions that are not the same wherever they are said."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    if project["version"] != MANIFEST["version"]:
        yield "pyproject.toml and manifest.json have different versions."
    pins = (ROOT / "requirements" / "python-3.13.in").read_text("utf-8")
    oldest = read_json(ROOT / "hacs.json")["homeassistant"]
    if not re.search(rf"^homeassistant=={re.escape(oldest[:-1])}", pins, re.MULTILINE):
        yield "hacs.json asks for another Home Assistant than the oldest that is tested."
    for path in (ROOT / "blueprints").rglob("*.yaml"):
        if f"min_version: {oldest}" not in path.read_text("utf-8"):
            yield f"{path.name} asks for another Home Assistant than hacs.json."
