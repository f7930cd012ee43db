"""Finding and starting Chromium."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import os
from pathlib import Path
import shutil

from playwright.async_api import BrowserContext, Route, async_playwright
from yarl import URL

PATH_VARIABLE = "ENIRIS_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT = 1100, 1100
"""Of the window: all of a longer form is seen in it."""

# Nothing but the pages under test: no sandbox, since root has none; no talk with Google
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

_NO_PICTURE = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1" viewBox="0 0 1 1"/>'
)


def find_chromium() -> str | None:
    """Return the path of a Chromium or Chrome, or None; raises FileNotFoundError for a wrong path in the variable."""
    if named := os.environ.get(PATH_VARIABLE):
        if found := shutil.which(named):
            return found
        raise FileNotFoundError(f"{PATH_VARIABLE}: there is no program {named}")
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@asynccontextmanager
async def browsing(
    chromium: str, profile: Path, base: str, *, scale: float = 1
) -> AsyncIterator[BrowserContext]:
    """Run a browser that was never used before and reaches nothing but `base`."""
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium,
            args=[*_FLAGS],
            viewport={"width": WIDTH, "height": HEIGHT},
            device_scale_factor=scale,
            locale="en-US",
            timezone_id="Europe/Brussels",
            color_scheme="light",
            reduced_motion="reduce",
            service_workers="block",
        )
        try:
            own = URL(base).origin()

            async def route(call: Route) -> None:
                url = URL(call.request.url)
                # Logos come from the internet, through Home Assistant in newer ones
                if call.request.resource_type == "image" and (
                    url.origin() != own or url.path.startswith("/api/brands/")
                ):
                    await _logo(call, own)
                elif url.origin() != own:
                    await call.abort()
                else:
                    await call.continue_()

            await context.route(lambda url: url.startswith("http"), route)
            yield context
        finally:
            await context.close()


async def _logo(call: Route, own: URL) -> None:
    """Show a logo that Home Assistant has itself; none in place of others, so that no picture is broken."""
    if URL(call.request.url).origin() == own:
        response = await call.fetch()
        if response.ok:
            await call.fulfill(response=response)
            return
    await call.fulfill(content_type="image/svg+xml", body=_NO_PICTURE)
