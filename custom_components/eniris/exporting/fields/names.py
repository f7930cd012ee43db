"""Names on the way to Eniris: which are valid, by the API page."""

from collections.abc import Sequence

from ...api import WriteTarget
from ...api.telemetry import is_name, is_tag_value
from ...api.write import name_problem as api_name_problem


def name_problem(name: str) -> str | None:
    """Return a translation key for what is wrong with a measurement's or field's name."""
    problem = api_name_problem(name)
    return None if problem is None else f"name_{problem}"


def target_problems(target: WriteTarget) -> dict[str, str]:
    """Return a translation key for what is wrong with each part of a target; empty if it is valid."""
    return {
        key: "name_characters" if value else "name_empty"
        for key, value in target._asdict().items()
        if not is_name(value)
    }


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
