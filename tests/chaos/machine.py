"""What faults of the machine are made with: the disk under the storage, and the clock of a process."""

import ctypes
import os
from pathlib import Path
import random
import shutil
import subprocess
import sys
from typing import Final

DISK_SIZE: Final = 64 * 1024 * 1024
_CLONE_NEWNS: Final = 0x00020000
_PAGE: Final = 4096


def own_mounts() -> bool:
    """Give this process mounts of its own, which go when it and its children have ended.

    False where that is not permitted. Has to be called before there is a second thread.
    """
    if sys.platform != "linux" or os.geteuid() or not shutil.which("mount"):
        return False
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS):
        return False
    return _run("mount", "--make-rprivate", "/")


def _run(*command: str) -> bool:
    return not subprocess.run(command, check=False, capture_output=True).returncode


class Disk:
    """A small disk of its own under a directory, where mounting is permitted."""

    def __init__(self, folder: Path) -> None:
        """Keep the directory as it is until `mount`."""
        self.folder = folder
        self._filler = folder / "filler"
        self.mounted = False

    def mount(self) -> bool:
        """Put a file system of `DISK_SIZE` bytes under the directory, which keeps its files."""
        aside = self.folder.with_name(f"{self.folder.name}.aside")
        shutil.copytree(self.folder, aside)
        options = f"size={DISK_SIZE},mode=0700"
        self.mounted = _run(
            "mount", "-t", "tmpfs", "-o", options, "chaos", str(self.folder)
        )
        if self.mounted:
            shutil.copytree(aside, self.folder, dirs_exist_ok=True)
        shutil.rmtree(aside)
        return self.mounted

    def unmount(self) -> None:
        """Take it away again, with all that is on it."""
        self.clear()
        if self.mounted:
            _run("umount", "--lazy", str(self.folder))
            self.mounted = False

    def fill(self) -> None:
        """Leave no byte. Blocks."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (1024 * 1024, _PAGE, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def forbid_writing(self) -> None:
        """Let nothing be opened for writing; what is open goes on, as with any such mount."""
        path = str(self.folder)
        if not (
            _run("mount", "--bind", path, path)
            and _run("mount", "-o", "remount,bind,ro", path)
        ):
            raise OSError("the disk cannot be made read-only")
        self._read_only = True

    def clear(self) -> None:
        """Make room, and let everything be written."""
        if getattr(self, "_read_only", False):
            _run("umount", "--lazy", str(self.folder))
            self._read_only = False
        self._filler.unlink(missing_ok=True)


def damage(file: Path, chance: random.Random) -> str:
    """Overwrite whole pages of a file, as a failing card does, and tell which."""
    pages = max(1, file.stat().st_size // _PAGE)
    most = max(4, pages // 4)
    hit = sorted(chance.sample(range(pages), min(pages, chance.randint(1, most))))
    if chance.random() < 0.3:
        hit = sorted({0, *hit})
    fillings = (bytes(_PAGE), b"\xff" * _PAGE, b"\x55" + chance.randbytes(_PAGE - 1))
    with file.open("r+b", buffering=0) as stream:
        for page in hit:
            stream.seek(page * _PAGE)
            stream.write(chance.choice(fillings))
    return f"pages {hit} of {pages}"


def faketime() -> str | None:
    """Return the library that gives a process another clock, None where there is none."""
    found = sorted(Path("/usr").glob("lib*/*/faketime/libfaketimeMT.so.1"))
    return str(found[0]) if found else None


class Clock:
    """The wall clock of a child process; its monotonic clock is nobody's to set."""

    def __init__(self, file: Path) -> None:
        """Show the true time."""
        self._file = file
        self.offset = 0
        self.library = faketime()
        self.set(0)

    def set(self, offset: int) -> None:
        """Have the clock be `offset` seconds ahead, within a second."""
        self.offset = offset
        new = self._file.with_name(f"{self._file.name}.new")
        new.write_text(f"{offset:+d}\n", "ascii")
        new.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        """What a process has to be started with, beside the library that is preloaded."""
        if self.library is None:
            return {}
        return {
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "DONT_FAKE_MONOTONIC": "1",
            # Or threads that wait for each other spin: the C library needs no such mending any more
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "NO_FAKE_STAT": "1",
        }
