"""Names on the way to Eniris, from the API page: which there are, and which are valid."""

from collections.abc import Sequence
from typing import Final

from ...api.telemetry import is_name, is_tag_value
from ...api.write import name_problem as api_name_problem

RETENTION_POLICIES: Final = ["rp_one_m", "rp_one_s"]

MEASUREMENTS: Final = [
    "submeteringMetrics",
    "gridMetrics",
    "batteryMetrics",
    "hybridInverterMetrics",
    "solarInverterMetrics",
    "solarInstallationMetrics",
    "solarPlantMetrics",
    "solarStringMetrics",
    "solarOptimizerMetrics",
    "evChargerMetrics",
    "heatPumpMetrics",
    "boilerMetrics",
    "switchedLoadMetrics",
    "externalSignalMetrics",
    "installationMetrics",
    "planning",
]


def name_problem(name: str) -> str | None:
    """Return a translation key for what is wrong with a measurement's or field's name."""
    problem = api_name_problem(name)
    return None if problem is None else f"name_{problem}"


def namespace_problem(name: str) -> str | None:
    """Return a translation key for what is wrong with a collector, database or policy."""
    if not name:
        return "name_empty"
    return None if is_name(name) else "name_characters"


def parse_tags(rows: Sequence[str]) -> tuple[dict[str, str], str | None]:
    """Return the tags of rows like `key=value`, and a translation key for what is wrong."""
    tags: dict[str, str] = {}
    for row in rows:
        key, separator, value = (part.strip() for part in row.partition("="))
        problem = tag_problem(key, value) if separator else "tag_malformed"
        if key in tags:
            problem = "tag_twice"
        if problem is not None:
            return {}, problem
        tags[key] = value
    return tags, None if tags else "tag_missing"


def tag_problem(key: str, value: str) -> str | None:
    """Return a translation key for what is wrong with a tag: one that cannot be queried would never be seen."""
    if not value or api_name_problem(key):
        return "tag_malformed"
    return None if is_tag_value(value) else "tag_characters"
