"""The one canvas of all sheets, with their fonts and greys: text fitted to a width, pictures, boxes, bars."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from atlas.arrays import Byte
from atlas.colours import BLUE, ORANGE

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Colour = tuple[int, int, int]

PAPER, INK, QUIET, LINE, FAINT = (255, 255, 255), (26, 26, 26), (112, 112, 112), (214, 214, 214), (240, 240, 240)
NO_GRADIENT: Colour = (128, 128, 128)
"""The grey of a gradient of 0."""
FALLBACK = ("matplotlib", "mpl-data/fonts/ttf/DejaVuSans.ttf")
"""A package with a font of many more characters; captum depends on it, so it is always installed."""

TALLEST = 8000
"""Height of a page whose content is not yet known, in pixels."""


class Canvas:
    """A white page of a width. Its height is cut to the content at the end, unless it is known at the start."""

    def __init__(self, width: int, height: int = TALLEST) -> None:
        self.width = width
        self.image = Image.new("RGB", (width, height), PAPER)
        self._draw = ImageDraw.Draw(self.image)

    def cut(self, height: int) -> Byte:
        """Return the page cropped to a height, `h w 3`."""
        return np.asarray(self.image.crop((0, 0, self.width, height)))

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: int = 13,
        colour: Colour = INK,
        most: float = 1e9,
        align: str = "left",
    ) -> None:
        """Write a line with its top at y, shortened to `most` pixels; `align` says which end of it lies at x."""
        text = fitted(text, size, most)
        x -= {"left": 0.0, "centre": 0.5, "right": 1.0}[align] * length(text, size)
        base = y + size
        for run, font in _runs(text, size):
            self._draw.text((x, base), run, colour, font, anchor="ls")
            x += font.getlength(run)

    def lines(self, x: float, y: float, text: str, most: float, size: int = 13, colour: Colour = QUIET) -> float:
        """Write a text wrapped over several lines; return the y below it."""
        for line in wrapped(text, size, most):
            self.text(x, y, line, size, colour)
            y += round(size * 1.4)
        return y

    def picture(self, x: float, y: float, picture: Byte, side: float, height: float | None = None) -> None:
        """Resize a picture to a square, or a box, at (x, y)."""
        size = (max(1, round(side)), max(1, round(height or side)))
        laid = Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.LANCZOS)
        self.image.paste(laid, (round(x), round(y)))

    def fitted(self, x: float, y: float, picture: Byte | None, side: float, ground: Colour = FAINT) -> None:
        """Centre a picture in a square of `ground`, keeping its aspect ratio; None leaves the square plain."""
        self.box(x, y, side, side, ground if picture is not None else FAINT)
        if picture is None:
            return
        scale = side / max(picture.shape[:2])
        high, wide = (max(1, round(length * scale)) for length in picture.shape[:2])
        self.picture(x + (side - wide) / 2, y + (side - high) / 2, picture, wide, high)

    def box(self, x: float, y: float, wide: float, high: float, colour: Colour, line: int = 0) -> None:
        """Fill a box, or outline it with a line of some width."""
        corners = (round(x), round(y), round(x + wide) - 1, round(y + high) - 1)
        if corners[2] >= corners[0] and corners[3] >= corners[1]:
            self._draw.rectangle(corners, **({"outline": colour, "width": line} if line else {"fill": colour}))

    def rule(self, x: float, y: float, wide: float) -> None:
        """Draw a hairline."""
        self.box(x, y, wide, 1, LINE)

    def bar(self, x: float, y: float, wide: float, share: float, high: int = 5) -> None:
        """Draw a signed share of a width: orange to the right of the middle, blue to the left below 0."""
        middle, long = x + wide / 2, wide / 2 * min(abs(share), 1)
        self.box(x, y, wide, high, FAINT)
        self.box(middle if share >= 0 else middle - long, y, long, high, ORANGE if share >= 0 else BLUE)
        self.box(middle, y - 1, 1, high + 2, QUIET)


def signed(value: float) -> str:
    """Format a number with its sign, to two significant places."""
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    text = f"{abs(value):.{digits}f}"
    return text if not float(text) else ("+" if value > 0 else "−") + text


def length(text: str, size: int) -> float:
    """Return the length of a line in pixels."""
    return sum(font.getlength(run) for run, font in _runs(text, size))


def fitted(text: str, size: int, most: float) -> str:
    """Shorten a line to a length in pixels, ending in an ellipsis."""
    if length(text, size) <= most:
        return text
    while text and length(text + "…", size) > most:
        text = text[:-1]
    return text.rstrip() + "…"


def wrapped(text: str, size: int, most: float) -> list[str]:
    """Wrap a text at its spaces into lines of at most a length in pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if length(longer, size) <= most:
            lines[-1] = longer
        else:
            lines.append(fitted(word, size, most))
    return [line for line in lines if line]


def _runs(text: str, size: int) -> list[tuple[str, Font]]:
    """Split a text into runs of one font: Pillow's own where it has the characters, else the fallback."""
    runs: list[tuple[str, Font]] = []
    for character in text:
        font = _default(size) if _has(character) else _fallback(size)
        if runs and runs[-1][1] is font:
            runs[-1] = (runs[-1][0] + character, font)
        else:
            runs.append((character, font))
    return runs


@functools.lru_cache(maxsize=4096)
def _has(character: str) -> bool:
    """Tell whether Pillow's own font has a character: whether it draws it unlike one that no font has."""
    drawn, missing = (bytes(_default(24).getmask(text)) for text in (character, "\uffff"))
    return drawn != missing


@functools.lru_cache(maxsize=64)
def _default(size: int) -> Font:
    return ImageFont.load_default(size)


@functools.lru_cache(maxsize=64)
def _fallback(size: int) -> Font:
    package = importlib.util.find_spec(FALLBACK[0])
    for root in (package.submodule_search_locations or []) if package else []:
        if (file := Path(root) / FALLBACK[1]).is_file():
            return ImageFont.truetype(str(file), round(size * 0.92))
    return _default(size)
