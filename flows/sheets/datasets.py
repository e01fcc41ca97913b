"""The sheet of two datasets: layer by layer the reference's map, where the other is denser or thinner, and the images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from atlas.arrays import Byte, Float
from flows.comparing.datasets.answer_types import CellDensity, DatasetComparison, DatasetLayer
from flows.comparing.datasets.measure import LayerDifference
from flows.sheets.canvas import FAINT, INK, LINE, QUIET, Canvas, Colour, length
from flows.sheets.comparison import APPEARED, EMPTIED, FINE, draw_dots, draw_icons

SIDE, TILE, ACROSS = 420, 78, 12
"""Side of a map, side of an image, and the most images in a row, in pixels."""
MARGIN, GAP, STRIPS = 28, 18, 4
"""Rows of images beside the maps: three of cells, one of images unlike the reference."""
STRIP = SIDE // STRIPS
DENSER, THINNER = (230, 130, 0), (40, 110, 190)
STRONGEST = 3.0
"""Factors of two at which a cell has the full colour."""

Pictures = Mapping[tuple[int, int], Image.Image | None]
"""Images by the number of their dataset, 0 or 1, and their id; None for one that is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """A row of images: a title, the number of their dataset, and their ids."""

    title: str
    side: int
    ids: list[int]


def wanted(answer: DatasetComparison, layers: Sequence[LayerDifference]) -> list[tuple[int, int]]:
    """Return the images that the sheet shows: the number of the dataset, and the id."""
    both = zip(answer["layers"], layers, strict=True)
    shown = [
        (strip.side, image) for facts, layer in both for strip in _strips(facts, _grid(layer)) for image in strip.ids
    ]
    return sorted(set(shown))


def draw(answer: DatasetComparison, layers: Sequence[LayerDifference], pictures: Pictures) -> Byte:
    """Draw a comparison of two datasets, `h w 3`: a row for each layer."""
    wide = 2 * (SIDE + GAP) + ACROSS * (TILE + 6) + 2 * MARGIN
    height, top = SIDE + 64, MARGIN + 78
    page = Canvas(wide, top + len(layers) * height + MARGIN - GAP)
    _heading(page, answer)
    for number, (facts, layer) in enumerate(zip(answer["layers"], layers, strict=True)):
        _row(page, facts, layer, top + number * height, pictures)
    return np.asarray(page.image)


def _heading(page: Canvas, answer: DatasetComparison) -> None:
    a, b = (f"{one['run']}@{one['version']} ({one['images']:,} images)" for one in answer["datasets"])
    page.text(MARGIN, MARGIN - 4, f"Two datasets:  {a}  and  {b}", 22)
    left, up = float(MARGIN), MARGIN + 36
    for colour, line, text in (
        (DENSER, 0, "the second is denser"),
        (THINNER, 0, "thinner"),
        (LINE, 0, "within chance"),
        (APPEARED, 3, "only the second has the cell"),
        (EMPTIED, 3, "only the first"),
    ):
        page.box(left, up + 2, 14, 14, colour, line)
        page.text(left + 20, up, text, 14, QUIET)
        left += length(text, 14) + 44


def _row(page: Canvas, facts: DatasetLayer, layer: LayerDifference, up: int, pictures: Pictures) -> None:
    """Draw a layer: its name, the map, the densities, and the images."""
    page.text(MARGIN, up - 2, facts["layer"], 18)
    words = f"p = {facts['p']:.2g};  largest shift of a unit beyond chance {facts['shift']:.2f}"
    page.text(MARGIN + length(facts["layer"], 18) + 16, up + 2, words, 14, QUIET)
    grid, below = _grid(layer), up + 28
    page.image.paste(_map(layer, grid), (MARGIN, below))
    page.image.paste(_densities(facts, layer.measured.sides[1].placed.points, grid), (MARGIN + SIDE + GAP, below))
    left = MARGIN + 2 * (SIDE + GAP)
    for number, strip in enumerate(_strips(facts, grid)):
        y = below + number * STRIP
        page.text(left, y - 2, strip.title, 13, most=ACROSS * (TILE + 6))
        for place, image in enumerate(strip.ids):
            picture = pictures.get((strip.side, image))
            page.fitted(left + place * (TILE + 6), y + 18, None if picture is None else _pixels(picture), TILE)


