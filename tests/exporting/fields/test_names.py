"""Names on the way to Eniris: what is wrong with one, as a key of the translations."""

import pytest

from custom_components.eniris.api import WriteTarget
from custom_components.eniris.exporting.fields.names import (
    name_problem,
    parse_tags,
    tag_problem,
    target_problems,
)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("actualPowerTot_W", None),
        ("Größe von allem", None),
        ("", "name_empty"),
        ("_hidden", "name_underscore"),
        ("two\nlines", "name_newline"),
    ],
)
def test_names(name: str, problem: str | None) -> None:
    """A name has one line and does not begin with an underscore; anything else is the user's."""
    assert name_problem(name) == problem


def test_target() -> None:
    """Each part of a target is told apart."""
    assert target_problems(WriteTarget("demo-ingress", "demo", "rp_one_m")) == {}
    assert target_problems(WriteTarget("", "a b", "rp/one")) == {
        "collector": "name_empty",
        "database": "name_characters",
        "retention_policy": "name_characters",
    }


@pytest.mark.parametrize(
    ("rows", "tags", "problem"),
    [
        (["serialNr=1234"], {"serialNr": "1234"}, None),
        ([" a = 1 ", "b=2=3"], {"a": "1", "b": "2=3"}, None),
        ([], {}, "tag_missing"),
        (["serialNr"], {}, "tag_malformed"),
        (["=1"], {}, "tag_malformed"),
        (["a="], {}, "tag_malformed"),
        (["_a=1"], {}, "tag_malformed"),
        (["a=1", "a=2"], {}, "tag_twice"),
        # What cannot be asked for would never be seen
        (["a=ě"], {}, "tag_characters"),
        (["a=1", "b=\x07"], {}, "tag_characters"),
    ],
)
def test_tags(rows: list[str], tags: dict[str, str], problem: str | None) -> None:
    """Tags are rows of key and value; the first problem of any of them costs them all."""
    assert parse_tags(rows) == (tags, problem)


def test_tag_by_itself() -> None:
    """An action's tag is held to the same."""
    assert tag_problem("serialNr", "1234") is None
    assert tag_problem("serialNr", "") == "tag_malformed"
