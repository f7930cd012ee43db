"""Suggestions of field names: what an entity looks like, said in Eniris' words, which the API page lists."""

from collections.abc import Mapping, Sequence
import re
from typing import Any, Final

from homeassistant import const
from homeassistant.components.sensor import ATTR_STATE_CLASS, SensorDeviceClass
from homeassistant.core import State, split_entity_id

from .kinds import COUNTER_CLASSES, ON_OFF_DOMAINS
from .units import field_unit, unit_suffix

type _Rules = Sequence[tuple[str, str]]
"""Patterns of an entity's words, and the name that the first one which is found stands for."""

_ALWAYS: Final = ""
_PHASE: Final = r"\b(?:l|phase ?)([123])\b"
_PHASES: Final = r"\bl([123]) ?(?:l|to )?([123])\b"

_RULES: Final[Mapping[str, _Rules]] = {
    SensorDeviceClass.POWER: (
        (_PHASE, "actualPowerL{}_W"),
        (_ALWAYS, "actualPowerTot_W"),
    ),
    SensorDeviceClass.REACTIVE_POWER: (
        (_PHASE, "reacPowerL{}_VAr"),
        (_ALWAYS, "reacPowerTot_VAr"),
    ),
    SensorDeviceClass.POWER_FACTOR: (
        (_PHASE, "powerFactorL{}"),
        (_ALWAYS, "powerFactorTot"),
    ),
    SensorDeviceClass.VOLTAGE: (
        (_PHASES, "voltageL{}L{}_V"),
        (_PHASE, "voltageL{}N_V"),
        (r"\bbattery\b", "batteryVoltage_V"),
        (r"\bdc\b", "voltageDC_V"),
        (_ALWAYS, "voltageL1N_V"),
    ),
    SensorDeviceClass.CURRENT: (
        (_PHASE, "currentL{}_A"),
        (r"\b(?:n|neutral)\b", "currentN_A"),
        (r"\bbattery\b", "batteryCurrent_A"),
        (r"\bdc\b", "currentDC_A"),
        (_ALWAYS, "currentL1_A"),
    ),
    SensorDeviceClass.ENERGY: (
        (r"\bdischarg", "dischargedAbsEnergyTot_Wh"),
        (r"\bcharg(?:e|ed|ing)\b", "chargedAbsEnergyTot_Wh"),
        (
            r"\b(?:export|return|inject|feed|fed|teruglever|einspeis)",
            "exportedAbsEnergyTot_Wh",
        ),
        (r"\b(?:produ[ck]|solar|pv\b|yield|generat)", "producedAbsEnergyTot_Wh"),
        (r"\b(?:consum|usage\b|used\b|verbrui|verbrauch)", "consumedAbsEnergyTot_Wh"),
        (_ALWAYS, "importedAbsEnergyTot_Wh"),
    ),
    SensorDeviceClass.BATTERY: (
        (r"\b(?:health|soh)\b", "stateOfHealth_frac"),
        (_ALWAYS, "stateOfCharge_frac"),
    ),
    SensorDeviceClass.FREQUENCY: ((_ALWAYS, "frequency_Hz"),),
}


def suggest_field(
    state: State | None, entity_id: str, taken: set[str], attribute: str | None = None
) -> str:
    """Return a field name for an entity, or an attribute of it, that is not yet taken."""
    attributes = {} if state is None or attribute is not None else state.attributes
    known = _known_name(entity_id, attributes)
    if known is not None and known not in taken:
        return known
    object_id = split_entity_id(entity_id)[1]
    suffix = unit_suffix(attributes.get(const.ATTR_UNIT_OF_MEASUREMENT))
    base = _camel_case(f"{object_id}_{attribute}" if attribute else object_id)
    number = 1
    while True:
        name = f"{base}{number if number > 1 else ''}{f'_{suffix}' if suffix else ''}"
        if name not in taken:
            return name
        number += 1


def _known_name(entity_id: str, attributes: Mapping[str, Any]) -> str | None:
    """Return the name that Eniris has for such a value, None where it has none."""
    domain, object_id = split_entity_id(entity_id)
    device_class = str(attributes.get(const.ATTR_DEVICE_CLASS))
    # A binary sensor of a battery or of power has no amount, and an amount of energy that is no
    # counter is not what these names stand for
    if domain in ON_OFF_DOMAINS or (
        device_class == SensorDeviceClass.ENERGY
        and str(attributes.get(ATTR_STATE_CLASS)) not in COUNTER_CLASSES
    ):
        return None
    name = f"{object_id} {attributes.get(const.ATTR_FRIENDLY_NAME, '')}"
    words = re.sub(r"[\W_]+", " ", name.lower())
    for pattern, template in _RULES.get(device_class, ()):
        if found := re.search(pattern, words):
            suggestion = template.format(*found.groups())
            unit = field_unit(suggestion)
            own = attributes.get(const.ATTR_UNIT_OF_MEASUREMENT)
            return suggestion if unit is None or unit.reaches(own) else None
    return None


def _camel_case(object_id: str) -> str:
    """Return `demo_p1_power` as `demoP1Power`; never empty, never with a leading `_`."""
    words = [word for word in re.split(r"[^a-zA-Z0-9]+", object_id) if word]
    if not words:
        return "value"
    return words[0] + "".join(word[0].upper() + word[1:] for word in words[1:])
