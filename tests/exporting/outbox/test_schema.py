"""The file of an outbox: what is none is told from one."""

from pathlib import Path
import sqlite3

import pytest

from custom_components.eniris.exporting.outbox.schema import connect


def test_not_a_database(tmp_path: Path) -> None:
    """Told when it is opened, not when something is lost."""
    path = tmp_path / "x"
    path.write_bytes(b"not a database " * 100)
    with pytest.raises(sqlite3.DatabaseError):
        connect(path)
