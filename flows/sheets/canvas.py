"""A page to lay pictures and words on: text that fits, signs that Pillow's own font lacks, pictures, bars."""

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
FALLBACK = ("matplotlib", "mpl-data/fonts/ttf/DejaVuSans.ttf")
"""A package that carries a font of many more signs; captum needs it, so it is there."""

TALLEST = 8000


class Canvas:
    """A white page of a width, as high as what is laid on it."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.image = Image.new("RGB", (width, TALLEST), PAPER)
        self._draw = ImageDraw.Draw(self.image)

    def cut(self, height: int) -> Byte:
        """Return the page to a height, `h w 3`."""
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
        """Write a line whose top is y, shortened to `most` pixels; right-aligned it ends at x, centred it is about it."""
        text = fitted(text, size, most)
        x -= {"left": 0.0, "centre": 0.5, "right": 1.0}[align] * length(text, size)
        base = y + size
        for run, font in _runs(text, size):
            self._draw.text((x, base), run, colour, font, anchor="ls")
            x += font.getlength(run)

    def lines(self, x: float, y: float, text: str, most: float, size: int = 13, colour: Colour = QUIET) -> float:
        """Write a text over several lines and return the y below it."""
        for line in wrapped(text, size, most):
            self.text(x, y, line, size, colour)
            y += round(size * 1.4)
        return y

    def picture(self, x: float, y: float, picture: Byte, side: float, height: float | None = None) -> None:
        """Lay a picture into a square, or a box, at (x, y)."""
        size = (max(1, round(side)), max(1, round(height or side)))
        laid = Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.LANCZOS)
        self.image.paste(laid, (round(x), round(y)))

    def fitted(self, x: float, y: float, picture: Byte | None, side: float, ground: Colour = FAINT) -> None:
        """Lay a picture amid a square of `ground` without stretching it; none leaves the square plain."""
        self.box(x, y, side, side, ground if picture is not None else FAINT)
        if picture is None:
            return
        scale = side / max(picture.shape[:2])
        high, wide = (max(1, round(length * scale)) for length in picture.shape[:2])
        self.picture(x + (side - wide) / 2, y + (side - high) / 2, picture, wide, high)

    def box(self, x: float, y: float, wide: float, high: float, colour: Colour, line: int = 0) -> None:
        """Fill a box, or outline it by a line."""
        corners = (round(x), round(y), round(x + wide) - 1, round(y + high) - 1)
        if corners[2] >= corners[0] and corners[3] >= corners[1]:
            self._draw.rectangle(corners, **({"outline": colour, "width": line} if line else {"fill": colour}))

    def rule(self, x: float, y: float, wide: float) -> None:
        """Draw a hairline."""
        self.box(x, y, wide, 1, LINE)

    def bar(self, x: float, y: float, wide: float, share: float, high: int = 5) -> None:
        """Draw a signed share of a width: orange to the right of the middle, blue and to the left if below 0."""
        middle, long = x + wide / 2, wide / 2 * min(abs(share), 1)
        self.box(x, y, wide, high, FAINT)
        self.box(middle if share >= 0 else middle - long, y, long, high, ORANGE if share >= 0 else BLUE)
        self.box(middle, y - 1, 1, high + 2, QUIET)


def signed(value: float) -> str:
    """Write a number with its sign, to two places that matter."""
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    text = f"{abs(value):.{digits}f}"
    return text if not float(text) else ("+" if value > 0 else "−") + text


def length(text: str, size: int) -> float:
    """Return how long a line is in pixels."""
    return sum(font.getlength(run) for run, font in _runs(text, size))


def fitted(text: str, size: int, most: float) -> str:
    """Shorten a line to a length in pixels."""
    if length(text, size) <= most:
        return text
    while text and length(text + "…", size) > most:
        text = text[:-1]
    return text.rstrip() + "…"


def wrapped(text: str, size: int, most: float) -> list[str]:
    """Break a text into lines of at most a length in pixels, at its spaces."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if length(longer, size) <= most:
            lines[-1] = longer
        else:
            lines.append(fitted(word, size, most))
    return [line for line in lines if line]


def _runs(text: str, size: int) -> list[tuple[str, Font]]:
    """Cut a text into runs of one font: Pillow's own where it has the signs, else the fallback."""
    runs: list[tuple[str, Font]] = []
    for sign in text:
        font = _own(size) if _has(sign) else _other(size)
        if runs and runs[-1][1] is font:
            runs[-1] = (runs[-1][0] + sign, font)
        else:
            runs.append((sign, font))
    return runs


@functools.lru_cache(maxsize=4096)
def _has(sign: str) -> bool:
    """Tell whether Pillow's own font draws a sign otherwise than one that it can't have."""
    drawn, missing = (bytes(_own(24).getmask(one)) for one in (sign, "\uffff"))
    return drawn != missing


@functools.lru_cache(maxsize=64)
def _own(size: int) -> Font:
    return ImageFont.load_default(size)


@functools.lru_cache(maxsize=64)
def _other(size: int) -> Font:
    found = importlib.util.find_spec(FALLBACK[0])
    for root in (found.submodule_search_locations or []) if found else []:
        if (file := Path(root) / FALLBACK[1]).is_file():
            return ImageFont.truetype(str(file), round(size * 0.92))
    return _own(size)
