"""The connection to the controller's broker: log-in, subscriptions, messages, and a new attempt when it ends.

Topics and payloads: the pages "Live MQTT control" and "Scheduled MQTT control", and two public clients.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
import logging
import random
import ssl
import time
from typing import Any, Final

import aiomqtt
from aiomqtt.exceptions import MqttConnectError

from .config import MqttSettings
from .errors import (
    BrokerUnreachableError,
    ControllerError,
    LoginRefusedError,
    NotConnectedError,
    TlsRefusedError,
)

_LOGGER: Final = logging.getLogger(__name__)

_TIMEOUT: Final = 10.0
"""Seconds for each answer of the broker."""

_KEEPALIVE: Final = 20
"""Seconds: a connection that is dead is noticed within twice as many."""

_FIRST_WAIT: Final = 1.0
_LONGEST_WAIT: Final = 120.0
_STABLE_AFTER: Final = 30.0
"""Seconds of a connection after which the next attempt need not wait long."""

_LOGIN_REFUSED: Final = {4, 5, 134, 135}
"""Reason codes of MQTT 3.1.1 and 5: bad user name or password, not authorized."""

_SUBSCRIPTION_REFUSED: Final = 128
"""Reason codes from which on a subscription is refused."""

_QUEUE: Final = 200
"""Messages that may wait to be worked on."""


class _Newest(asyncio.Queue[aiomqtt.Message]):
    """A queue that drops the oldest message when it is full; the client's own would drop and log each new one."""

    def put_nowait(self, item: aiomqtt.Message) -> None:
        """Put a message at the end."""
        if self.full():
            self.get_nowait()
        super().put_nowait(item)


def schedule_topic(serial: str) -> str:
    """Return where schedules are published."""
    return f"standard1/rp_one_s/remoteScheduleMetrics/{serial}"


def schedule_feedback_topic(serial: str) -> str:
    """Return where a controller answers to schedules."""
    return f"standard1/outbound/remoteScheduleMetrics/feedback/{serial}"


def live_topic(serial: str) -> str:
    """Return where a controller publishes its live state."""
    return f"standard1/outbound/remoteControlMetrics/feedback/{serial}"


async def async_try_log_in(
    settings: MqttSettings, serial: str, tls_context: ssl.SSLContext | None
) -> None:
    """Log in and subscribe once.

    Raises `BrokerUnreachableError`, `TlsRefusedError` or `LoginRefusedError`.
    """
    async with _connected(settings, serial, tls_context):
        pass


@asynccontextmanager
async def _connected(
    settings: MqttSettings, serial: str, tls_context: ssl.SSLContext | None
) -> AsyncIterator[aiomqtt.Client]:
    """Return a client that has subscribed; raises what `async_try_log_in` does, also when the connection ends."""
    client = aiomqtt.Client(
        settings.host,
        settings.port,
        username=settings.username,
        password=settings.password,
        timeout=_TIMEOUT,
        keepalive=_KEEPALIVE,
        tls_context=tls_context if settings.tls else None,
        logger=_LOGGER,
        queue_type=_Newest,
        max_queued_incoming_messages=_QUEUE,
    )
    try:
        async with AsyncExitStack() as stack:
            await _to_the_end(stack.enter_async_context(client))
            for topic in (schedule_feedback_topic(serial), live_topic(serial)):
                granted = await _to_the_end(client.subscribe(topic, qos=1))
                if any(_code(code) >= _SUBSCRIPTION_REFUSED for code in granted):
                    raise LoginRefusedError("the topics of this controller are refused")
            yield client
    except MqttConnectError as err:
        if _code(err.rc) in _LOGIN_REFUSED:
            raise LoginRefusedError(str(err)) from err
        raise BrokerUnreachableError(str(err)) from err
    except ValueError as err:
        # A host that cannot be the name of one
        raise BrokerUnreachableError(str(err)) from err
    except aiomqtt.MqttError as err:
        # What listens there without TLS ends the connection, or waits for more
        if settings.tls and (
            isinstance(err.__context__, ssl.SSLError | ConnectionResetError)
            or "handshake" in str(err)
        ):
            raise TlsRefusedError(str(err)) from err
        raise BrokerUnreachableError(str(err)) from err


async def _to_the_end[T](step: Coroutine[Any, Any, T]) -> T:
    """Run a step of the client to its end, at most its timeout, also when this is cancelled.

    A step that is left half-way goes on without anybody, and complains in the log.
    """
    task = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


def _code(code: object) -> int:
    value = getattr(code, "value", code)
    return value if isinstance(value, int) else 0


class MqttClient:
    """Keeps the connection to one controller's broker, and hands over what arrives."""

    def __init__(
        self,
        settings: MqttSettings,
        serial: str,
        tls_context: ssl.SSLContext | None,
    ) -> None:
        """Connect, when run, to the broker of the controller with a serial number."""
        self._settings = settings
        self._serial = serial
        self._tls_context = tls_context
        self._client: aiomqtt.Client | None = None
        self.connections = 0
        self.error: ControllerError | None = None
        """Why there is no connection."""

    @property
    def is_connected(self) -> bool:
        """Whether the broker can be used now."""
        return self._client is not None

    async def async_run(
        self,
        on_message: Callable[[str, bytes], None],
        on_change: Callable[[], None],
    ) -> None:
        """Connect, and connect again whenever the connection ends, until this is cancelled.

        Give `on_message` topic and payload, and tell `on_change` when the connection begins or ends. Raises `LoginRefusedError`, since asking again with the same password helps nobody.
        """
        wait = _FIRST_WAIT
        while True:
            begun = time.monotonic()
            try:
                await self._async_listen(on_message, on_change)
            except LoginRefusedError as err:
                self.error = err
                raise
            except ControllerError as err:
                if self.error is None:
                    _LOGGER.info("The controller's broker cannot be reached: %s", err)
                self.error = err
            if time.monotonic() - begun >= _STABLE_AFTER:
                wait = _FIRST_WAIT
            await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _async_listen(
        self,
        on_message: Callable[[str, bytes], None],
        on_change: Callable[[], None],
    ) -> None:
        """Hand over messages until the connection ends, which raises."""
        try:
            async with _connected(
                self._settings, self._serial, self._tls_context
            ) as client:
                if self.error is not None:
                    _LOGGER.info("The controller's broker answers again")
                self._client, self.error = client, None
                self.connections += 1
                on_change()
                async for message in client.messages:
                    # What is kept for whoever comes is of an unknown time
                    if not message.retain and isinstance(message.payload, bytes):
                        on_message(message.topic.value, message.payload)
        finally:
            if self._client is not None:
                self._client = None
                on_change()

    async def async_publish_schedules(self, payload: str) -> None:
        """Publish to the controller's topic of schedules, and wait until the broker has it.

        Raises `NotConnectedError`.
        """
        if self._client is None:
            raise NotConnectedError
        try:
            await self._client.publish(schedule_topic(self._serial), payload, qos=1)
        except aiomqtt.MqttError as err:
            raise NotConnectedError(str(err)) from err
