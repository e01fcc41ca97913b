"""Parts shared by the sheets of `explain`: overlays, places, units, classes, and the layout constants."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from typing_extensions import TypedDict

from atlas import colours
from atlas.arrays import Byte, Float, Int
from atlas.colours import BLUE, ORANGE
from flows.one_image.answers import Block, ExplainedGrid, ExplainedLayer, Explanation, Saliency
from flows.sheets.canvas import FAINT, QUIET, Canvas, Colour, signed

WIDTH, MARGIN, GAP = 1440, 48, 24
INNER = WIDTH - 2 * MARGIN
PANEL = (INNER - GAP - 38) // 3
LETTERS = "ABCD"
GROUP_COLOURS: tuple[Colour, ...] = (
    (27, 158, 119), (117, 112, 179), (231, 41, 138), (230, 171, 2), (30, 136, 190), (102, 166, 30), (166, 86, 40), (110, 110, 110),
)  # fmt: skip
"""ColorBrewer's Dark2 without its orange, which here means a contribution for a class."""


def guesses(answer: Explanation | Saliency) -> str:
    """Name the model's first choices, with their probabilities if it gives any."""
    named = [(choice["name"] or str(choice["index"]), choice["probability"]) for choice in answer["choices"][:3]]
    return ", ".join(name if share is None else f"{name} {share:.0%}" for name, share in named)


def question(answer: Explanation) -> str:
    """Name the class, or the two classes, whose score is attributed."""
    target = answer["target"]["name"] or f"class {answer['target']['index']}"
    versus = answer["versus"]
    return target if versus is None else f"{target} rather than {versus['name'] or versus['index']}"


def heading(page: Canvas, y: float, title: str, remark: str = "") -> int:
    """Write the heading of a section, with a remark below it; return the y below."""
    page.rule(MARGIN, y, INNER)
    page.text(MARGIN, y + 14, title, 19, most=INNER)
    below = page.lines(MARGIN, y + 44, remark, INNER) if remark else y + 38
    return round(below) + 12


Size = tuple[int, int]
"""Width and height in pixels."""


def fit(picture: Byte, wide: int) -> Size:
    """Return the size of a picture scaled to a width."""
    return wide, max(1, round(wide * picture.shape[0] / picture.shape[1]))


class Gridded(TypedDict):
    """A layer, of which only the grid matters."""

    grid: ExplainedGrid


def block_box(layer: Gridded, place: Block, size: Size) -> tuple[float, float, float, float]:
    """Return left, top, width and height of a block, in pixels of a picture of a size."""
    grid = layer["grid"]
    lefts, tops = (
        np.asarray(starts) * side / starts[-1] for starts, side in zip((grid["left"], grid["top"]), size, strict=True)
    )
    row, col = place["row"], place["col"]
    return lefts[col], tops[row], lefts[col + 1] - lefts[col], tops[row + 1] - tops[row]


def overlay(picture: Byte, map: Float, size: Size) -> Byte:
    """Overlay a signed map on the faded picture, both resized."""
    shown = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    strength = Image.fromarray(colours.scaled(map)).resize(size, Image.Resampling.BICUBIC)
    laid: Byte = colours.overlay(shown, np.clip(np.asarray(strength), -1, 1))
    return laid


def tinted(picture: Byte, map: Float, colour: Colour, size: Size) -> Byte:
    """Show the picture, with a tint of colour, where a map is strong, and fade it to pale grey elsewhere."""
    shown = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC), dtype=np.float64)
    strength = np.asarray(map, dtype=np.float32) / max(float(np.percentile(map, 99)), 1e-12)
    large = Image.fromarray(strength).resize(size, Image.Resampling.BICUBIC)
    share = np.clip(np.asarray(large), 0, 1)[..., None]
    grey = (shown @ np.array([0.299, 0.587, 0.114]))[..., None]
    pale = 0.22 * grey + 0.78 * 250
    clear = 0.8 * shown + 0.2 * np.array(colour)
    return np.asarray(np.round(pale * (1 - share) + clear * share).clip(0, 255), dtype=np.uint8)


def crop(picture: Byte, layer: Gridded, place: Block) -> Byte:
    """Crop a square around a block, three times as wide as the block and at least a fifth of the image."""
    high, wide = picture.shape[:2]
    left, top, across, down = block_box(layer, place, (wide, high))
    half = min(max(3 * max(across, down), max(wide, high) / 5), wide, high) / 2
    x = float(np.clip(left + across / 2, half, wide - half))
    y = float(np.clip(top + down / 2, half, high - half))
    box = (x - half, y - half, x + half, y + half)
    return np.asarray(Image.fromarray(picture).resize((200, 200), Image.Resampling.BICUBIC, box=box))


def classes(
    page: Canvas, answer: Explanation, classes: Any, values: Any, x: float, y: float, wide: float, most: int = 3
) -> float:
    """List the top classes with a positive contribution, and the contribution; return the y below."""
    for index, value in list(zip(classes, values, strict=True))[:most]:
        if value > 0:
            page.text(x, y, answer["class_names"].get(int(index)) or str(index), 13, most=wide - 44)
            page.text(x + wide, y, signed(float(value)), 13, QUIET, align="right")
            y += 18
    return y


def part_of(layer: ExplainedLayer, place: Block) -> tuple[int, int]:
    """Return row and column of the part, a coarser division of the grid, that a block lies in."""
    grid, parts = layer["grid"], layer["parts"]
    row = _part(grid["top"], place["row"], parts["top"])
    return row, _part(grid["left"], place["col"], parts["left"])


def _part(blocks: Int, block: int, parts: Int) -> int:
    """Return the part that the middle of a block lies in, all by their first positions."""
    middle = (blocks[block] + blocks[block + 1] - 1) // 2
    return int(np.searchsorted(parts, middle, "right")) - 1


def unit_name(unit: int, side: str) -> str:
    return f"unit {unit}" if side == "positive" else f"unit {unit} (−)"


def unit_picture(page: Canvas, layer: ExplainedLayer, unit: int, side: str, x: float, y: float, size: int) -> None:
    """Draw the picture of a unit's side, or a blank box."""
    if (picture := layer["unit_pictures"].get((unit, side))) is not None:
        page.picture(x, y, picture, size)
    else:
        page.box(x, y, size, size, FAINT)


def unit_row(
    page: Canvas,
    layer: ExplainedLayer,
    unit: int,
    side: str,
    value: float,
    share: float,
    x: float,
    y: float,
    wide: float,
) -> None:
    """Draw a unit's picture, its number, and a value with a bar."""
    unit_picture(page, layer, unit, side, x, y, 42)
    page.text(x + 52, y + 4, unit_name(unit, side), 13)
    page.text(x + wide, y + 4, signed(value), 13, QUIET, align="right")
    page.box(x + 52, y + 26, wide - 52, 5, FAINT)
    page.box(x + 52, y + 26, (wide - 52) * min(abs(share), 1.0), 5, ORANGE if share > 0 else BLUE)
