"""Prints every complaint, and fails if there is any."""

import sys

from . import code, documents, layout, metadata, texts


def main() -> int:
    """Run all checks and return how many found something."""
    failed = 0
    for module in (code, documents, layout, metadata, texts):
        complaints = list(module.check())
        failed += bool(complaints)
        for complaint in complaints:
            print(f"{module.__name__.rpartition('.')[2]}: {complaint}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
