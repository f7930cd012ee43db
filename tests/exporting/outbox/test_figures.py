"""Figures: what was stored is added to what is counted, once, and stored seldom."""

from pathlib import Path

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.exporting.outbox.batches import Reject, to_blocks
from custom_components.eniris.exporting.outbox.figures import (
    Figures,
    Ledger,
    load_figures,
    save_figures,
)
from tests.exporting.conftest import START, sample
from tests.outbox_kit import new_store


@pytest.fixture(autouse=True)
def no_sockets(socket_enabled: None) -> None:
    """Let the event loop have its own."""


async def test_figures_after_a_restart(tmp_path: Path) -> None:
    """They are what they were."""
    figures = {
        "a": Figures(uploaded=3, rejected=2, dropped=1, last_upload=START),
        "b": Figures(),
    }
    for saved in (figures, {"a": Figures(uploaded=4)}):
        store = new_store(tmp_path / "outbox.db")
        await store.open()
        await store.run(save_figures, saved)
        await store.close()
        await store.open()
        assert await store.run(load_figures) == {"b": Figures(), **saved}
        await store.close()


def test_stored_seldom(freezer: FrozenDateTimeFactory) -> None:
    """Not before what was stored is known, then every ten minutes, or at the end; never for nothing."""
    freezer.move_to(START)
    ledger = Ledger()
    ledger.count_stored(to_blocks([sample(0), sample(1)]))
    assert not ledger.unsaved(now=True)
    ledger.add_stored({"export": Figures(uploaded=5, dropped=1)})
    # Once: whoever opens the file again does not count it again
    ledger.add_stored({"export": Figures(uploaded=5, dropped=1)})
    assert not ledger.unsaved()
    expected = {"export": Figures(uploaded=7, dropped=1, last_upload=START)}
    assert ledger.unsaved(now=True) == expected
    freezer.tick(601)
    assert ledger.unsaved() == expected
    ledger.note_saved()
    assert not ledger.unsaved(now=True)


def test_recalled() -> None:
    """What was set aside and taken back was never rejected."""
    ledger = Ledger()
    rejects = [Reject(sample(n), "no") for n in range(3)]
    ledger.count_rejected(rejects, [])
    ledger.count_rejected([], rejects[:1])
    ledger.count_dropped({"other": 4})
    assert ledger.shown({"third": 1}, {"third": 2_000_000}) == {
        "export": Figures(rejected=2),
        "other": Figures(dropped=4),
        "third": Figures(waiting=1, oldest=START.replace(1970, 1, 1, 0, 0, 2)),
    }
