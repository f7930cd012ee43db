"""An MQTT broker that knows its users."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
import logging
from pathlib import Path
from typing import Any, Final, Protocol

from amqtt.broker import Broker as Amqtt
from amqtt.contexts import Action
from amqtt.errors import ProtocolHandlerError
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

HOST: Final = "127.0.0.1"

STRANGER: Final = "stranger"
"""A user who may log in, but may neither subscribe nor publish."""

# It logs every client that comes and goes, and what a test does to it on purpose
logging.getLogger("amqtt").setLevel(logging.CRITICAL)
logging.getLogger("transitions").setLevel(logging.CRITICAL)


class AnyBroker(Protocol):
    """A broker on the loopback interface; `tls_port` is None where it has no TLS listener."""

    port: int
    tls_port: int | None
    users: Mapping[str, str]

    async def start(self) -> None:
        """Listen; on the same ports again after a stop."""

    async def stop(self) -> None:
        """End all connections and stop listening."""


class Users(BaseAuthPlugin):  # type: ignore[misc]
    """Lets in who is known; a plugin of amqtt."""

    @dataclass
    class Config:
        """Passwords by user name."""

        passwords: dict[str, str] = field(default_factory=dict)

    async def authenticate(self, *, session: Session) -> bool:
        """Tell whether the password is that of the user."""
        passwords: dict[str, str] = self._get_config_option("passwords")
        known = passwords.get(session.username or "")
        return known is not None and known == session.password


class Topics(BaseTopicPlugin):  # type: ignore[misc]
    """Keeps who is a stranger to a controller from its topics; a plugin of amqtt."""

    @dataclass
    class Config:
        """User names of those who may log in but neither subscribe nor publish."""

        strangers: list[str] = field(default_factory=list)

    async def topic_filtering(
        self,
        *,
        session: Session | None = None,
        topic: str | None = None,
        action: Action | None = None,
    ) -> bool:
        """Tell whether a user may do with a topic what it wants to."""
        del topic, action
        strangers: list[str] = self._get_config_option("strangers")
        return session is None or session.username not in strangers


class Broker:
    """An MQTT 3.1.1 broker in this process.

    users: passwords by user name. certificate: files of the certificate and of its key for a second
    listener, with TLS. port, tls_port: 0 takes a free one; known after the start.
    """

    def __init__(
        self,
        users: Mapping[str, str],
        *,
        certificate: tuple[Path, Path] | None = None,
        port: int = 0,
    ) -> None:
        """Have users."""
        self.users = users
        self.port = port
        self.tls_port: int | None = 0 if certificate else None
        self._certificate = certificate
        self._broker: Amqtt | None = None

    async def start(self) -> None:
        """Listen; on the same ports again after a stop. Does nothing while it runs."""
        if self._broker is not None:
            return
        listeners: dict[str, dict[str, Any]] = {
            "default": {"type": "tcp", "bind": f"{HOST}:{self.port}"}
        }
        if self._certificate is not None:
            certificate, key = self._certificate
            listeners["tls"] = {
                "type": "tcp",
                "bind": f"{HOST}:{self.tls_port}",
                "ssl": True,
                "certfile": str(certificate),
                "keyfile": str(key),
            }
        broker = Amqtt(
            {
                "listeners": listeners,
                "plugins": {
                    f"{__name__}.{Users.__name__}": {"passwords": dict(self.users)},
                    f"{__name__}.{Topics.__name__}": {"strangers": [STRANGER]},
                },
            }
        )
        broker._subscriptions = _Subscriptions()  # noqa: SLF001
        _ignore_ends_of_connections()
        await broker.start()
        self._broker = broker
        self.port = _port(broker, "default")
        if self._certificate is not None:
            self.tls_port = _port(broker, "tls")

    async def stop(self) -> None:
        """End all connections and stop listening. Does nothing when it does not run."""
        broker, self._broker = self._broker, None
        if broker is not None:
            for listener in _listeners(broker).values():
                # It waits for connections to end, also for those that say nothing
                listener.close()
                listener.abort_clients()
            await broker.shutdown()


class _Subscriptions(dict[str, Any]):
    """Subscriptions by topic; amqtt goes through them while others come and go, and loses the message then."""

    def items(self) -> Any:
        """Return what there is now."""
        return list(super().items())


def _listeners(broker: Amqtt) -> dict[str, asyncio.Server]:
    """Return the servers of a broker, of which nothing else tells the free port or ends the connections."""
    servers: dict[str, Any] = broker._servers  # noqa: SLF001
    return {name: server.instance for name, server in servers.items()}


def _port(broker: Amqtt, listener: str) -> int:
    port: int = _listeners(broker)[listener].sockets[0].getsockname()[1]
    return port


def _ignore_ends_of_connections() -> None:
    """Have nobody told of the tasks that amqtt leaves behind when a connection ends in the middle of something."""
    loop = asyncio.get_running_loop()
    tell = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), ProtocolHandlerError):
            return
        if tell is None:
            loop.default_exception_handler(context)
        else:
            tell(loop, context)

    loop.set_exception_handler(handle)
