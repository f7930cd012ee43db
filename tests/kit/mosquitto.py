"""Debian's broker, which nobody here has written, in the place of the simulator's own."""

import asyncio
from collections.abc import Mapping
import os
from pathlib import Path
import shutil
import socket
from typing import Final

import pytest

from simulator.controller.broker import HOST, STRANGER

_REQUIRED: Final = os.environ.get("ENIRIS_MOSQUITTO") == "required"
_PATHS: Final = f"{os.environ['PATH']}:/usr/sbin"
_TRIES: Final = 100


class Mosquitto:
    """A broker in a process of its own; see `simulator.controller.broker.AnyBroker`."""

    def __init__(
        self,
        users: Mapping[str, str],
        certificate: tuple[Path, Path],
        directory: Path,
    ) -> None:
        """Have users, and keep all files in a directory; skip the test where there is no mosquitto."""
        program = shutil.which("mosquitto", path=_PATHS)
        if program is None:
            if _REQUIRED:
                pytest.fail("mosquitto is not installed")
            pytest.skip("mosquitto is not installed")
        self.users = users
        self.port = _free_port()
        self.tls_port: int | None = _free_port()
        self._program = program
        self._certificate = certificate
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Listen; on the same ports again after a stop."""
        passwords = self._directory / "passwords"
        passwords.write_text(
            "".join(f"{name}:{word}\n" for name, word in self.users.items())
        )
        # It replaces the passwords in the file by hashes
        await (
            await asyncio.create_subprocess_exec("mosquitto_passwd", "-U", passwords)
        ).wait()
        topics = self._directory / "topics"
        topics.write_text(
            "".join(
                f"user {name}\ntopic readwrite standard1/#\n"
                for name in self.users
                if name != STRANGER
            )
        )
        certificate, key = self._certificate
        settings = self._directory / "mosquitto.conf"
        settings.write_text(
            # As root it would otherwise become somebody who cannot read these files
            "user root\n"
            f"password_file {passwords}\n"
            f"acl_file {topics}\n"
            f"listener {self.port} {HOST}\n"
            f"listener {self.tls_port} {HOST}\n"
            f"certfile {certificate}\n"
            f"keyfile {key}\n"
        )
        self._process = await asyncio.create_subprocess_exec(
            self._program,
            "-c",
            settings,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        for _ in range(_TRIES):
            try:
                _, writer = await asyncio.open_connection(HOST, self.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
        pytest.fail("mosquitto does not listen")

    async def stop(self) -> None:
        """End all connections and stop listening."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            await process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
        return port
