"""The files that several checks read."""

import json
from pathlib import Path
from typing import Any, Final

from homeassistant.util.yaml import load_yaml_dict

ROOT: Final = Path(__file__).parents[2]
DOMAIN: Final = "eniris"
PACKAGE: Final = ROOT / "custom_components" / DOMAIN


def read_json(path: Path) -> Any:
    """Return what a file of JSON says; raises ValueError for a key that is there twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError(
                f"{path.name} has a key twice: {[key for key, _ in pairs]}"
            )
        return found

    return json.loads(path.read_text("utf-8"), object_pairs_hook=unique)


MANIFEST: Final[dict[str, Any]] = read_json(PACKAGE / "manifest.json")
ICONS: Final[dict[str, Any]] = read_json(PACKAGE / "icons.json")
ENGLISH: Final[dict[str, Any]] = read_json(PACKAGE / "translations" / "en.json")
SERVICES: Final[dict[str, Any]] = load_yaml_dict(str(PACKAGE / "services.yaml"))
