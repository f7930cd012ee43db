"""Numbers of forms, and which are out of range: Home Assistant itself tells that in English alone."""

from collections.abc import Iterator, Mapping
from typing import Any

import voluptuous as vol

from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import NumberSelector


class UncheckedNumberSelector(NumberSelector):
    """A number that shows its range, which the step checks."""

    def __call__(self, data: Any) -> float:
        """Return the number, whatever its range; raises `vol.Invalid` for what is none."""
        value: float = vol.Coerce(float)(data)
        return value


def range_problem(
    schema: vol.Schema, user_input: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the error of the first number that is out of range, and what its text quotes; both empty where none is.

    The frontend shows no errors at the fields of a section, so those are told above the form.
    """
    for place, key, selector, value in _numbers(schema, user_input):
        least, most = selector.config["min"], selector.config["max"]
        if not least <= value <= most:
            unit = selector.config.get("unit_of_measurement")
            shown = f"{most:.0f} {unit}" if unit else f"{most:.0f}"
            return {place or key: "out_of_range"}, {
                "least": f"{least:.0f}",
                "most": shown,
            }
    return {}, {}


def _numbers(
    schema: vol.Schema, user_input: Mapping[str, Any], place: str | None = None
) -> Iterator[tuple[str | None, str, UncheckedNumberSelector, float]]:
    """Yield the numbers of a form, each with where its error is told if not at its own field."""
    for marker, value in schema.schema.items():
        key = str(marker)
        if isinstance(value, section):
            yield from _numbers(value.schema, user_input[key], "base")
        for selector in getattr(value, "validators", (value,)):
            if isinstance(selector, UncheckedNumberSelector) and key in user_input:
                yield place, key, selector, user_input[key]
