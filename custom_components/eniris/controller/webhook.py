"""The webhook to which a controller posts its values."""

from datetime import timedelta
import hmac
from http import HTTPStatus
from typing import Final

from aiohttp import web

from homeassistant.components import webhook
from homeassistant.core import HomeAssistant, callback

from ..const import CONF_WEBHOOK, DOMAIN, LOGGER
from .config import ControllerSettings, WebhookSettings
from .errors import InvalidMessageError
from .live import Live
from .message import LARGEST_MESSAGE, read_webhook
from .rate import RateLimit

_LOG_EVERY: Final = timedelta(hours=1)


class LiveWebhook:
    """Takes the posts of one controller."""

    def __init__(
        self,
        hass: HomeAssistant,
        controller: ControllerSettings,
        settings: WebhookSettings,
        live: Live,
        rate: RateLimit,
    ) -> None:
        """Put what is posted into `live`, no more than `rate` allows."""
        self._hass = hass
        self._controller = controller
        self._settings = settings
        self._live = live
        self._rate = rate
        self._logged_at: float | None = None
        self.unauthorized = 0
        self.other_site = 0
        self.invalid = 0

    @callback
    def async_start(self) -> None:
        """Listen from now on.

        From anywhere: the address may be Home Assistant's own, one behind a proxy, or one of its cloud's.
        """
        webhook.async_register(
            self._hass,
            DOMAIN,
            self._controller.title,
            self._settings.id,
            self._handle,
            local_only=False,
            allowed_methods=["POST"],
        )

    @callback
    def async_stop(self) -> None:
        """Listen no more."""
        webhook.async_unregister(self._hass, self._settings.id)

    async def _handle(
        self, _hass: HomeAssistant, _webhook_id: str, request: web.Request
    ) -> web.Response:
        return web.Response(status=await self._async_take(request))

    async def _async_take(self, request: web.Request) -> HTTPStatus:
        given = request.headers.get("Authorization", "").encode(errors="replace")
        wanted = f"Bearer {self._settings.token}".encode()
        if not hmac.compare_digest(given, wanted):
            self.unauthorized += 1
            self._log_unauthorized()
            return HTTPStatus.UNAUTHORIZED
        if not self._rate.allows():
            return HTTPStatus.TOO_MANY_REQUESTS
        try:
            message = read_webhook(await _read(request))
        except InvalidMessageError as err:
            self.invalid += 1
            LOGGER.debug(
                "A message of the controller %s is left out: %s",
                self._controller.title,
                err,
            )
            return HTTPStatus.BAD_REQUEST
        if message.site_node_id != self._controller.site_node_id:
            self.other_site += 1
            return HTTPStatus.FORBIDDEN
        self._live.async_take(message, CONF_WEBHOOK, self._settings.period)
        return HTTPStatus.OK

    def _log_unauthorized(self) -> None:
        now = self._hass.loop.time()
        if self._logged_at is None or now - self._logged_at >= (
            _LOG_EVERY.total_seconds()
        ):
            self._logged_at = now
            LOGGER.warning(
                "Somebody posted to the webhook of the controller %s without its token;"
                " if that was the controller, enter the token of the form there",
                self._controller.title,
            )


async def _read(request: web.Request) -> bytes:
    """Return the body; raises `InvalidMessageError` before more of it is read than a message may have."""
    body = b""
    while chunk := await request.content.read(LARGEST_MESSAGE + 1 - len(body)):
        body += chunk
        if len(body) > LARGEST_MESSAGE:
            raise InvalidMessageError("too large")
    return body
