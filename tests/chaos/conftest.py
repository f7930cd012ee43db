"""What the tests of the oracle begin with."""

import pytest

from .flawless import make_run
from .notes import Run


@pytest.fixture
def run() -> Run:
    """Return a run without a flaw."""
    return make_run()
