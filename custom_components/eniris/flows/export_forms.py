"""The forms of an export: what they ask, and what is wrong with an answer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import voluptuous as vol

from homeassistant.const import CONF_NAME
from homeassistant.core import HomeAssistant
from homeassistant.helpers.selector import (
    BooleanSelector,
    EntitySelector,
    EntitySelectorConfig,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
    TextSelectorConfig,
)

from ..api import SeriesInfo, WriteTarget
from ..const import (
    CONF_AGGREGATE,
    CONF_ATTRIBUTES,
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_ENTITIES,
    CONF_HEARTBEAT,
    CONF_HISTORY,
    CONF_INTERVAL,
    CONF_MEASUREMENT,
    CONF_RETENTION_POLICY,
    CONF_SHORTEST,
    CONF_TAGS,
)
from ..exporting.config import DEFAULT_INTERVAL, Aggregate, BackfillRange
from ..exporting.fields.names import name_problem, parse_tags, target_problems
from .export_draft import LONGEST_NAME, ChosenEntity
from .ranges import UncheckedNumberSelector

DOMAINS: Final = [
    "binary_sensor",
    "climate",
    "counter",
    "cover",
    "device_tracker",
    "event",
    "fan",
    "humidifier",
    "input_boolean",
    "input_datetime",
    "input_number",
    "input_select",
    "input_text",
    "light",
    "lock",
    "number",
    "person",
    "schedule",
    "select",
    "sensor",
    "sun",
    "switch",
    "text",
    "timer",
    "update",
    "vacuum",
    "valve",
    "water_heater",
    "weather",
]
"""The domains of entities that can be exported."""

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
]
"""What the API page lists of devices; others can be typed."""

_OF_THE_CONTROLLER: Final = {"getMeasStats", "planning"}
"""What is not measured, and so not offered."""

_LONGEST: Final = 255
"""Characters that a new tag or measurement may have."""

STATE: Final = "state"
"""The choice that stands for the state itself; no attribute has this name."""

_NO_TAGS: Final = [""]
"""One empty row to type into; the frontend shows none for an empty list."""

_DEFAULT_INTERVALS: Final = {"rp_one_s": 1, "rp_one_m": DEFAULT_INTERVAL}

_DEFAULT_SHORTEST: Final = {"rp_one_m": 60}
"""Seconds that are kept between two changes, where these policies keep no more than that."""


def where_form(known: Sequence[SeriesInfo]) -> vol.Schema:
    """Return the first form, with suggestions from the series that the account has."""
    databases = sorted({series.database for series in known})
    measurements = sorted({series.measurement for series in known} - _OF_THE_CONTROLLER)
    policies = sorted({series.retention_policy for series in known})
    return vol.Schema(
        {
            vol.Required(CONF_NAME): TextSelector(),
            vol.Required(CONF_COLLECTOR): _suggestions(
                f"{database}-ingress" for database in databases
            ),
            vol.Required(CONF_DATABASE): _suggestions(databases),
            vol.Required(CONF_RETENTION_POLICY): _suggestions(
                [*RETENTION_POLICIES, *policies]
            ),
            vol.Required(CONF_MEASUREMENT): _suggestions(
                [*measurements, *MEASUREMENTS]
            ),
            # Nothing is suggested: what a picker finds first would be a tag of a device that
            # exists, and its series would be written to. Not required, since an older
            # frontend would then begin with a text in place of a list.
            vol.Optional(CONF_TAGS): TextSelector(TextSelectorConfig(multiple=True)),
        }
    )


def _suggestions(options: Iterable[str]) -> SelectSelector:
    """Return a field that offers `options` and takes any text."""
    return SelectSelector(
        SelectSelectorConfig(
            options=list(dict.fromkeys(options)),
            custom_value=True,
            mode=SelectSelectorMode.DROPDOWN,
        )
    )


def shown_where(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the first form shows of settings, which may be none yet."""
    first = {
        CONF_RETENTION_POLICY: RETENTION_POLICIES[0],
        CONF_MEASUREMENT: MEASUREMENTS[0],
    }
    tags = [f"{key}={value}" for key, value in settings.get(CONF_TAGS, {}).items()]
    return {**first, **settings, CONF_TAGS: tags or _NO_TAGS}


