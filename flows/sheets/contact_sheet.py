"""Sheets of optimised pictures for people: a title, and below each picture what it is and how it does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from atlas.arrays import Byte

GAP, MARGIN, LINE = 8, 20, 17
GROUND, TILE, TEXT, QUIET = (24, 24, 24), (52, 52, 52), (236, 236, 236), (150, 150, 150)
LARGE, SMALL = 256, 96
"""Longer side that few pictures are enlarged to, and that many are at least."""
MANY, FEW = 60, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A picture `h w 3`, or none where there is none to show, with the words below it: to the left, and to the right."""

    picture: Byte | None
    left: str
    right: str = ""


def sheet(tiles: Sequence[Tile], title: str, remark: str = "", columns: int | None = None) -> Byte:
    """Draw tiles in rows, `h w 3`. All pictures have one size; a missing one is a plain tile that says "dead"."""
    height, width = next((tile.picture.shape[:2] for tile in tiles if tile.picture is not None), (SMALL, SMALL))
    scale = _scale(len(tiles), max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    across = columns or _columns(len(tiles), size)
    down = -(-len(tiles) // across)
    step = (size[0] + GAP, size[1] + GAP + LINE)
    top = MARGIN + 26 + (20 if remark else 0) + 10
    wide = max(across * step[0] - GAP, _width(title, 18), _width(remark, 13)) + 2 * MARGIN
    drawn = Image.new("RGB", (wide, top + down * step[1] - GAP + MARGIN), GROUND)
    write = ImageDraw.Draw(drawn)
    write.text((MARGIN, MARGIN), title, TEXT, _font(18))
    write.text((MARGIN, MARGIN + 28), remark, QUIET, _font(13))
    for number, tile in enumerate(tiles):
        _draw(drawn, tile, (MARGIN + number % across * step[0], top + number // across * step[1]), size)
    return np.asarray(drawn)


def _draw(drawn: Image.Image, tile: Tile, at: tuple[int, int], size: tuple[int, int]) -> None:
    write, (x, y), (width, height) = ImageDraw.Draw(drawn), at, size
    if tile.picture is None:
        write.rectangle((x, y, x + width - 1, y + height - 1), fill=TILE)
        write.text((x + width / 2, y + height / 2), "dead", QUIET, _font(13), anchor="mm")
    else:
        picture = Image.fromarray(tile.picture)
        drawn.paste(picture if picture.size == size else picture.resize(size, Image.Resampling.BICUBIC), at)
    right = _width(tile.right, 11)
    write.text((x, y + height + 3), _fitted(tile.left, width - right - 6), TEXT, _font(12))
    write.text((x + width, y + height + 4), tile.right, QUIET, _font(11), anchor="ra")


def _scale(count: int, side: int) -> float:
    if count <= FEW:
        return max(1.0, LARGE / side) if side < LARGE else 1.0
    return max(1.0, SMALL / side) if count > MANY else max(1.0, 1.5 * SMALL / side)


def _columns(count: int, size: tuple[int, int]) -> int:
    """Return how many columns make a sheet about one and a half times as wide as high."""
    if count <= 5:
        return max(1, count)
    return max(1, min(count, round(math.sqrt(1.5 * count * (size[1] + LINE) / size[0]))))


def _fitted(text: str, width: float) -> str:
    """Shorten a text to a width in pixels."""
    if _width(text, 12) <= width:
        return text
    while text and _width(text + "…", 12) > width:
        text = text[:-1]
    return text + "…"


def _width(text: str, size: int) -> int:
    return math.ceil(_font(size).getlength(text))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
