"""How much is tried: few examples, always the same, or as many as `ENIRIS_FUZZ_EXAMPLES` says."""

import os
from typing import Final

from hypothesis import HealthCheck, settings
import pytest

_EXAMPLES: Final = int(os.environ.get("ENIRIS_FUZZ_EXAMPLES", "0"))

PATIENCE: Final = pytest.mark.timeout(0 if _EXAMPLES else 120)
"""For the modules here: what is deep takes as long as it takes."""


def effort(examples: int) -> settings:
    """Return the settings of a test that tries so many examples in the ordinary run.

    One Home Assistant serves all examples of a test, since each of its own would cost a second.
    """
    return settings(
        max_examples=_EXAMPLES or examples,
        derandomize=not _EXAMPLES,
        print_blob=bool(_EXAMPLES),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
