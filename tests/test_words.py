"""The words of devices: which are known, and what is shown of the others."""

import json

import pytest

from custom_components.eniris.words import KNOWN_WORDS, word_state
from scripts.checks.files import PACKAGE


@pytest.mark.parametrize(
    ("entity", "text", "state"),
    [
        ("status", "RUNNING", "running"),
        ("status", "Standby", "standby"),
        ("status", "Charging", "charging"),
        ("status", "Discharging", "discharging"),
        ("status", "Working", "working"),
        ("status", "Power-off", "power_off"),
        ("status", "Fault", "fault"),
        ("status", "No warning", "no_warning"),
        ("status", "System shutdown", "system_shutdown"),
        ("status", "AWAY", "away"),
        ("operation_mode", "SELF_CONSUMPTION", "self_consumption"),
        ("operation_mode", "SMART", "smart"),
        ("operation_modes", "HOT_WATER", "hot_water"),
        ("policy", "self-consumption", "self_consumption"),
        ("strategy", "DEFAULT", "default"),
        ("constraint", "NONE", "none"),
        ("constraint", "feed-in-restriction", "feed_in_restriction"),
    ],
)
def test_known(entity: str, text: str, state: str) -> None:
    """However a word is written, it is the key of its translation."""
    assert word_state(entity, text) == state


@pytest.mark.parametrize(
    ("entity", "text", "state"),
    [
        ("status", "GRID_FOLLOWING", "Grid following"),
        ("status", "waiting for sun", "Waiting for sun"),
        ("status", "Alarm E07", "Alarm E07"),
        ("status", "7", "7"),
        # Home Assistant has states of that name
        ("status", "unknown", "Unknown"),
        ("status", "UNAVAILABLE", "Unavailable"),
        # What is a word of another entity has no translation in this one
        ("policy", "RUNNING", "Running"),
        ("operation_modes", "HEATING, HOT_WATER", "Heating, hot water"),
    ],
)
def test_unknown(entity: str, text: str, state: str) -> None:
    """A word that nobody knows is shown as it is, in sentence case."""
    assert word_state(entity, text) == state


@pytest.mark.parametrize("language", ["de", "en", "es", "fr", "nl"])
def test_translated(language: str) -> None:
    """Every known word has words in every language, and no two of an entity the same ones."""
    path = PACKAGE / "translations" / f"{language}.json"
    sensors = json.loads(path.read_text("utf-8"))["entity"]["sensor"]
    for entity, words in KNOWN_WORDS.items():
        states = sensors[entity]["state"]
        assert states.keys() == words
        assert len(set(states.values())) == len(states)
