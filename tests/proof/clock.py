"""Simulated time: a wall clock that can be set back, and a monotonic one that cannot."""

import asyncio
from datetime import UTC, datetime, timedelta
import time

import freezegun.api
from freezegun.api import FrozenDateTimeFactory
import pytest

_really_sleep = time.sleep


class Clock:
    """Drives both clocks of a frozen test; freezegun alone would set back the event loop, too."""

    def __init__(
        self, freezer: FrozenDateTimeFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Take over freezegun's monotonic clock."""
        self._freezer = freezer
        self._set_back = timedelta()
        monkeypatch.setattr(freezegun.api, "_get_fake_monotonic", self._monotonic)
        monkeypatch.setattr(
            freezegun.api,
            "_get_fake_monotonic_ns",
            lambda: int(self._monotonic() * 1_000_000_000),
        )

    @property
    def now(self) -> datetime:
        """What the wall clock shows."""
        return datetime.fromtimestamp(time.time(), UTC)

    def tick(self, by: timedelta) -> None:
        """Let time pass."""
        self._freezer.tick(by)

    def set_back(self, by: timedelta) -> None:
        """Set the wall clock."""
        self._set_back += by
        self._freezer.tick(-by)

    def _monotonic(self) -> float:
        return time.time() + self._set_back.total_seconds()


async def really_wait(seconds: float) -> None:
    """Let real time pass, for what nothing can be awaited of."""
    await asyncio.get_running_loop().run_in_executor(None, _really_sleep, seconds)
