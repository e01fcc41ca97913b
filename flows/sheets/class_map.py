"""The sheet of `map`: an atlas with the cells that speak for one class highlighted, and the strongest of them."""

from __future__ import annotations

import numpy as np

from atlas import tiles
from atlas.arrays import Byte
from atlas.colours import BLUE, ORANGE
from flows.drawing.unit_pictures import decode
from flows.questions.classes import CellOfClass, ClassMap
from flows.sheets.canvas import FAINT, LINE, PAPER, QUIET, Canvas, signed
from storage.artefacts.cells import RunCells
from storage.run import Run

WIDTH, MARGIN, GAP, MAP = 1440, 48, 36, 900
ASIDE = WIDTH - 2 * MARGIN - GAP - MAP
ICON, THUMB, ROW = 116, 56, 140
STRONGEST, MEMBERS = 6, 4
LEAST = 0.1
"""Opacity of a cell that does not speak for the class."""


def draw(run: Run, answer: ClassMap) -> Byte:
    """Draw an answer of `questions.classes.class_map`, `h w 3`."""
    page, cells = Canvas(WIDTH), run.cells(answer["layer"], answer["grid"])
    page.text(MARGIN, 40, f"Where {answer['layer']} speaks for {answer['name']}", 28, most=WIDTH - 2 * MARGIN)
    cells_of = f"{len(answer['cells'])} cells of its {answer['grid']} × {answer['grid']} atlas"
    about = f"{run.version.about['model']}, {run.name}@{run.number}: {cells_of}"
    page.text(MARGIN, 82, about, 15, QUIET, WIDTH - 2 * MARGIN)
    _map(page, cells, answer, 126)
    bottom = _strongest(page, run, cells, answer, MARGIN + MAP + GAP, 126)
    says = (
        f"The more a cell speaks for {answer['name']}, the more opaque it is: the mean over its samples of "
        "what their activation adds to the class's logit (h·∂logit/∂h). Framed: cells that speak for no other "
        "class as much. Underlined in blue: cells that speak against it, by more than half of what the strongest for it does."
    )
    return page.cut(round(max(bottom, page.lines(MARGIN, 126 + MAP + 12, says, MAP))) + 32)


def _map(page: Canvas, cells: RunCells, answer: ClassMap, top: int) -> None:
    page.box(MARGIN, top, MAP, MAP, FAINT)
    cell = MAP // answer["grid"]
    sides = tiles.sides(cells.count, answer["grid"], cell)
    places = {place: number for number, place in enumerate(zip(cells.row.tolist(), cells.col.tolist(), strict=True))}
    for row in answer["cells"]:
        number = places[row["row"], row["col"]]
        side = int(sides[number])
        x, y = (at * cell + (cell - side) / 2 for at in (row["col"], row["row"]))
        _cell(page, _icon(cells, number), row, MARGIN + x, top + y, side)


def _cell(page: Canvas, icon: Byte | None, answer: CellOfClass, x: float, y: float, side: int) -> None:
    """Draw a cell with an opacity that grows with its attribution; without an icon, a tint of orange."""
    clear = LEAST + (1 - LEAST) * float(np.clip(answer["relative"], 0, 1))
    shown = np.full((side, side, 3), ORANGE, np.float64) if icon is None else icon
    page.picture(x, y, np.round(clear * shown + (1 - clear) * np.array(FAINT)).astype(np.uint8), side)
    if answer["rank"] == 1:
        page.box(x, y, side, side, PAPER, 3)
        page.box(x, y, side, side, ORANGE, 2)
    if answer["relative"] < -0.5:
        page.box(x, y + side - 3, side, 3, BLUE)


def _icon(cells: RunCells, number: int) -> Byte | None:
    return cells.icon[number] if cells.icon.size and cells.rank[number] > 0 else None


def _strongest(page: Canvas, run: Run, cells: RunCells, answer: ClassMap, x: int, y: int) -> int:
    """Draw the cells that speak most for the class, each with some of its patches; return the y below."""
    page.text(x, y, "The cells that speak most for it", 19, most=ASIDE)
    page.text(x, y + 28, "Icon, patches of the cell, mean attribution", 13, QUIET, ASIDE)
    y += 58
    places = {place: number for number, place in enumerate(zip(cells.row.tolist(), cells.col.tolist(), strict=True))}
    ranked = sorted(answer["cells"], key=lambda cell: -cell["mean"])
    strongest = [cell for cell in ranked[:STRONGEST] if cell["mean"] > 0]
    for cell in strongest:
        icon = _icon(cells, places[cell["row"], cell["col"]])
        if icon is not None:
            page.picture(x, y, icon, ICON)
        else:
            page.box(x, y, ICON, ICON, LINE)
        for number, picture in enumerate(_members(run, answer, cell)):
            page.fitted(x + ICON + 10 + number * (THUMB + 4), y, picture, THUMB)
        side = x + ICON + 10
        page.text(side, y + THUMB + 9, f"cell {cell['row']},{cell['col']}", 13)
        page.text(x + ASIDE, y + THUMB + 9, f"{_ordinal(cell['rank'])} class there", 13, QUIET, align="right")
        page.text(x + ASIDE, y + THUMB + 28, signed(cell["mean"]), 13, QUIET, align="right")
        page.bar(side, y + THUMB + 35, ASIDE - ICON - 70, cell["relative"])
        y += ROW
    return y if strongest else round(page.lines(x, y, "No cell speaks for it.", ASIDE))


def _members(run: Run, answer: ClassMap, cell: CellOfClass) -> list[Byte]:
    if not run.has("members", answer["layer"], answer["grid"]):
        return []
    members = run.members(answer["layer"], answer["grid"], cell["row"], cell["col"])
    decoded = [decode(data) for data in members["picture"].to_pylist()[:MEMBERS]]
    return [picture for picture in decoded if picture is not None]


def _ordinal(rank: int) -> str:
    """Return a rank as an ordinal, as in 2nd."""
    ending = "th" if 10 <= rank % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{ending}"
