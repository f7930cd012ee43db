"""Group and limits of a schedule in words, as the events of its calendar have them."""

import re
from typing import Final, NamedTuple

from .schedules import GROUPS, LARGEST_LIMIT, Schedule

# Three digits behind a point or a comma are thousands to some and decimals to others
_NUMBER: Final = r"(?<![-\u2212\d.,])(\d{1,8}(?:[.,]\d{1,2})?)\s*(k?)W\b"
_NAMES: Final = {
    # Compounds such as "Importlimit", but nothing that is important
    "import": r"\bimport(?!an)",
    "export": r"\bexport",
}
_LIMITS: Final = {
    name: re.compile(rf"(?i:{its}(?:(?!{_NAMES[other]})\D){{0,20}}?{_NUMBER})")
    for name, its in _NAMES.items()
    for other in _NAMES.keys() - {name}
}


class Wording(NamedTuple):
    """What a text says of a schedule; limits in W, None for what it does not say."""

    group: str | None
    import_limit: int | None
    export_limit: int | None


def written(schedule: Schedule) -> str:
    """Return group and limits in words that `read_text` reads."""
    parts = [schedule.group]
    if schedule.import_limit is not None:
        parts.append(f"import {schedule.import_limit} W")
    if schedule.export_limit is not None:
        parts.append(f"export {schedule.export_limit} W")
    return ", ".join(parts)


def read_text(text: str) -> Wording:
    """Return the group and the limits that a text names; raises `ValueError` for a limit that is named but cannot be read."""
    words = re.findall(r"\w+", text.casefold())
    groups = [group for group in GROUPS if group in words]
    return Wording(
        groups[0] if len(groups) == 1 else None,
        _watts("import", text),
        _watts("export", text),
    )


def _watts(name: str, text: str) -> int | None:
    if (match := _LIMITS[name].search(text)) is None:
        if re.search(f"(?i:{_NAMES[name]})", text):
            raise ValueError(f"{name} limit")
        return None
    number, kilo = match.groups()
    watts = round(float(number.replace(",", ".")) * (1000 if kilo else 1))
    if watts > LARGEST_LIMIT:
        raise ValueError(f"{name} limit")
    return watts
