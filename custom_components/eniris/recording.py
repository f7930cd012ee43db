"""Whether there is a recorder, which either direction needs for the past."""

from homeassistant.core import HomeAssistant, callback


@callback
def has_recorder(hass: HomeAssistant) -> bool:
    """Tell whether there is a recorder that can be read and given statistics."""
    # Its instance is there before it is ready, and also where it could not be set up
    return "recorder" in hass.config.components