def read_where(
    user_input: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what was typed into the first form, as an export stores it, and its errors by field.

    Where there are errors, the tags are the rows that were typed, so that the form can show them again.
    """
    typed = {
        key: value.strip() if isinstance(value, str) else value
        for key, value in user_input.items()
    }
    # The frontend adds an empty row for the next one
    rows = [row for row in typed.get(CONF_TAGS, []) if row.strip()]
    tags, tag_problem = parse_tags(rows)
    problems = {
        CONF_NAME: _name_problem(typed[CONF_NAME]),
        **target_problems(
            WriteTarget(
                typed[CONF_COLLECTOR],
                typed[CONF_DATABASE],
                typed[CONF_RETENTION_POLICY],
            )
        ),
        CONF_MEASUREMENT: name_problem(typed[CONF_MEASUREMENT])
        or _length_problem(typed[CONF_MEASUREMENT]),
        CONF_TAGS: tag_problem
        or next(filter(None, map(_length_problem, (*tags, *tags.values()))), None),
    }
    errors = {key: problem for key, problem in problems.items() if problem}
    return {**typed, CONF_TAGS: (rows or _NO_TAGS) if errors else tags}, errors


def _name_problem(name: str) -> str | None:
    if not name:
        return "empty"
    return "name_too_long" if len(name) > LONGEST_NAME else None


def _length_problem(text: str) -> str | None:
    return "text_too_long" if len(text) > _LONGEST else None


def entities_form() -> vol.Schema:
    """Return the form that asks for the entities."""
    return vol.Schema(
        {
            vol.Required(CONF_ENTITIES): EntitySelector(
                EntitySelectorConfig(domain=DOMAINS, multiple=True)
            ),
            vol.Required(CONF_ATTRIBUTES, default=False): BooleanSelector(),
        }
    )


def attributes_form(
    hass: HomeAssistant,
    chosen: Mapping[str, ChosenEntity],
    names: Mapping[str, str],
) -> vol.Schema:
    """Return the form that asks for an attribute of each entity."""
    return vol.Schema(
        {
            vol.Required(
                names[entity_id], default=its.attribute or STATE
            ): SelectSelector(
                SelectSelectorConfig(
                    options=[
                        SelectOptionDict(value=name, label=name)
                        for name in (STATE, *_attributes_of(hass, entity_id))
                    ],
                    translation_key="attribute",
                    custom_value=True,
                    mode=SelectSelectorMode.DROPDOWN,
                )
            )
            for entity_id, its in chosen.items()
        }
    )


def _attributes_of(hass: HomeAssistant, entity_id: str) -> list[str]:
    state = hass.states.get(entity_id)
    return [] if state is None else sorted(state.attributes)


def fields_form(
    chosen: Mapping[str, ChosenEntity], names: Mapping[str, str]
) -> vol.Schema:
    """Return the form that asks for the name of each entity's field; `names` are those of the entities."""
    return vol.Schema(
        {
            vol.Required(names[entity_id], default=its.field): TextSelector()
            for entity_id, its in chosen.items()
        }
    )


def change_form(retention_policy: str) -> vol.Schema:
    """Return the form that asks how often changes are sent."""
    shortest = _DEFAULT_SHORTEST.get(retention_policy, 0)
    return vol.Schema(
        {
            vol.Required(CONF_SHORTEST, default=shortest): _seconds(),
            vol.Required(CONF_HEARTBEAT, default=0): _seconds(),
        }
    )


def interval_form(retention_policy: str) -> vol.Schema:
    """Return the form that asks for the interval and what is sent of it."""
    interval = _DEFAULT_INTERVALS.get(retention_policy, DEFAULT_INTERVAL)
    return vol.Schema(
        {
            vol.Required(CONF_INTERVAL, default=interval): vol.All(
                _seconds(least=1, step=1), vol.Coerce(int)
            ),
            vol.Required(CONF_AGGREGATE, default=Aggregate.LAST.value): SelectSelector(
                SelectSelectorConfig(
                    options=[choice.value for choice in Aggregate],
                    translation_key="aggregate",
                    mode=SelectSelectorMode.LIST,
                )
            ),
            vol.Required(CONF_HEARTBEAT, default=0): _seconds(),
        }
    )


def backfill_form() -> vol.Schema:
    """Return the form that asks how much of what the recorder has is sent."""
    return vol.Schema(
        {
            vol.Required(
                CONF_HISTORY, default=BackfillRange.NOTHING.value
            ): SelectSelector(
                SelectSelectorConfig(
                    options=[choice.value for choice in BackfillRange],
                    translation_key="history",
                    mode=SelectSelectorMode.LIST,
                )
            )
        }
    )


def _seconds(least: int = 0, step: Any = "any") -> UncheckedNumberSelector:
    return UncheckedNumberSelector(
        NumberSelectorConfig(
            min=least,
            max=86_400,
            step=step,
            mode=NumberSelectorMode.BOX,
            unit_of_measurement="s",
        )
    )
