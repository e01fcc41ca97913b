"""Draw, as one picture for a notebook, the map of a layer, or a cell with its patches, units and classes."""

from __future__ import annotations

import numpy as np

from atlas.arrays import Byte
from flows.sheets.canvas import QUIET, Canvas, signed
from flows.viewer.answers.cells import Cell
from flows.viewer.answers.open_runs import OpenVersion
from storage.artefacts import pictures
from storage.artefacts.pictures import TILE
from storage.errors import NotFound

LARGEST = 1400
"""Longest side of a map in pixels; the largest level of its pyramid within it is drawn."""

WIDTH, MARGIN, ICON, PATCH, GAP = 760, 24, 224, 71, 5
ROWS = 8


def map_of(version: OpenVersion, layer: str, grid: int) -> Byte:
    """Return the map of a grid, assembled from its tiles. Raises NotFound where it has none."""
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
            tile = pictures.read(result, f"atlas_files/{level}/{x // TILE}_{y // TILE}.webp")
            whole[y : y + TILE, x : x + TILE] = tile[: side - y, : side - x]
    return whole


def _side(full: int, halvings: int) -> int:
    return int(-(-full // 2**halvings))


def cell(version: OpenVersion, answer: Cell) -> Byte:
    """Draw the answer of `cells.one`: the icon, nine real patches, the strongest units, classes or labels."""
    canvas, top = Canvas(WIDTH), 76
    place = (answer["layer"], answer["grid"], answer["row"], answer["col"])
    canvas.text(MARGIN, MARGIN, f"Cell {answer['row']},{answer['col']} of {answer['layer']}", 22)
    canvas.text(MARGIN, MARGIN + 28, f"grid {answer['grid']} · {answer['count']:,} samples", 13, QUIET)
    canvas.text(WIDTH - MARGIN, MARGIN + 4, f"{version.run.name}@{version.run.number}", 13, align="right")
    if answer["icon"]:
        canvas.picture(MARGIN, top, _icon(version, *place), ICON)
    _members(canvas, version, place, top)
    _rows(canvas, answer, MARGIN + 2 * (ICON + MARGIN), top)
    return canvas.cut(top + ICON + MARGIN)


def _icon(version: OpenVersion, layer: str, grid: int, row: int, col: int) -> Byte:
    from flows.viewer.answers import cells

    number = cells.number_of(version, layer, grid, row, col)
    return np.asarray(version.rows("icons", layer, grid, "pictures", np.array([number]))[0])


def _members(canvas: Canvas, version: OpenVersion, place: tuple[str, int, int, int], top: int) -> None:
    if not version.run.has("members", *place[:2]):
        return
    stored = version.members(*place)["picture"].to_pylist()[:9]
    for number, data in enumerate(stored):
        left, down = (PATCH + GAP) * (number % 3), (PATCH + GAP) * (number // 3)
        canvas.fitted(MARGIN + ICON + MARGIN + left, top + down, pictures.decode(data), PATCH)


def _rows(canvas: Canvas, answer: Cell, left: int, top: int) -> None:
    """Write the classes, or else the labels, and the strongest units."""
    rows = [(row["name"], signed(row["mean"] or 0.0)) for row in answer["classes"] or []]
    rows = (rows or [(row["label"], f"{100 * row['share']:.0f} %") for row in answer["labels"]])[: ROWS // 2]
    canvas.text(left, top, "Classes it speaks for" if answer["classes"] else "Labels of its samples", 13)
    for line, (name, value) in enumerate(rows):
        canvas.text(left, top + 22 + 18 * line, name.split(",")[0], 12, QUIET, most=WIDTH - MARGIN - left - 48)
        canvas.text(WIDTH - MARGIN, top + 22 + 18 * line, value, 12, QUIET, align="right")
    below = top + 22 + 18 * len(rows) + 14
    canvas.text(left, below, "Units that make it", 13)
    for line, unit in enumerate(answer["units"][: ROWS // 2]):
        canvas.text(left, below + 22 + 18 * line, str(unit["unit"]), 12, QUIET)
        canvas.text(WIDTH - MARGIN, below + 22 + 18 * line, signed(unit["mean"] or 0.0), 12, QUIET, align="right")
