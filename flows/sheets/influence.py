"""The sheet of `influence`: a unit, and ribbons to the units of the next layer that it excites and inhibits."""

from __future__ import annotations

import numpy as np

from atlas.arrays import Byte
from flows.drawing.unit_pictures import of_units
from flows.questions.influence import Effect, Influence
from flows.sheets import layer_links
from flows.sheets.canvas import FAINT, QUIET, Canvas, signed
from storage.run import Run

WIDTH, MARGIN = 1440, 48
OWN, ICON, STEP = 240, 84, 108
RIBBONS, COLUMN = 300, 700
"""Width of the ribbons, and of the column of later units."""
THUMBS = 4


def draw(run: Run, answer: Influence) -> Byte:
    """Draw an answer of `questions.influence.influence`, `h w 3`."""
    page, layer, unit, later = Canvas(WIDTH), answer["layer"], answer["unit"], answer["later_layer"]
    page.text(
        MARGIN, 40, f"What unit {unit} of {layer} drives in {later or 'the next layer'}", 28, most=WIDTH - 2 * MARGIN
    )
    about = f"{run.version.about['model']}, {run.name}@{run.number}: over its {answer['patches']} strongest patches"
    page.text(MARGIN, 82, about, 15, QUIET, WIDTH - 2 * MARGIN)
    rows = answer["exciting"] + sorted(answer["inhibiting"], key=lambda row: -row["influence"])
    y, high = 130, max(OWN + 80, len(rows) * STEP)
    if not rows:
        page.text(MARGIN, y, "It drives nothing there.", 15, QUIET)
        return page.cut(y + 60)
    _own(page, of_units(run, layer, {unit})[unit], y + (high - OWN - 80) / 2)
    _ribbons(page, rows, y, high)
    shown = of_units(run, later, {row["unit"] for row in rows})
    largest = max(abs(row["influence"]) for row in rows)
    for number, row in enumerate(rows):
        _later(page, row, shown[row["unit"]], y + number * STEP, largest)
    says = (
        "A number is the mean, over the patches, of the loss in the later unit's sum over its positions without this unit "
        "(forward mode: its value times the slope); agreement is the share of the patches in which it has the same sign. "
        "Orange excites, blue inhibits; a ribbon is as wide as the influence."
    )
    return page.cut(round(page.lines(MARGIN, y + high + 8, says, WIDTH - 2 * MARGIN)) + 32)


def _own(page: Canvas, pictures: list[Byte | None], y: float) -> None:
    """Draw the unit's own picture, and its strongest patches below it."""
    for number, picture in enumerate(pictures[: THUMBS + 1]):
        side, gap = (OWN, 0) if number == 0 else ((OWN - 3 * 6) // 4, 6)
        x = MARGIN + (number - 1) * (side + gap) if number else MARGIN
        page.fitted(x, y if number == 0 else y + OWN + 10, picture, side)


def _ribbons(page: Canvas, rows: list[Effect], y: int, high: float) -> None:
    """Draw a ribbon from the unit's picture to each later unit's."""
    ends = np.arange(len(rows)) * STEP + ICON / 2
    start = (high - OWN - 80) / 2 + OWN / 2
    values = np.array([row["influence"] for row in rows], np.float64)
    layer_links.ribbons(
        page, values, np.full(len(rows), start), ends.astype(np.float64), (MARGIN + OWN + 10, y), (RIBBONS, round(high))
    )


def _later(page: Canvas, row: Effect, pictures: list[Byte | None], y: float, largest: float) -> None:
    x = MARGIN + OWN + RIBBONS + 20
    for number in range(1 + THUMBS):
        picture = pictures[number] if number < len(pictures) else None
        page.fitted(x + number * (ICON + 6), y, picture, ICON, FAINT)
    x += (1 + THUMBS) * (ICON + 6) + 14
    page.text(x, y + 6, f"unit {row['unit']}", 15)
    page.text(WIDTH - MARGIN, y + 6, signed(row["influence"]), 15, align="right")
    page.bar(x, y + 34, WIDTH - MARGIN - x, row["influence"] / largest)
    page.text(x, y + 48, f"agreement {row['agreement']:.0%}", 13, QUIET)
