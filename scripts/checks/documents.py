"""The documents: links that lead somewhere, and tables that tell what there is."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
import re
from typing import Final
from urllib.parse import parse_qs, urlsplit

from custom_components.eniris import (
    binary_sensor,
    button,
    calendar,
    export_sensor,
    number,
    sensor,
    switch,
)
from custom_components.eniris.api.write import GZIP_FROM
from custom_components.eniris.controller import fields as live
from custom_components.eniris.controller.message import LiveKey
from custom_components.eniris.controller.schedules import POLICIES
from custom_components.eniris.exporting.outbox.batches import BATCH_BYTES, BATCH_POINTS
from custom_components.eniris.exporting.outbox.live import REJECTS_KEPT
from custom_components.eniris.field_description import Kind
from custom_components.eniris.importing import catalogue
from homeassistant.helpers.entity import EntityDescription
from homeassistant.util.yaml import load_yaml_dict
from simulator.accounts import demo_accounts
from simulator.faults import KINDS

from .files import DOMAIN, ENGLISH, MANIFEST, PACKAGE, ROOT, SERVICES

README: Final = ROOT / "README.md"
DOCS: Final = ROOT / "docs"
DOCUMENTS: Final = [README, ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
CODE: Final = re.compile(r"^([ ]*)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def check() -> Iterator[str]:
    """Yield what is wrong with the documents."""
    yield from _links()
    for what, documented, real in _tables():
        for each in documented - real:
            yield f"{what}: {each} is documented, and is not there."
        for each in real - documented:
            yield f"{what}: {each} is not documented."
    for path, promise in (
        (DOCS / "export.md", f"up to {BATCH_POINTS:,} points"),
        (
            DOCS / "export.md",
            f"{BATCH_BYTES // 2**20} MiB, compressed from {GZIP_FROM // 2**10} KiB",
        ),
        (DOCS / "export.md", f"the newest {REJECTS_KEPT:,} are kept"),
        *((DOCS / "simulator.md", f"`{kind}`") for kind in KINDS),
    ):
        if promise not in text_of(path):
            yield f"{path.name} does not say: {promise}."
    for action in SERVICES:
        if not any(f"{DOMAIN}.{action}" in text_of(path) for path in DOCS.glob("*.md")):
            yield f"Nothing in docs/ tells of the action {action}."
    for path in PACKAGE.rglob("*.py"):
        folder, _, name = (
            path.relative_to(PACKAGE).with_suffix("").as_posix().rpartition("/")
        )
        listed = [
            " ".join(row)
            for row in rows(DOCS / "architecture.md", "## What is where")
            if not folder or row[0] == f"`{folder}/`"
        ]
        if name != "__init__" and not any(f"`{name}`" in row for row in listed):
            yield f"architecture.md does not say what {folder}/{name} is."


@cache
def text_of(path: Path) -> str:
    """Return a document."""
    return path.read_text("utf-8")


def _prose_of(path: Path) -> str:
    """Return a document without its blocks of code."""
    return CODE.sub("", text_of(path))


def rows(path: Path, heading: str) -> list[list[str]]:
    """Return the rows of the tables under a heading and its subheadings, without their headers.

    Raises LookupError if there are none.
    """
    level = len(heading.split(maxsplit=1)[0])
    _, _, part = f"\n{_prose_of(path)}".partition(f"\n{heading}\n")
    part = re.split(rf"^#{{1,{level}}} ", part, maxsplit=1, flags=re.MULTILINE)[0]
    lines = "\n".join(line.strip() for line in part.splitlines())
    found = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for table in re.findall(r"(?:^\|.*\n?)+", lines, re.MULTILINE)
        for line in table.splitlines()[2:]
    ]
    if not found:
        raise LookupError(f"{path.name} has no table under {heading}")
    return found


def _links() -> Iterator[str]:
    """Yield links that lead nowhere, and images that say nothing to whoever cannot see them."""
    buttons: dict[str, list[dict[str, list[str]]]] = {}
    for path in DOCUMENTS:
        prose = _prose_of(path)
        if "![](" in prose:
            yield f"{path.name} has an image without words."
        for target in re.findall(
            r"(?:\]\(|^\[[\w-]+\]: )([^()\s]+)", prose, re.MULTILINE
        ):
            url = urlsplit(target)
            if url.netloc == "my.home-assistant.io" and "/redirect/" in url.path:
                buttons.setdefault(url.path.split("/")[2], []).append(
                    parse_qs(url.query)
                )
            if url.scheme:
                continue
            linked = (path.parent / url.path).resolve() if url.path else path
            if not linked.is_file():
                yield f"{path.name} links to {target}, which is not there."
            elif url.fragment and url.fragment not in _anchors(linked):
                yield f"{path.name} links to {target}, a heading that is not there."
    owner, name = urlsplit(MANIFEST["documentation"]).path.strip("/").split("/")
    sources = [
        load_yaml_dict(str(path))["blueprint"]["source_url"]
        for path in (ROOT / "blueprints").rglob("*.yaml")
    ]
    imported = [
        query["blueprint_url"][0] for query in buttons.pop("blueprint_import", [])
    ]
    if sorted(imported) != sorted(sources):
        yield "The buttons do not import each of the blueprints."
    if buttons != {
        "hacs_repository": [{"owner": [owner], "repository": [name]}],
        "config_flow_start": [{"domain": [DOMAIN]}],
    }:
        yield "The buttons do not open this repository and this integration."


def _anchors(path: Path) -> set[str]:
    """Return what can be linked to in a document, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.+)$", _prose_of(path), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


