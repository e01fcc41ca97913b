"""A comparison as a picture: layer by layer the old atlas, the motion, and the new atlas, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from atlas import tiles
from atlas.arrays import Byte
from atlas.comparing import motion
from flows.comparing.pairs import LayerLayout
from flows.comparing.steps import Step
from storage.run import Run

WIDTH, LARGEST, SMALLEST = 2000, 560, 260
"""Width that a row of panels is fitted to, and the bounds of a panel's side."""
MARGIN, GAP, LINE = 28, 18, 20
GROUND, PANEL, TEXT, QUIET = (24, 24, 24), (36, 36, 36), (236, 236, 236), (170, 170, 170)
EMPTIED, APPEARED, CHANGED, STILL = (238, 102, 119), (102, 204, 120), (255, 176, 32), (120, 140, 168)
DOT = (88, 88, 88)
FINE = 16
"""Least side of a cell in pixels: of the grids whose cells are as large, the finest is drawn."""
ARROWS, BEHIND = 24, 4
"""Arrows are thinned to one per cell of a grid of at most this many cells a side, with so many samples per cell at least."""
TWICE = 2
"""Lines are drawn at this scale and reduced, so that they are smooth."""


def draw(answer: dict[str, Any], steps: Sequence[Sequence[Step]]) -> Byte:
    """Draw a comparison, `h w 3`: a row of panels for each layer."""
    panels = 2 * len(steps) + 1
    side = min(LARGEST, max(SMALLEST, (WIDTH - (panels - 1) * GAP) // panels))
    across = panels * (side + GAP) - GAP + 2 * MARGIN
    height = side + 2 * LINE + GAP + 14
    layers = list(zip(*steps, strict=True))
    top = MARGIN + 34 + LINE + GAP
    sheet = Image.new("RGB", (across, top + len(layers) * height + MARGIN - GAP), GROUND)
    _heading(sheet, answer)
    for number, row in enumerate(layers):
        _row(sheet, row, [step["layers"][number] for step in answer["steps"]], top + number * height, side)
    return np.asarray(sheet)


def _heading(sheet: Image.Image, answer: dict[str, Any]) -> None:
    write = ImageDraw.Draw(sheet, "RGBA")
    names = [f"{run['run']}@{run['version']}" for run in answer["runs"]]
    write.text((MARGIN, MARGIN), "What moved:  " + "  to  ".join(names), TEXT, _font(22))
    left, up = _say(write, MARGIN, MARGIN + 38, "Cells:"), MARGIN + 38
    for colour, text in ((EMPTIED, "emptied"), (CHANGED, "changed what they mean"), (APPEARED, "appeared")):
        write.rectangle((left, up + 1, left + 13, up + 14), outline=colour, width=3)
        left = _say(write, left + 20, up, text)
    left = _say(write, left + 24, up, "Samples, from where they lay to where they lie:")
    for colour, text in ((CHANGED, "beyond what chance alone moves"), (STILL, "within it")):
        _comet(write, np.array([left, up + 8.0]), np.array([left + 30, up + 8.0]), colour)
        left = _say(write, left + 38, up, text)


def _say(write: ImageDraw.ImageDraw, left: float, up: float, text: str) -> float:
    """Write a word of the legend and return where the next sign goes."""
    write.text((left, up), text, QUIET, _font(14))
    return left + float(_font(14).getlength(text)) + 18


def _row(sheet: Image.Image, row: Sequence[Step], said: Sequence[dict[str, Any]], up: int, side: int) -> None:
    """Draw one layer: its name with what is to be said of each step, then the panels."""
    write = ImageDraw.Draw(sheet)
    write.text((MARGIN, up), row[0].layer, TEXT, _font(18))
    places = [row[0].pair.before, *(step.pair.after for step in row)]
    for number, laid in enumerate(places):
        left, below = MARGIN + 2 * number * (side + GAP), up + LINE + 10
        around = row[max(0, number - 1) : number + 1]
        sheet.paste(_atlas(laid, number, around, side), (left, below))
        write.text((left, below + side + 4), _fitted(_caption(laid.run), side), QUIET, _font(14))
    for number, step in enumerate(row):
        left, below = MARGIN + (2 * number + 1) * (side + GAP), up + LINE + 10
        sheet.paste(_motion(step, side), (left, below))
        write.text((left, below + side + 4), _fitted(_summary(said[number]), side), QUIET, _font(14))


def _caption(run: Run) -> str:
    """Name a version and what weights it is of."""
    weights = run.version.about["config"].get("weights")
    return f"{run.name}@{run.number}:  {run.version.about['model']}" + (f", {Path(weights).name}" if weights else "")


def _summary(layer: dict[str, Any]) -> str:
    if layer["same_layout"]:
        return "the same layout: nothing moved"
    moved, noise = layer["displacement"]["median"], layer["displacement"]["noise_median"]
    told = f"moved {_share(moved)} of the side" + ("" if noise is None else f", by chance {_share(noise)}")
    drift = layer["drift"]["median"]
    return told + ("" if drift is None else f"; drift {drift:.2f}")


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _atlas(laid: LayerLayout, number: int, around: Sequence[Step], side: int) -> Image.Image:
    """Draw one run's atlas: icons where it has them, else a dot per sample; outlined what the steps beside it changed."""
    grid = max((g for g in around[-1].grids if side // g >= FINE), default=min(around[-1].grids))
    panel = Image.new("RGB", (side, side), PANEL)
    if laid.run.has("icons", around[0].layer, grid):
        _icons(panel, laid, around[0].layer, grid)
    else:
        _dots(panel, laid.points, 1, TEXT)
    if number == 0:
        _outline(panel, around[0], grid, ("emptied", "changed"))
    else:
        _outline(panel, around[0], grid, ("appeared", "changed"))
    return panel


def _icons(panel: Image.Image, laid: LayerLayout, layer: str, grid: int) -> None:
    """Draw the icons at their cells, or where the layout was brought over, at the mean place of their members."""
    cells, side = laid.run.cells(layer, grid), panel.width
    sizes = tiles.sides(cells.count, grid, side // grid)
    where = np.stack([cells.col + 0.5, cells.row + 0.5], axis=1) / grid
    if not np.array_equal(laid.points, laid.run.layout(layer)):
        owner = np.repeat(np.arange(len(cells.count)), cells.count)
        sums = np.zeros((len(cells.count), 2))
        np.add.at(sums, owner, laid.points[cells.members].astype(np.float64))
        where = sums / cells.count[:, None]
    for icon, size, (x, y) in zip(cells.icon, sizes.tolist(), where.tolist(), strict=True):
        picture = Image.fromarray(icon).resize((size, size), Image.Resampling.LANCZOS)
        panel.paste(picture, (round(x * side - size / 2), round(y * side - size / 2)))


def _outline(panel: Image.Image, step: Step, grid: int, wanted: tuple[str, str]) -> None:
    from flows.comparing.answer import states

    change = step.grids[grid]
    old, new = states(change)
    kinds = {"emptied": old & ~new, "appeared": new & ~old, "changed": change.changed}
    colours = {"emptied": EMPTIED, "appeared": APPEARED, "changed": CHANGED}
    write, cell = ImageDraw.Draw(panel), panel.width / grid
    for kind in wanted:
        for number in np.flatnonzero(kinds[kind]).tolist():
            left, up = change.changes.col[number] * cell, change.changes.row[number] * cell
            box = (round(left), round(up), round(left + cell) - 1, round(up + cell) - 1)
            write.rectangle(box, outline=colours[kind], width=2)


def _motion(step: Step, side: int) -> Image.Image:
    """Draw the samples as dots where they lay, and comets to where they went, those that went furthest on top."""
    large = Image.new("RGB", (side * TWICE, side * TWICE), PANEL)
    old, new = step.pair.points
    _dots(large, old, 3, DOT)
    grid = max(1, min(ARROWS, math.isqrt(len(old) // BEHIND)))
    start, end, _ = motion.arrows(old, new, grid=grid, least=max(1, len(old) // grid**2 // BEHIND))
    noise = motion.FINEST if step.noise is None else motion.bar(step.noise)
    far = np.linalg.norm(end - start, axis=1)
    if not step.same_layout:
        write = ImageDraw.Draw(large, "RGBA")
        for number in np.argsort(far).tolist():
            if far[number] >= motion.FINEST:
                colour = CHANGED if far[number] > noise else STILL
                _comet(write, start[number] * large.width, end[number] * large.width, colour, TWICE)
    return large.resize((side, side), Image.Resampling.LANCZOS)


def _comet(
    write: ImageDraw.ImageDraw, start: np.ndarray, end: np.ndarray, colour: tuple[int, int, int], scale: int = 1
) -> None:
    """Draw a motion: a pale tail that widens from where it began, and a head where it ended."""
    along = end - start
    length = float(np.linalg.norm(along))
    head = min(6.0 * scale, 0.6 * length)
    along = along / length
    across = np.array([-along[1], along[0]])
    neck = end - head * along
    tail = [start, neck + 1.2 * scale * across, neck - 1.2 * scale * across]
    write.polygon([tuple(corner.tolist()) for corner in tail], fill=(*colour, 150))
    corners = [end, neck + 0.5 * head * across, neck - 0.5 * head * across]
    write.polygon([tuple(corner.tolist()) for corner in corners], fill=colour)


def _dots(panel: Image.Image, points: np.ndarray, size: int, colour: tuple[int, int, int]) -> None:
    """Draw a square dot per point."""
    pixels = np.array(panel)
    place = np.minimum((points * panel.width).astype(int), panel.width - size)
    for dy in range(size):
        for dx in range(size):
            pixels[place[:, 1] + dy, place[:, 0] + dx] = colour
    panel.paste(Image.fromarray(pixels))


def _fitted(text: str, width: int) -> str:
    """Shorten a text to a width in pixels."""
    font = _font(14)
    while text and font.getlength(text) > width:
        text = text[:-2].rstrip("… ,") + "…"
    return text


def _font(size: int) -> Any:
    return ImageFont.load_default(size)
