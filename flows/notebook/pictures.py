"""What a notebook shows of an atlas as one picture: the map of a layer, and a cell with what is behind it."""

from __future__ import annotations

from typing import Any

import numpy as np

from atlas.arrays import Byte
from flows.sheets.canvas import QUIET, Canvas, signed
from flows.viewer.answers.open_runs import OpenVersion
from storage.artefacts import pictures
from storage.artefacts.pictures import TILE
from storage.errors import NotFound

LARGEST = 1400
"""Longest side of a map in pixels: of the levels of its pyramid, the largest that is no larger is drawn."""

WIDTH, MARGIN, ICON, PATCH, GAP = 760, 24, 224, 71, 5
ROWS = 8


def map_of(version: OpenVersion, layer: str, grid: int) -> Byte:
    """Return the map of a grid, put together from its tiles. Raises NotFound where it has none."""
    if not version.run.has("tiles", layer, grid):
        raise NotFound(f"{version.run.name} has no pictures of {layer}, grid {grid} yet: run it without --until")
    result = version.result("tiles", layer, grid)
    full = grid * (version.icon_side(layer, grid) + 1)
    last = int(np.ceil(np.log2(full)))
    level = next(level for level in range(last, -1, -1) if _side(full, last - level) <= LARGEST)
    side = _side(full, last - level)
    whole = np.zeros((side, side, 3), np.uint8)
    for y in range(0, side, TILE):
        for x in range(0, side, TILE):
            tile = pictures.read(result.file(f"atlas_files/{level}/{x // TILE}_{y // TILE}.webp"))
            whole[y : y + TILE, x : x + TILE] = tile[: side - y, : side - x]
    return whole


def _side(full: int, halvings: int) -> int:
    return int(-(-full // 2**halvings))


def cell(version: OpenVersion, answer: dict[str, Any]) -> Byte:
    """Draw what `cells.one` answered: the icon, nine real patches, the units that make it, labels or classes."""
    page, top = Canvas(WIDTH), 76
    where = tuple(answer[name] for name in ("layer", "grid", "row", "col"))
    page.text(MARGIN, MARGIN, f"Cell {answer['row']},{answer['col']} of {answer['layer']}", 22)
    told = f"grid {answer['grid']} · {answer['count']:,} samples"
    page.text(MARGIN, MARGIN + 28, told, 13, QUIET)
    page.text(WIDTH - MARGIN, MARGIN + 4, f"{version.run.name}@{version.run.number}", 13, align="right")
    if answer["icon"]:
        page.picture(MARGIN, top, _icon(version, *where), ICON)
    _members(page, version, where, top)
    _rows(page, answer, MARGIN + 2 * (ICON + MARGIN), top)
    return page.cut(top + ICON + MARGIN)


def _icon(version: OpenVersion, layer: str, grid: int, row: int, col: int) -> Byte:
    from flows.viewer.answers import cells

    number = cells.number_of(version, layer, grid, row, col)
    found: Byte = version.rows("icons", layer, grid, "pictures", np.array([number]))[0]
    return found


def _members(page: Canvas, version: OpenVersion, where: tuple[str, int, int, int], top: int) -> None:
    if not version.run.has("members", *where[:2]):
        return
    stored = version.members(*where)["picture"].to_pylist()[:9]
    for place, data in enumerate(stored):
        left, down = (PATCH + GAP) * (place % 3), (PATCH + GAP) * (place // 3)
        page.fitted(MARGIN + ICON + MARGIN + left, top + down, pictures.decode(data), PATCH)


def _rows(page: Canvas, answer: dict[str, Any], left: int, top: int) -> None:
    """Write the classes, or else the labels, and the strongest units."""
    rows = [(row["name"], signed(row["mean"] or 0.0)) for row in answer["classes"] or []]
    rows = (rows or [(row["label"], f"{100 * row['share']:.0f} %") for row in answer["labels"]])[: ROWS // 2]
    page.text(left, top, "Classes it speaks for" if answer["classes"] else "Labels of its samples", 13)
    for place, (name, value) in enumerate(rows):
        page.text(left, top + 22 + 18 * place, name.split(",")[0], 12, QUIET, most=WIDTH - MARGIN - left - 48)
        page.text(WIDTH - MARGIN, top + 22 + 18 * place, value, 12, QUIET, align="right")
    below = top + 22 + 18 * len(rows) + 14
    page.text(left, below, "Units that make it", 13)
    for place, row in enumerate(answer["units"][: ROWS // 2]):
        page.text(left, below + 22 + 18 * place, str(row["unit"]), 12, QUIET)
        page.text(WIDTH - MARGIN, below + 22 + 18 * place, signed(row["mean"] or 0.0), 12, QUIET, align="right")
