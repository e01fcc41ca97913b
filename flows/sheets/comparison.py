"""The sheet of `compare`: layer by layer the old atlas, the motion, and the new atlas, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from atlas import tiles
from atlas.arrays import Byte, Float
from atlas.comparing import motion
from flows.comparing.answers import ComparedLayer, Comparison
from flows.comparing.pairs import LayerLayout
from flows.comparing.steps import Step
from flows.sheets.canvas import FAINT, INK, QUIET, Canvas, Colour, length
from storage.run import Run

WIDTH, LARGEST, SMALLEST = 2000, 560, 260
"""Width that a row of panels is fitted to, and the bounds of a panel's side, in pixels."""
MARGIN, GAP, LINE = 28, 18, 20
EMPTIED, APPEARED, CHANGED, STILL = (214, 39, 70), (34, 150, 70), (230, 130, 0), (92, 118, 156)
DOT = (170, 170, 170)
FINE = 16
"""Least side of a cell in pixels: the finest grid with cells as large is drawn."""
ARROWS, BEHIND = 24, 4
"""Arrows are thinned to one per cell of a grid with at most so many cells per side, and at least so many samples per cell."""
TWICE = 2
"""Supersampling of lines: drawn at this scale and reduced."""


def draw(answer: Comparison, steps: Sequence[Sequence[Step]]) -> Byte:
    """Draw a comparison, `h w 3`: a row of panels for each layer."""
    panels = 2 * len(steps) + 1
    side = min(LARGEST, max(SMALLEST, (WIDTH - (panels - 1) * GAP) // panels))
    across = panels * (side + GAP) - GAP + 2 * MARGIN
    height = side + 2 * LINE + GAP + 14
    layers = list(zip(*steps, strict=True))
    top = MARGIN + 34 + LINE + GAP
    page = Canvas(across, top + len(layers) * height + MARGIN - GAP)
    _heading(page, answer)
    for number, row in enumerate(layers):
        _row(page, row, [step["layers"][number] for step in answer["steps"]], top + number * height, side)
    return np.asarray(page.image)


def _heading(page: Canvas, answer: Comparison) -> None:
    """Write the title and the legend."""
    names = [f"{run['run']}@{run['version']}" for run in answer["runs"]]
    page.text(MARGIN, MARGIN - 4, "What moved:  " + "  to  ".join(names), 22)
    left, up = _legend(page, MARGIN, MARGIN + 38, "Cells:"), MARGIN + 38
    for colour, text in ((EMPTIED, "emptied"), (CHANGED, "changed in meaning"), (APPEARED, "appeared")):
        page.box(left, up + 2, 14, 14, colour, 3)
        left = _legend(page, left + 20, up, text)
    left = _legend(page, left + 24, up, "Samples, from their old position to their new one:")
    pen = ImageDraw.Draw(page.image, "RGBA")
    for colour, text in ((CHANGED, "beyond chance"), (STILL, "within chance")):
        _comet(pen, np.array([left, up + 9.0]), np.array([left + 30, up + 9.0]), colour)
        left = _legend(page, left + 38, up, text)


def _legend(page: Canvas, left: float, up: float, text: str) -> float:
    """Write a word of the legend; return the x of the next symbol."""
    page.text(left, up, text, 14, QUIET)
    return left + length(text, 14) + 18


def _row(page: Canvas, row: Sequence[Step], answers: Sequence[ComparedLayer], up: int, side: int) -> None:
    """Draw one layer: its name, then the panels, each with a caption."""
    page.text(MARGIN, up - 2, row[0].layer, 18)
    places = [row[0].pair.before, *(step.pair.after for step in row)]
    for number, laid in enumerate(places):
        left, below = MARGIN + 2 * number * (side + GAP), up + LINE + 10
        around = row[max(0, number - 1) : number + 1]
        page.image.paste(_atlas(laid, number, around, side), (left, below))
        page.text(left, below + side + 4, _caption(laid.run), 14, QUIET, side)
    for number, step in enumerate(row):
        left, below = MARGIN + (2 * number + 1) * (side + GAP), up + LINE + 10
        page.image.paste(_motion(step, side), (left, below))
        page.text(left, below + side + 4, _summary(answers[number]), 14, QUIET, side)


def _caption(run: Run) -> str:
    """Name a version, its model and its weights."""
    weights = run.version.about["config"].get("weights")
    return f"{run.name}@{run.number}:  {run.version.about['model']}" + (f", {Path(weights).name}" if weights else "")


def _summary(layer: ComparedLayer) -> str:
    if layer["same_layout"]:
        return "the same layout: nothing moved"
    moved, noise = layer["displacement"]["median"], layer["displacement"]["noise_median"]
    text = f"moved {_share(moved)} of the side" + ("" if noise is None else f", by chance {_share(noise)}")
    drift = layer["drift"]["median"]
    return text + ("" if drift is None else f"; drift {drift:.2f}")


def _share(value: float | None) -> str:
    return "?" if value is None else f"{100 * value:.1f} %"


def _atlas(laid: LayerLayout, number: int, around: Sequence[Step], side: int) -> Image.Image:
    """Draw the atlas of one run, as icons or else a dot per sample, outlining the cells that the adjacent steps changed."""
    grid = max((g for g in around[-1].grids if side // g >= FINE), default=min(around[-1].grids))
    panel = Image.new("RGB", (side, side), FAINT)
    if laid.run.has("icons", around[0].layer, grid):
        _icons(panel, laid, around[0].layer, grid)
    else:
        draw_dots(panel, laid.points, 1, INK)
    if number == 0:
        _outline(panel, around[0], grid, ("emptied", "changed"))
    else:
        _outline(panel, around[0], grid, ("appeared", "changed"))
    return panel


def _icons(panel: Image.Image, laid: LayerLayout, layer: str, grid: int) -> None:
    """Draw the icons in their cells, or, where the layout was aligned, at the mean position of their members."""
    moved = not np.array_equal(laid.points, laid.run.layout(layer))
    draw_icons(panel, laid.run, layer, grid, laid.points if moved else None)


def draw_icons(panel: Image.Image, run: Run, layer: str, grid: int, points: Float | None = None) -> None:
    """Draw the icons of a run in their cells, or at the mean of their members' `points`, `n 2`."""
    cells, side = run.cells(layer, grid), panel.width
    sizes = tiles.sides(cells.count, grid, side // grid)
    where = np.stack([cells.col + 0.5, cells.row + 0.5], axis=1) / grid
    if points is not None:
        owner = np.repeat(np.arange(len(cells.count)), cells.count)
        sums = np.zeros((len(cells.count), 2))
        np.add.at(sums, owner, points[cells.members].astype(np.float64))
        where = sums / cells.count[:, None]
    for icon, size, (x, y) in zip(cells.icon, sizes.tolist(), where.tolist(), strict=True):
        picture = Image.fromarray(icon).resize((size, size), Image.Resampling.LANCZOS)
        panel.paste(picture, (round(x * side - size / 2), round(y * side - size / 2)))


def _outline(panel: Image.Image, step: Step, grid: int, wanted: tuple[str, str]) -> None:
    from flows.comparing.cell_changes import states

    change = step.grids[grid]
    old, new = states(change)
    kinds = {"emptied": old & ~new, "appeared": new & ~old, "changed": change.changed}
    colours = {"emptied": EMPTIED, "appeared": APPEARED, "changed": CHANGED}
    pen, cell = ImageDraw.Draw(panel), panel.width / grid
    for kind in wanted:
        for number in np.flatnonzero(kinds[kind]).tolist():
            left, up = change.changes.col[number] * cell, change.changes.row[number] * cell
            box = (round(left), round(up), round(left + cell) - 1, round(up + cell) - 1)
            pen.rectangle(box, outline=colours[kind], width=2)


def _motion(step: Step, side: int) -> Image.Image:
    """Draw the old positions of the samples as dots, and comets to the new ones, the longest on top."""
    large = Image.new("RGB", (side * TWICE, side * TWICE), FAINT)
    old, new = step.pair.points
    draw_dots(large, old, 3, DOT)
    grid = max(1, min(ARROWS, math.isqrt(len(old) // BEHIND)))
    start, end, _ = motion.arrows(old, new, grid=grid, min_count=max(1, len(old) // grid**2 // BEHIND))
    noise = motion.MIN_DISPLACEMENT if step.noise is None else motion.threshold(step.noise)
    far = np.linalg.norm(end - start, axis=1)
    if not step.same_layout:
        pen = ImageDraw.Draw(large, "RGBA")
        for number in np.argsort(far).tolist():
            if far[number] >= motion.MIN_DISPLACEMENT:
                colour = CHANGED if far[number] > noise else STILL
                _comet(pen, start[number] * large.width, end[number] * large.width, colour, TWICE)
    return large.resize((side, side), Image.Resampling.LANCZOS)


def _comet(pen: ImageDraw.ImageDraw, start: np.ndarray, end: np.ndarray, colour: Colour, scale: int = 1) -> None:
    """Draw a motion: a pale tail that widens from the start, and a head at the end."""
    along = end - start
    reach = float(np.linalg.norm(along))
    head = min(6.0 * scale, 0.6 * reach)
    along = along / reach
    across = np.array([-along[1], along[0]])
    neck = end - head * along
    tail = [start, neck + 1.2 * scale * across, neck - 1.2 * scale * across]
    pen.polygon([tuple(corner.tolist()) for corner in tail], fill=(*colour, 150))
    corners = [end, neck + 0.5 * head * across, neck - 0.5 * head * across]
    pen.polygon([tuple(corner.tolist()) for corner in corners], fill=colour)


def draw_dots(panel: Image.Image, points: np.ndarray, size: int, colour: Colour) -> None:
    """Draw a square dot per point."""
    pixels = np.array(panel)
    place = np.minimum((points * panel.width).astype(int), panel.width - size)
    for dy in range(size):
        for dx in range(size):
            pixels[place[:, 1] + dy, place[:, 0] + dx] = colour
    panel.paste(Image.fromarray(pixels))
