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
from tests.exporting.conftest import START, at, sample
from tests.kit.outbox import new_store


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
    assert await store.run(load_figures) == {
        "a": Figures(uploaded=7, rejected=2, dropped=1, last_upload=START),
        "b": Figures(),
    }
    await store.close()


def test_stored_seldom(freezer: FrozenDateTimeFactory) -> None:
    """Every ten minutes; never for nothing."""
    freezer.move_to(START)
    ledger = Ledger()
    freezer.tick(601)
    assert not ledger.is_due()
    ledger = Ledger()
    ledger.count_stored(to_blocks([sample(0), sample(1)]))
    assert not ledger.is_due()
    freezer.tick(601)
    assert ledger.is_due()


def test_recalled() -> None:
    """What was set aside and taken back was never rejected."""
    ledger = Ledger()
    rejects = [Reject(sample(n), "no") for n in range(3)]
    ledger.count_rejected(rejects, [])
    ledger.count_rejected([], rejects[:1])
    assert ledger == {"export": Figures(rejected=2)}


def test_sum() -> None:
    """What was counted in two places is added up."""
    its = Figures(1, 2, 3, 4, oldest=at(5), last_upload=at(6))
    its.add(Figures(10, 20, 30, 40, oldest=at(4), last_upload=None))
    assert its == Figures(11, 22, 33, 44, oldest=at(4), last_upload=at(6))
