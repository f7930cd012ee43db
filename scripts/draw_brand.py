"""Draws the images that Home Assistant shows for the integration; run by `scripts/brand`.

The drawings are in the colours for a light background. The dark ones differ in colours alone.
"""

import io
from pathlib import Path

from PIL import Image
import resvg_py

ROOT = Path(__file__).parents[1]
DRAWINGS = ROOT / "brand"
IMAGES = ROOT / "custom_components" / "eniris" / "brand"

HEIGHTS = {"icon": 256, "logo": 160}
"""Of a drawing at single density, in pixels."""

IN_THE_DARK = {
    "#0b6b75": "#1f9aa1",  # the house
    "#0b4a52": "#e8f4f4",  # the letters
}


def draw(drawing: str, height: int) -> bytes:
    """Return a drawing as a PNG with an alpha channel."""
    rendered = resvg_py.svg_to_bytes(svg_string=drawing, height=height)
    image = Image.open(io.BytesIO(bytes(rendered))).convert("RGBA")
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def main() -> None:
    """Draw all of them."""
    IMAGES.mkdir(exist_ok=True)
    for name, height in HEIGHTS.items():
        light = (DRAWINGS / f"{name}.svg").read_text("utf-8")
        dark = light
        for colour, instead in IN_THE_DARK.items():
            dark = dark.replace(colour, instead)
        for prefix, drawing in (("", light), ("dark_", dark)):
            for suffix, density in (("", 1), ("@2x", 2)):
                path = IMAGES / f"{prefix}{name}{suffix}.png"
                path.write_bytes(draw(drawing, height * density))


if __name__ == "__main__":
    main()
