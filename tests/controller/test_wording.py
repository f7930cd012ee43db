"""Group and limits in words."""

from datetime import UTC, datetime

import pytest

from custom_components.eniris.controller.schedules import Schedule
from custom_components.eniris.controller.wording import Wording, read_text, written

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", Wording(None, None, None)),
        ("storage", Wording("storage", None, None)),
        ("Storage, import 5000 W, export 0 W", Wording("storage", 5000, 0)),
        ("SOLAR: Export limit = 2.5 kW", Wording("solar", None, 2500)),
        ("solar import: 2,5 kW", Wording("solar", 2500, None)),
        ("restorage 5000 W", Wording(None, None, None)),
        # Of which of the two it speaks, nobody knows
        ("solar, not storage", Wording(None, None, None)),
        ("important: storage, Importlimit 5 kW", Wording("storage", 5000, None)),
    ],
)
def test_read(text: str, read: Wording) -> None:
    """What a person writes is read."""
    assert read_text(text) == read


@pytest.mark.parametrize("limits", [(5000, 0), (None, 3000), (None, None)])
def test_written(limits: tuple[int | None, int | None]) -> None:
    """What is written is read as it was."""
    schedule = Schedule("solar", "x", NOW, NOW, *limits)
    assert read_text(written(schedule)) == Wording("solar", *limits)


@pytest.mark.parametrize(
    "text",
    [
        "import much W",
        "import and export 5 kW",
        "import 5.000 W",
        "import 5,000 kW",
        "import 5 000 W",
        "import 5000",
        "import -5 W",
        "export \u22125 W, import 1 W",
        "import 5 MW",
        f"import {'9' * 400} W",
        "import 99999999 kW",
        "import, which nobody here needs by day, 5 kW",
    ],
)
def test_unreadable(text: str) -> None:
    """What may be meant otherwise is no limit, and not as if nothing had been written either."""
    with pytest.raises(ValueError, match="limit"):
        read_text(text)
