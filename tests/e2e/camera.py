"""Pictures of the page: small files that look the same each time."""

from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.async_api import FloatRect, Locator, Page

MARGIN = 16
COLOURS = 128


class Camera:
    """Takes the pictures of a story, into a folder."""

    def __init__(self, folder: Path) -> None:
        """Keep pictures in `folder`."""
        self._folder = folder

    async def take(
        self,
        page: Page,
        name: str,
        of: Locator,
        *,
        margin: int = MARGIN,
        until: Locator | None = None,
    ) -> None:
        """Take a picture of an element with a margin of what is around it; below `until` it is cut off."""
        await settle(page)
        box = await of.bounding_box()
        assert box is not None, f"{name}: what is to be in the picture is not shown"
        if until is not None:
            end = await until.bounding_box()
            assert end is not None, f"{name}: where the picture ends is not shown"
            box["height"] = end["y"] + end["height"] - box["y"]
        data = await page.screenshot(
            clip=_around(box, page, margin), animations="disabled"
        )
        with Image.open(BytesIO(data)) as picture:
            small = picture.convert("RGB").quantize(
                COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        small.save(self._folder / f"{name}.png", optimize=True)


async def settle(page: Page) -> None:
    """Wait until nothing moves any more, and take the pointer away from what it would highlight."""
    await page.mouse.move(0, 0)
    await page.wait_for_function(
        """() => document.getAnimations().every(
            animation => animation.playState !== "running"
                || animation.effect?.getTiming().iterations === Infinity)"""
    )
    # Ripples and lists are drawn a moment later
    await page.wait_for_timeout(400)


def _around(box: FloatRect, page: Page, margin: int) -> FloatRect:
    size = page.viewport_size
    assert size is not None
    left, top = max(0, box["x"] - margin), max(0, box["y"] - margin)
    right = min(size["width"], box["x"] + box["width"] + margin)
    bottom = min(size["height"], box["y"] + box["height"] + margin)
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}
