"""Pictures of the page: small files that look the same each time."""

from collections.abc import Sequence
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
        *of: Locator,
        margin: int = MARGIN,
        height: int | None = None,
    ) -> None:
        """Take a picture of elements and what is between them, with a margin of what is around, cut off at a height."""
        await settle(page)
        boxes = [box for part in of if (box := await part.bounding_box()) is not None]
        assert len(boxes) == len(of), f"{name}: what is to be in the picture is hidden"
        box = _around(boxes, page, margin)
        box["height"] = min(box["height"], height or box["height"])
        data = await page.screenshot(clip=box, animations="disabled")
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


def _around(boxes: Sequence[FloatRect], page: Page, margin: int) -> FloatRect:
    size = page.viewport_size
    assert size is not None
    left = max(0, min(box["x"] for box in boxes) - margin)
    top = max(0, min(box["y"] for box in boxes) - margin)
    right = max(box["x"] + box["width"] for box in boxes) + margin
    bottom = max(box["y"] + box["height"] for box in boxes) + margin
    return {
        "x": left,
        "y": top,
        "width": min(size["width"], right) - left,
        "height": min(size["height"], bottom) - top,
    }