def _tables() -> Iterator[tuple[str, set[object], set[object]]]:
    """Yield of each table what it is about, what it has and what it ought to have."""

    def first(path: Path, heading: str) -> set[object]:
        return {row[0].strip("`") for row in rows(path, heading)}

    yield (
        "Actions",
        set(
            re.findall(
                rf"^\| \[`({DOMAIN}\.\w+)`\]",
                text_of(DOCS / "actions.md"),
                re.MULTILINE,
            )
        ),
        {f"{DOMAIN}.{action}" for action in SERVICES},
    )
    yield (
        "Repair issues",
        set(
            re.findall(
                r"^### (.+)$", text_of(DOCS / "troubleshooting.md"), re.MULTILINE
            )
        ),
        {
            # The beginning of the title, before what tells an issue from others of its kind
            re.sub(r"\{\w+\}", "…", re.split(r":| \(", issue["title"])[0])
            for issue in ENGLISH["issues"].values()
        },
    )
    yield (
        "Scripts",
        first(ROOT / "CONTRIBUTING.md", "## Set-up"),
        {
            f"scripts/{path.name}"
            for path in (ROOT / "scripts").iterdir()
            if path.is_file() and not path.suffix and not path.name.startswith("_")
        },
    )
    yield (
        "The simulator's accounts",
        first(DOCS / "simulator.md", "# The simulator"),
        {account.username for account in demo_accounts()},
    )
    documented: set[object] = set()
    for names, _, units, at_first in rows(DOCS / "entities.md", "# Entities"):
        listed = names.split(" / ")
        each = units.split(" / ")
        if len(each) == 1:
            each *= len(listed)
        documented |= {
            (name, unit, at_first == "on")
            for name, unit in zip(listed, each, strict=True)
        }
    yield "Entities", documented, set(_entities())


def _entities() -> Iterator[tuple[str, str, bool]]:
    """Yield the name, unit and whether it is enabled at first, of each entity there can be."""
    described = [
        *(("", description) for description in catalogue.CATALOGUE.values()),
        *(
            (key[0], description)
            for key, description in catalogue._OF_MEASUREMENT.items()
        ),
    ]
    for measurement, description in described:
        shown_as = [description]
        for name in {measurement, "gridMetrics", "batteryMetrics"}:
            shown_as += catalogue.directions(
                name, catalogue.describe(name, description.key)
            )
        if description.accumulates:
            shown_as.append(catalogue.beside_counter(description))
        for item in shown_as:
            platform = "binary_sensor" if item.kind is Kind.FLAG else "sensor"
            text: str = ENGLISH["entity"][platform][item.translation_key]["name"]
            unit = item.suggested_unit_of_measurement or item.native_unit_of_measurement
            yield (
                text.format(**dict(item.placeholders)),
                unit or "",
                item.entity_registry_enabled_default,
            )
    others: tuple[tuple[EntityDescription, str], ...] = (
        *((item, "sensor") for item in sensor.NODE_SENSORS),
        *((item, "sensor") for item in sensor.ACCOUNT_SENSORS),
        *((item, "sensor") for item in export_sensor.EXPORT_SENSORS),
        (sensor.HISTORY_PROGRESS, "sensor"),
        (export_sensor.EXPORT_HISTORY, "sensor"),
        (binary_sensor.CONNECTED, "binary_sensor"),
        (binary_sensor.PROBLEM, "binary_sensor"),
        (button.REFRESH, "button"),
        (button.UPLOAD_NOW, "button"),
        (switch.ENABLED, "switch"),
        (binary_sensor.LIVE_CONNECTION, "binary_sensor"),
        *((item, "sensor") for item in live._KNOWN.values()),
        (
            live.describe_live(LiveKey("", "active_power_W"), is_node=True),
            "sensor",
        ),
        (calendar.SCHEDULES, "calendar"),
        *(
            (EntityDescription(key=group, translation_key=f"{group}_policy"), "select")
            for group in POLICIES
        ),
        *((item, "number") for item in number.LIMITS),
    )
    for other, platform in others:
        texts = ENGLISH["entity"][platform][other.translation_key]
        unit = (
            getattr(other, "suggested_unit_of_measurement", None)
            or getattr(other, "native_unit_of_measurement", None)
            or texts.get("unit_of_measurement", "")
        )
        yield texts["name"], unit, other.entity_registry_enabled_default
