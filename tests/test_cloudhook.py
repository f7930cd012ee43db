"""The addresses of a webhook."""

import pytest

from custom_components.eniris.cloudhook import (
    async_delete_cloudhook,
    async_webhook_addresses,
)
from homeassistant.core import HomeAssistant

from .kit.cloud import log_in_to_cloud


async def test_addresses_that_home_assistant_knows(hass: HomeAssistant) -> None:
    """One at home and one from outside; what there is none of is missing."""
    hass.config.api = None
    assert await async_webhook_addresses(hass, "id") == {}
    hass.config.internal_url = "http://192.168.1.9:8123"
    assert await async_webhook_addresses(hass, "id") == {
        "internal": "http://192.168.1.9:8123/api/webhook/id"
    }
    hass.config.external_url = "https://home.example.com"
    assert await async_webhook_addresses(hass, "id") == {
        "internal": "http://192.168.1.9:8123/api/webhook/id",
        "external": "https://home.example.com/api/webhook/id",
    }
    await async_delete_cloudhook(hass, "id")


async def test_the_address_of_the_cloud(
    hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given out once and can be given back; a cloud that does not answer has none."""
    hass.config.api = None
    cloud = log_in_to_cloud(hass, monkeypatch)
    cloud.answers = False
    assert await async_webhook_addresses(hass, "id") == {}
    cloud.answers = True
    address = {"cloud": "https://hooks.example/id"}
    assert await async_webhook_addresses(hass, "id") == address
    assert await async_webhook_addresses(hass, "id") == address
    for _ in range(2):
        await async_delete_cloudhook(hass, "id")
        assert not cloud.hooks
