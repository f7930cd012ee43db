"""Errors in the user's words, the texts of which are in `translations/`."""

from homeassistant.exceptions import HomeAssistantError, ServiceValidationError

from .const import DOMAIN


def invalid(error: str, /, **placeholders: str) -> ServiceValidationError:
    """Return the error of a call that cannot be carried out as it was made."""
    return ServiceValidationError(
        translation_domain=DOMAIN,
        translation_key=error,
        translation_placeholders=placeholders,
    )


def failed(error: str, /, **placeholders: str) -> HomeAssistantError:
    """Return the error of a call that was right, but could not be carried out."""
    return HomeAssistantError(
        translation_domain=DOMAIN,
        translation_key=error,
        translation_placeholders=placeholders,
    )
