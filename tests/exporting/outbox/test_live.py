"""What is done with rows: what was refused for good is kept with its reason, the newest of it, to the last bit."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from custom_components.eniris.exporting.outbox.batches import Reject
from custom_components.eniris.exporting.outbox.live import (
    REJECTS_KEPT,
    add_rejects,
    discard_rejects,
    load_rejects,
    recall,
)
from custom_components.eniris.exporting.outbox.rows import Rows
from custom_components.eniris.exporting.outbox.schema import connect
from tests.exporting.conftest import sample


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """Return the rows of a new outbox."""
    with closing(connect(tmp_path / "outbox.db")) as db:
        yield Rows(db)


def reopened(rows: Rows) -> Rows:
    """Return the rows as they are after a restart."""
    rows.db.commit()
    return Rows(rows.db)


def test_rejects(rows: Rows) -> None:
    """The newest thousand are kept with their reasons; one that was taken back is gone."""
    count = REJECTS_KEPT + 20
    given = [Reject(sample(n, float(n)), f"reason {n}") for n in range(count)]
    for each in given:
        add_rejects(rows, [each])
    expected = given[: -REJECTS_KEPT - 1 : -1]
    assert load_rejects(rows) == expected
    assert load_rejects(reopened(rows)) == expected
    recall(rows, given[-2])
    assert load_rejects(rows) == [expected[0], *expected[2:]]
    # All at once, more than there is room for
    add_rejects(rows, given)
    assert load_rejects(rows) == expected
    assert discard_rejects(rows) == REJECTS_KEPT
    assert load_rejects(rows) == []


@pytest.mark.parametrize("value", [True, -0.0, 0.1, "Zürich ☀", "", "1.0", "a\x00b"])
def test_values_of_rejects(rows: Rows, value: float | str | bool) -> None:
    """They are what they were."""
    add_rejects(rows, [Reject(sample(0, value), "no")])
    [(found, _)] = load_rejects(rows)
    assert (type(found.value), repr(found.value)) == (type(value), repr(value))
