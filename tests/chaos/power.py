"""A power cut: what a process has written, but not synced, is not there any more."""

import os
from pathlib import Path
import shutil
import subprocess
from typing import Final

_SOURCE: Final = Path(__file__).with_name("power_cut.c")


class Power:
    """What of the files of an outbox would be there after a power cut."""

    def __init__(self, folder: Path) -> None:
        """Build what notes each sync in `folder`, where there is a compiler."""
        self._synced = folder / "synced"
        self._synced.mkdir(parents=True)
        self.library: Path | None = None
        compiler = shutil.which("cc")
        library = folder / "power_cut.so"
        if (
            compiler is not None
            and not subprocess.run(
                [
                    *(compiler, "-O2", "-fPIC", "-shared"),
                    *("-o", str(library), str(_SOURCE), "-ldl"),
                ],
                check=False,
                capture_output=True,
            ).returncode
        ):
            self.library = library

    @property
    def environment(self) -> dict[str, str]:
        """What a process has to be started with, beside the library that is preloaded."""
        return {} if self.library is None else {"CHAOS_SYNCED": str(self._synced)}

    def cut(self, files: list[Path]) -> bool:
        """Leave of the files of a process that was killed what was synced.

        Return whether anything ever was. Blocks.
        """
        for file in files:
            synced = self._synced / file.name
            if synced.exists():
                shutil.copyfile(synced, file)
            else:
                file.unlink()
        return any(self._synced.iterdir())

    def sync(self, file: Path) -> None:
        """Take a file as it is for synced, since it was not the process that changed it. Blocks."""
        new = self._synced / f"{file.name}.{os.getpid()}.new"
        shutil.copyfile(file, new)
        new.replace(self._synced / file.name)

    def replace(self, files: list[Path]) -> None:
        """Take these files, and no others, for synced. Blocks."""
        for synced in self._synced.iterdir():
            synced.unlink()
        for file in files:
            self.sync(file)
