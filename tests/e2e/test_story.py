"""The story in a real browser; see the package."""

import asyncio
import os
from pathlib import Path
import sys

import pytest

from .browser import PATH_VARIABLE, find_chromium
from .story import live


@pytest.mark.timeout(900)
async def test_from_onboarding_to_removal(
    socket_enabled: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A user sets the integration up, exports values, sees trouble come and go, and removes it all."""
    chromium = find_chromium()
    if chromium is None:
        missing = f"no Chromium on the PATH; install it, or name one in {PATH_VARIABLE}"
        if os.environ.get("ENIRIS_E2E") == "required":
            pytest.fail(missing)
        pytest.skip(missing)
    # A measurement of coverage would go on in the processes that are started here, and slow them down
    for name in ("COV_CORE_SOURCE", "COV_CORE_DATAFILE", "COVERAGE_PROCESS_START"):
        monkeypatch.delenv(name, raising=False)
    # The debug mode of the test kit slows the browser's messages down
    asyncio.get_running_loop().set_debug(False)
    told = await live(tmp_path, chromium)
    with capsys.disabled():
        sys.stdout.write(
            "\n" + "".join(f"  {seconds:5.1f} s  {step}\n" for step, seconds in told)
        )
