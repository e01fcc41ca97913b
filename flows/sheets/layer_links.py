"""The section of `explain`'s sheet on two layers: the groups, positions and units that drive those of the later one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from atlas.arrays import Float
from atlas.colours import BLUE, ORANGE
from flows.one_image.answers import Block, ExplainedGroups, ExplainedLayer, Explanation, Links
from flows.sheets.canvas import INK, PAPER, QUIET, Canvas, signed
from flows.sheets.image_parts import (
    GAP,
    GROUP_COLOURS,
    INNER,
    MARGIN,
    block_box,
    classes,
    fit,
    heading,
    overlay,
    question,
    unit_name,
    unit_picture,
    unit_row,
)

Numbers = NDArray[np.float64]

ICON, STEP = 72, 92
HALF = (INNER - 2 * GAP) // 2
FAINTEST = 0.12
"""Links below this fraction of the strongest are left out."""

FINE = 3
"""Supersampling of ribbons: drawn at this scale and reduced."""


def draw(page: Canvas, answer: Explanation, later: ExplainedLayer, links: Links, y: int) -> int:
    """Draw the links between the two layers from y down; return the y below."""
    first, second = answer["layer"]["name"], later["name"]
    remark = (
        "To first order, the loss there without a part here: orange strengthens, blue weakens. "
        f"Left: groups of {first} and of {second}, and what those add to {question(answer)}. Right: where in {first} the "
        f"four places of {second} that speak most for it and against it rest."
    )
    y = heading(page, y, f"From {first} to {second}", remark)
    below = max(
        _ribbons(page, answer, later, links, y), _sources(page, answer, later, links, MARGIN + HALF + 2 * GAP, y)
    )
    remark = (
        f"The units of {second} that speak most for {question(answer)}, and the units of {first} that strengthen or weaken "
        f"them most. Pictures: {later['unit_pictures_from']}."
    )
    return _drivers(
        page, answer, later, links, heading(page, below + 20, "What drives the units that speak for it", remark)
    )


def _ribbons(page: Canvas, answer: Explanation, later: ExplainedLayer, links: Links, y: int) -> int:
    """Draw the groups of both layers, joined by ribbons as wide as their effects; return the y below."""
    left, right, linked = answer["layer"], later, links["group_to_group"]
    right_x = MARGIN + HALF - 300
    for layer, x in ((left, MARGIN), (right, right_x)):
        page.text(x, y, layer["name"], 13, QUIET)
    y += 26
    rows = int(max(linked.shape))
    _group_ribbons(page, linked, (MARGIN + ICON + 10, y), (right_x - MARGIN - ICON - 20, rows * STEP))
    largest = max(float(np.abs(right["groups"]["attribution"]).max()), 1e-12)
    for layer, x in ((left, MARGIN), (right, right_x)):
        for number in range(len(layer["groups"]["maps"])):
            _icon(page, answer, layer["groups"], number, x, y + number * STEP)
    for number, value in enumerate(right["groups"]["attribution"].tolist()):
        x, top, wide = right_x + ICON + 12, y + number * STEP, 300 - ICON - 12
        page.text(x, top, signed(value), 14)
        page.bar(x + 60, top + 7, wide - 60, value / largest)
        groups = right["groups"]
        classes(page, answer, groups["classes"][number], groups["class_values"][number], x, top + 24, wide, most=2)
    return y + rows * STEP


def _icon(page: Canvas, answer: Explanation, groups: ExplainedGroups, number: int, x: float, y: float) -> None:
    """Draw the icon of a group with its colour; without icons, its map."""
    if groups["pictures"] is not None:
        page.picture(x, y, groups["pictures"][number], ICON)
    else:
        page.picture(x, y, overlay(answer["picture"], groups["maps"][number], (ICON, ICON)), ICON)
    page.box(x, y + ICON, ICON, 4, GROUP_COLOURS[number])


def _group_ribbons(page: Canvas, linked: Float, at: tuple[int, int], size: tuple[int, int]) -> None:
    """Draw ribbons between the rows of icons on both sides."""
    starts, ends = (places * STEP + ICON / 2 for places in np.indices(linked.shape))
    ribbons(page, linked.ravel().astype(np.float64), starts.ravel(), ends.ravel(), at, size)


def ribbons(
    page: Canvas,
    values: Numbers,
    starts: Numbers,
    ends: Numbers,
    at: tuple[int, int],
    size: tuple[int, int],
) -> None:
    """Draw ribbons from the left edge of a box to its right, as wide as their values, the strongest on top."""
    canvas = Image.new("RGB", (size[0] * FINE, size[1] * FINE), PAPER)
    pen = ImageDraw.Draw(canvas, "RGBA")
    shares = values / max(float(np.abs(values).max()), 1e-12)
    for number in np.argsort(np.abs(shares)).tolist():
        if abs(shares[number]) >= FAINTEST:
            start, end = float(starts[number]) * FINE, float(ends[number]) * FINE
            _ribbon(pen, start, end, size[0] * FINE, float(shares[number]))
    page.picture(*at, np.asarray(canvas), *size)


def _ribbon(pen: ImageDraw.ImageDraw, start: float, end: float, wide: float, share: float) -> None:
    """Draw one ribbon: a curve that is level at both ends."""
    along = np.linspace(0, 1, 60)
    middle = start + (end - start) * (3 * along**2 - 2 * along**3)
    half = 13 * FINE * abs(share) / 2 + FINE / 2
    edge = [(x * wide, m - half) for x, m in zip(along, middle, strict=True)]
    edge += [(x * wide, m + half) for x, m in zip(along[::-1], middle[::-1], strict=True)]
    pen.polygon(edge, fill=(*(ORANGE if share > 0 else BLUE), round(60 + 150 * abs(share))))


def _sources(page: Canvas, answer: Explanation, later: ExplainedLayer, links: Links, x: int, y: int) -> int:
    """Draw for each place of the later layer the earlier positions that it depends on; return the y below."""
    linked = links["positions"]
    size = fit(answer["picture"], (HALF - GAP) // 2)
    for number, place in enumerate(later["places"]):
        left, top = x + number % 2 * (size[0] + GAP), y + number // 2 * (size[1] + 34)
        middle = _middle(later, place, linked.shape[2:])
        page.picture(left, top, overlay(answer["picture"], linked[:, :, middle[0], middle[1]], size), *size)
        box_x, box_y, wide, high = block_box(later, place, size)
        page.box(left + box_x - 1, top + box_y - 1, wide + 2, high + 2, INK, 4)
        page.box(left + box_x, top + box_y, wide, high, PAPER, 2)
        added = float(later["attribution"]["blocks"][place["row"], place["col"]])
        page.text(left, top + size[1] + 6, f"the outlined place adds {signed(added)}", 13, QUIET, size[0])
    return y + -(-len(later["places"]) // 2) * (size[1] + 34)


def _middle(layer: ExplainedLayer, place: Block, parts: tuple[int, ...]) -> tuple[int, int]:
    """Return the part of the later grid that a block lies in."""
    grid = layer["grid"]
    return place["row"] * parts[0] // int(grid["rows"]), place["col"] * parts[1] // int(grid["cols"])


def _drivers(page: Canvas, answer: Explanation, later: ExplainedLayer, links: Links, y: int) -> int:
    """Draw the later units that speak for the class, each with its drivers; return the y below."""
    rows, wide = links["drivers"], (INNER - 3 * GAP) // 4
    speaks = later["attribution"]["units"]
    below = y
    for number, row in enumerate(rows):
        x, top = MARGIN + number * (wide + GAP), y
        unit_picture(page, later, row["unit"], row["side"], x, top, 112)
        page.text(x + 124, top + 4, unit_name(row["unit"], row["side"]), 15)
        page.text(x + 124, top + 28, f"adds {signed(float(speaks[row['unit']]))}", 13, QUIET)
        page.text(x + 124, top + 94, "driven by", 12, QUIET)
        largest = max([abs(driver["effect"]) for driver in row["drivers"]] or [1.0]) or 1.0
        top += 124
        for driver in row["drivers"]:
            effect = driver["effect"]
            unit_row(page, answer["layer"], driver["unit"], driver["side"], effect, effect / largest, x, top, wide)
            top += 50
        below = max(below, top)
    return below + 20
