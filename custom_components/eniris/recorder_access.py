"""The recorder, which either direction needs for the past."""

import asyncio
from collections.abc import Callable

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.recorder import get_instance


@callback
def has_recorder(hass: HomeAssistant) -> bool:
    """Tell whether there is a recorder that can be read and given statistics."""
    # Its instance is there before it is ready, and also where it could not be set up
    return "recorder" in hass.config.components


async def async_read_recorder[**P, R](
    hass: HomeAssistant, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> R:
    """Return what a function returns that reads the recorder's database, in the recorder's threads.

    Whoever waits for it can be cancelled, the thread cannot. It is a task of Home Assistant's, which waits for it
    at its end, before the database is closed.
    """

    async def read() -> R:
        return await get_instance(hass).async_add_executor_job(
            lambda: function(*args, **kwargs)
        )

    task = hass.async_create_task(read(), "eniris reads the recorder")
    try:
        # Unlike awaiting the task itself, this does not cancel it
        await asyncio.wait([task])
    except asyncio.CancelledError:
        # An error that nobody waits for any more is no news
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        raise
    return task.result()
