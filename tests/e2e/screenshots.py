"""The README's pictures: `scripts/screenshots`."""

import argparse
import asyncio
from pathlib import Path
import sys
import tempfile

from scripts.demo.config_dir import ROOT

from .browser import PATH_VARIABLE, find_chromium
from .story import live


def main() -> int:
    """Tell the story once, and keep its pictures."""
    parser = argparse.ArgumentParser(prog="scripts/screenshots")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "docs" / "images", help="for the pictures"
    )
    folder: Path = parser.parse_args().folder
    chromium = find_chromium()
    if chromium is None:
        print(f"No Chromium on the PATH; install it, or name one in {PATH_VARIABLE}")
        return 1
    with tempfile.TemporaryDirectory(prefix="eniris-") as work:
        told = asyncio.run(live(Path(work), chromium, folder))
    for step, seconds in told:
        print(f"{seconds:6.1f} s  {step}")
    for picture in sorted(folder.glob("*.png")):
        print(f"{picture.stat().st_size / 1024:6.1f} KiB  {picture.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