def _pixels(picture: Image.Image) -> Byte:
    return np.asarray(picture.convert("RGB"))


def _grid(layer: LayerDifference) -> int:
    """Return the finest grid whose cells can be told apart, 0 where there is none."""
    return max(
        (grid for grid in layer.measured.grids if SIDE // grid >= FINE), default=min(layer.measured.grids, default=0)
    )


def _strips(facts: DatasetLayer, grid: int) -> list[Strip]:
    """Return the rows of images: of the cells that differ most, and of images unlike the first dataset."""
    cells = facts["cells"][str(grid)]["cells"] if grid else []
    strips = [_of_cell(cell) for cell in _first_of_each(cells)]
    unlike = facts["unlike"]
    if unlike["images"]:
        title = (
            f"farthest from the first: {unlike['shares'][1]:.1%} of the samples, by chance {unlike['shares'][0]:.1%}"
        )
        strips.append(Strip(title=title, side=1, ids=[image["image_id"] for image in unlike["images"]][:ACROSS]))
    return strips


def _first_of_each(cells: Sequence[CellDensity]) -> Iterator[CellDensity]:
    """Yield up to three cells: the first of each state, then the next ones."""
    differing = [cell for cell in cells if cell["state"] != "even"]
    names = [cell["state"] for cell in differing]
    first = [names.index(name) for name in dict.fromkeys(names)]
    rest = [number for number in range(len(names)) if number not in first]
    for number in [*first, *rest][: STRIPS - 1]:
        yield differing[number]


def _of_cell(cell: CellDensity) -> Strip:
    side = 0 if cell["state"] in ("thinner", "emptied") else 1
    ratio = cell["ratio"]
    words = {
        "appeared": "only the second has",
        "emptied": "only the first has",
        "denser": "denser in the second:",
        "thinner": "thinner in the second:",
    }
    factor = "" if ratio is None or cell["state"] in ("appeared", "emptied") else f", {ratio:.2g} times the share"
    title = f"{words[cell['state']]} cell {cell['row']},{cell['col']}{factor}: {cell['makers']:,} images"
    return Strip(title=title, side=side, ids=[image["image_id"] for image in cell["images"]][:ACROSS])


def _map(layer: LayerDifference, grid: int) -> Image.Image:
    """Draw the first dataset's atlas, as icons or else a dot per sample."""
    panel, run = Image.new("RGB", (SIDE, SIDE), FAINT), layer.runs[0]
    if grid and run.has("icons", layer.layer, grid):
        draw_icons(panel, run, layer.layer, grid)
    else:
        draw_dots(panel, layer.measured.sides[0].placed.points, 1, INK)
    return panel


def _densities(facts: DatasetLayer, points: Float, grid: int) -> Image.Image:
    """Draw the cells, coloured by their ratio where it is beyond chance, and the second dataset's samples as dots."""
    page = Canvas(SIDE, SIDE)
    page.box(0, 0, SIDE, SIDE, FAINT)
    cells = facts["cells"][str(grid)]["cells"] if grid else []
    size = SIDE / grid if grid else 0.0
    for cell in cells:
        page.box(cell["col"] * size, cell["row"] * size, size - 1, size - 1, _colour(cell))
    draw_dots(page.image, points, 1, QUIET if cells else INK)
    for cell in cells:
        if cell["state"] in ("appeared", "emptied"):
            colour = APPEARED if cell["state"] == "appeared" else EMPTIED
            page.box(cell["col"] * size, cell["row"] * size, size, size, colour, 2)
    return page.image


def _colour(cell: CellDensity) -> Colour:
    if cell["state"] == "even":
        return LINE
    a, b = cell["shares"]
    strength = 1.0 if min(a, b) <= 0 else min(1.0, 0.3 + 0.7 * abs(math.log2(b / a)) / STRONGEST)
    full = DENSER if b > a else THINNER
    red, green, blue = (round(255 + strength * (part - 255)) for part in full)
    return red, green, blue
