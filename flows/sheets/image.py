"""The sheet of `explain`: the image, a layer's view of it, the attribution to a class, groups, places, units."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from atlas.arrays import Byte
from flows.one_image.answers import Block, ExplainedGrid, ExplainedGroups, ExplainedLayer, Explanation
from flows.sheets import layer_links
from flows.sheets.canvas import FAINT, INK, PAPER, QUIET, Canvas, signed
from flows.sheets.image_parts import (
    GAP,
    GROUP_COLOURS,
    INNER,
    LETTERS,
    MARGIN,
    PANEL,
    WIDTH,
    Size,
    block_box,
    classes,
    crop,
    fit,
    guesses,
    heading,
    overlay,
    part_of,
    question,
    tinted,
    unit_name,
    unit_picture,
    unit_row,
)


def draw(answer: Explanation) -> Byte:
    """Draw an answer of `one_image.explain.explain`, `h w 3`."""
    page, layer = Canvas(WIDTH), answer["layer"]
    y = _head(page, answer)
    y = _panels(page, answer, y)
    y = _groups(page, answer, layer, y)
    y = _places(page, answer, layer, y)
    y = _units(page, answer, layer, y)
    if answer["later"] is not None and answer["between"] is not None:
        y = layer_links.draw(page, answer, answer["later"], answer["between"], y)
    return page.cut(_foot(page, answer, y))


def _head(page: Canvas, answer: Explanation) -> int:
    layer = answer["layer"]
    image = Path(answer["image"]).name
    named = f"image {image} of {answer['run']}" if image.isdigit() and answer["run"] else image
    page.text(MARGIN, 40, f"What {layer['name']} sees in {named}", 28, most=INNER)
    size = f"{layer['units']} units at {layer['height']} × {layer['width']} positions"
    page.text(MARGIN, 82, f"{answer['model']}: {size}. The model takes it for {guesses(answer)}.", 15, QUIET, INNER)
    return 126


def _panels(page: Canvas, answer: Explanation, y: int) -> int:
    """Draw the image with its places marked, the attribution by position, and beside them the grid of icons."""
    layer, picture = answer["layer"], answer["picture"]
    small = fit(picture, PANEL)
    page.picture(MARGIN, y, picture, *small)
    for letter, place in zip(LETTERS, layer["places"], strict=False):
        _mark(page, MARGIN, y, block_box(layer, place, small), letter)
    page.text(
        MARGIN, y + small[1] + 8, "The image as the model takes it; A to D are described below.", 13, QUIET, PANEL
    )
    second, right = y + small[1] + 38, MARGIN + PANEL + GAP
    page.picture(MARGIN, second, overlay(picture, layer["attribution"]["positions"], small), *small)
    large = fit(picture, 2 * PANEL + 38)
    _icon_grid(page, right, y, layer["grid"], large)
    total, score = signed(layer["attribution"]["total"]), signed(answer["target"]["score"])
    adds = f"What each position adds to {question(answer)}: orange for it, blue against; in all {total}. The score is {score}."
    shows = (
        f"Each position's activation as a picture, its area as the activation's length; {_icons_are(layer['grid'])}."
    )
    below = page.lines(MARGIN, second + small[1] + 8, adds, PANEL)
    return round(max(below, page.lines(right, y + large[1] + 8, shows, large[0]))) + 22


def _icons_are(grid: ExplainedGrid) -> str:
    if grid["cosine"] is None:
        return "without icons"
    return f"{grid['icons_from']} (likeness {float(np.median(grid['cosine'])):.2f})"


def _mark(page: Canvas, left: float, top: float, box: tuple[float, float, float, float], letter: str) -> None:
    x, y, wide, high = box
    page.box(left + x - 1, top + y - 1, wide + 2, high + 2, INK, 4)
    page.box(left + x, top + y, wide, high, PAPER, 2)
    offset = 0.0 if wide >= 40 else wide + 1 if x < 18 else -18.0  # a letter would hide a small place
    page.box(left + x + offset, top + y, 17, 18, PAPER)
    page.text(left + x + offset + 8, top + y + 2, letter, 14, align="centre")


def _icon_grid(page: Canvas, left: float, top: float, grid: ExplainedGrid, size: Size) -> None:
    page.box(left, top, *size, FAINT)
    if grid["pictures"] is None:
        return
    for row, col in np.ndindex(grid["rows"], grid["cols"]):
        place: Block = {"row": row, "col": col}
        x, y, wide, high = block_box({"grid": grid}, place, size)
        side = float(grid["side"][row, col]) * (min(wide, high) - 1)
        if side >= 1:
            page.picture(left + x + (wide - side) / 2, top + y + (high - side) / 2, grid["pictures"][row, col], side)


def _groups(page: Canvas, answer: Explanation, layer: ExplainedLayer, y: int) -> int:
    groups = layer["groups"]
    count = len(groups["maps"])
    wide = (INNER - (max(count, 6) - 1) * 18) // max(count, 6)
    remark = (
        f"The activation as a sum of {count} patterns, largest first ({groups['explained']:.0%} of it is explained). Each is "
        f"a map over the image, and a mix of units with an icon; bars: what it adds to {question(answer)}."
    )
    y = heading(page, y, "Groups of units that act together", remark)
    largest = max(float(np.abs(groups["attribution"]).max()), 1e-12)
    bottom = [
        _group(page, answer, groups, number, MARGIN + number * (wide + 18), y, wide, largest) for number in range(count)
    ]
    return round(max(bottom)) + 20


def _group(
    page: Canvas,
    answer: Explanation,
    groups: ExplainedGroups,
    number: int,
    x: float,
    y: float,
    wide: int,
    largest: float,
) -> float:
    colour = GROUP_COLOURS[number]
    size = fit(answer["picture"], wide)
    page.picture(x, y, tinted(answer["picture"], groups["maps"][number], colour, size), *size)
    page.box(x, y + size[1], wide, 4, colour)
    y += size[1] + 12
    icon = 84
    if groups["pictures"] is not None:
        page.picture(x, y, groups["pictures"][number], icon)
    side, value = x + icon + 10, float(groups["attribution"][number])
    page.text(side, y, f"{max(0.0, float(groups['share'][number])):.0%}", 20)
    page.text(side, y + 24, "of the activation", 12, QUIET, wide - icon - 10)
    page.text(side, y + 48, signed(value), 14)
    page.bar(side, y + 70, wide - icon - 10, value / largest)
    page.text(x, y + icon + 8, "adds most to", 12, QUIET)
    return classes(page, answer, groups["classes"][number], groups["class_values"][number], x, y + icon + 25, wide)


def _places(page: Canvas, answer: Explanation, layer: ExplainedLayer, y: int) -> int:
    if not layer["places"]:
        return y
    remark = (
        f"Those that speak most for {question(answer)}, and against it: what is there, its icon, its strongest units with "
        f"their activation ({layer['unit_pictures_from']}), and the classes it adds most to."
    )
    y = heading(page, y, "Four places", remark)
    wide = (INNER - 3 * GAP) // 4
    bottom = [
        _place(page, answer, layer, place, LETTERS[number], MARGIN + number * (wide + GAP), y, wide)
        for number, place in enumerate(layer["places"])
    ]
    return round(max(bottom)) + 20


def _place(
    page: Canvas,
    answer: Explanation,
    layer: ExplainedLayer,
    place: Block,
    letter: str,
    x: float,
    y: float,
    wide: int,
) -> float:
    grid, side = layer["grid"], (wide - 34) // 2
    page.text(x, y, letter, 20)
    page.picture(x + 26, y, crop(answer["picture"], layer, place), side)
    if grid["pictures"] is not None:
        page.picture(x + 26 + side + 8, y, grid["pictures"][place["row"], place["col"]], side)
    added = float(layer["attribution"]["blocks"][place["row"], place["col"]])
    y += side + 10
    to = f" to {question(answer)}" if answer["versus"] is None else ""
    page.text(x + 26, y, f"adds {signed(added)}{to}", 13, most=wide - 26)
    y += 26
    units, values = grid["units"][place["row"], place["col"]], grid["values"][place["row"], place["col"]]
    largest = max(float(np.abs(values).max()), 1e-12)
    for unit, value in zip(units.tolist(), values.tolist(), strict=True):
        unit_row(
            page, layer, unit, "negative" if value < 0 else "positive", value, value / largest, x + 26, y, wide - 26
        )
        y += 48
    page.text(x + 26, y + 2, "adds most to", 12, QUIET)
    row, col = part_of(layer, place)
    parts = layer["parts"]
    return classes(page, answer, parts["classes"][row, col], parts["class_values"][row, col], x + 26, y + 19, wide - 26)


def _units(page: Canvas, answer: Explanation, layer: ExplainedLayer, y: int) -> int:
    attribution = layer["attribution"]
    remark = (
        f"What each unit adds to the score over all positions. Pictures: {layer['unit_pictures_from']}; of a unit that is "
        "below 0 here, marked (−), that of its negative side."
    )
    y = heading(page, y, f"Units that speak for and against {question(answer)}", remark)
    rows = [*attribution["for"], *reversed(attribution["against"])]
    wide = (INNER - 9 * 12) // 10
    largest = max([abs(row["attribution"]) for row in rows] or [1.0]) or 1.0
    for number, row in enumerate(rows):
        x = MARGIN + number * (wide + 12)
        unit_picture(page, layer, row["unit"], row["side"], x, y, wide)
        page.text(x, y + wide + 6, unit_name(row["unit"], row["side"]), 13, most=wide - 40)
        page.text(x + wide, y + wide + 6, signed(row["attribution"]), 13, QUIET, align="right")
        page.bar(x, y + wide + 28, wide, row["attribution"] / largest)
    return y + wide + 56


def _foot(page: Canvas, answer: Explanation, y: int) -> int:
    notes = [note for layer in (answer["layer"], answer["later"]) if layer is not None for note in layer["notes"]]
    for note in notes:
        y = round(page.lines(MARGIN, y, f"Note: {note}.", INNER, 14, INK)) + 4
    return y + 28
