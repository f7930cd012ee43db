"""Where one of Home Assistant's webhooks can be reached: at home, from outside, and through Home Assistant Cloud."""

from homeassistant.components import webhook
from homeassistant.core import HomeAssistant
from homeassistant.helpers.network import NoURLAvailableError

from .const import LOGGER


async def async_webhook_addresses(
    hass: HomeAssistant, webhook_id: str
) -> dict[str, str]:
    """Return the addresses of a webhook: `internal`, `external` and `cloud`, as far as there are such.

    Where Home Assistant Cloud is subscribed to, it is asked for an address once.
    """
    addresses = {}
    for kind in ("internal", "external"):
        try:
            addresses[kind] = webhook.async_generate_url(
                hass,
                webhook_id,
                allow_internal=kind == "internal",
                allow_external=kind == "external",
            )
        except NoURLAvailableError:
            continue
    if "cloud" in hass.config.components:
        # Importing it loads cameras, voice assistants and more, which is done where it is set up
        from homeassistant.components import cloud  # noqa: PLC0415

        if cloud.async_active_subscription(hass):
            try:
                addresses["cloud"] = await cloud.async_get_or_create_cloudhook(
                    hass, webhook_id
                )
            except Exception as err:  # noqa: BLE001
                # Its client has other errors in each version, and the other addresses do without it
                LOGGER.debug("The cloud gives no address for a webhook: %r", err)
    return addresses


async def async_delete_cloudhook(hass: HomeAssistant, webhook_id: str) -> None:
    """Give the cloud's address of a webhook back, if it has one."""
    if "cloud" not in hass.config.components:
        return
    from homeassistant.components import cloud  # noqa: PLC0415

    try:
        await cloud.async_delete_cloudhook(hass, webhook_id)
    except (cloud.CloudNotAvailable, ValueError) as err:
        LOGGER.debug("The cloud has no address for a webhook: %r", err)
