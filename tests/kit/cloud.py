"""Home Assistant Cloud, which a test cannot log in to."""

import sys

import pytest

from homeassistant import components
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError


class Cloud:
    """What the integration asks of the cloud."""

    CloudNotAvailable = HomeAssistantError

    def __init__(self) -> None:
        """Have given out no address."""
        self.hooks: dict[str, str] = {}
        self.answers = True

    def async_active_subscription(self, _hass: HomeAssistant) -> bool:
        """Be paid for."""
        return True

    async def async_get_or_create_cloudhook(
        self, _hass: HomeAssistant, webhook_id: str
    ) -> str:
        """Give out an address, once."""
        if not self.answers:
            raise TimeoutError
        return self.hooks.setdefault(webhook_id, f"https://hooks.example/{webhook_id}")

    async def async_delete_cloudhook(
        self, _hass: HomeAssistant, webhook_id: str
    ) -> None:
        """Take an address back."""
        if webhook_id not in self.hooks:
            raise ValueError
        del self.hooks[webhook_id]


def log_in_to_cloud(hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """Have Home Assistant logged in to a cloud, and return that."""
    cloud = Cloud()
    hass.config.components.add("cloud")
    monkeypatch.setitem(sys.modules, "homeassistant.components.cloud", cloud)
    monkeypatch.setattr(components, "cloud", cloud, raising=False)
    return cloud
