"""Contact sheets of optimised pictures: a title, and below each picture its name and a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atlas.arrays import Byte
from flows.sheets.canvas import FAINT, QUIET, Canvas, length

GAP, MARGIN, LINE, SIZE = 8, 24, 20, 12
"""Space between tiles, margin of the sheet, height of the words below a tile, and their font size."""
TITLE, REMARK = 20, 13
LARGE, SMALL = 256, 96
"""Longer side that few pictures are enlarged to, and the least one of many."""
MANY, FEW = 60, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A picture `h w 3`, or None for a dead unit, with the words below it, left and right."""

    picture: Byte | None
    left: str
    right: str = ""


def sheet(tiles: Sequence[Tile], title: str, remark: str = "", columns: int | None = None) -> Byte:
    """Draw tiles in rows, `h w 3`. All pictures have one size; a missing one is a plain tile that says "dead"."""
    height, width = next((tile.picture.shape[:2] for tile in tiles if tile.picture is not None), (SMALL, SMALL))
    scale = _scale(len(tiles), max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    across = columns or _columns(len(tiles), size)
    step, down = (size[0] + GAP, size[1] + GAP + LINE), -(-len(tiles) // across)
    top = MARGIN + TITLE + (26 if remark else 8) + 12
    inner = max(across * step[0] - GAP, math.ceil(length(title, TITLE)), math.ceil(length(remark, REMARK)))
    page = Canvas(inner + 2 * MARGIN, top + down * step[1] - GAP + MARGIN)
    page.text(MARGIN, MARGIN - 4, title, TITLE)
    page.text(MARGIN, MARGIN + TITLE + 6, remark, REMARK, QUIET)
    for number, tile in enumerate(tiles):
        _draw(page, tile, (MARGIN + number % across * step[0], top + number // across * step[1]), size)
    return np.asarray(page.image)


def _draw(page: Canvas, tile: Tile, at: tuple[int, int], size: tuple[int, int]) -> None:
    (x, y), (width, height) = at, size
    if tile.picture is None:
        page.box(x, y, width, height, FAINT)
        page.text(x + width / 2, y + height / 2 - 8, "dead", REMARK, QUIET, align="centre")
    else:
        page.picture(x, y, tile.picture, width, height)
    page.text(x, y + height + 3, tile.left, SIZE, most=width - length(tile.right, SIZE) - 6)
    page.text(x + width, y + height + 3, tile.right, SIZE, QUIET, align="right")


def _scale(count: int, side: int) -> float:
    if count <= FEW:
        return max(1.0, LARGE / side) if side < LARGE else 1.0
    return max(1.0, SMALL / side) if count > MANY else max(1.0, 1.5 * SMALL / side)


def _columns(count: int, size: tuple[int, int]) -> int:
    """Return how many columns make a sheet about one and a half times as wide as high, with few empty places."""
    if count <= 5:
        return max(1, count)
    best = math.sqrt(1.5 * count * (size[1] + LINE) / size[0])
    near = range(max(1, round(best) - 1), min(count, round(best) + 1) + 1)
    return min(near, key=lambda columns: (-count % columns, abs(columns - best)))
