"""The sheet of `top`: the strongest patches of a unit in their images, outlined and enlarged."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from atlas.arrays import Byte
from atlas.colours import ORANGE
from flows.questions.patches import Patch, TopPatches
from flows.sheets.canvas import FAINT, NO_GRADIENT, PAPER, QUIET, Canvas
from storage.run import Run

SIDE, PATCH, BETWEEN = 224, 110, 4
"""Longer side of an image, side of an enlarged patch, and the space between the two."""
MARGIN, GAP, COLUMNS, FEWEST = 32, 24, 4, 2
"""Patches in a row, and the fewest that the width of a sheet is made for."""
ACROSS, DOWN = SIDE + BETWEEN + PATCH + GAP, SIDE + 48

Images = Sequence[Image.Image | None]


def draw(run: Run, answer: TopPatches, images: Images, gradients: Sequence[Byte | None] | None = None) -> Byte:
    """Draw an answer of `patches.top`, `h w 3`: each image with its focus outlined, the patch beside it.

    `images` are the source images of the patches, None for a missing one; `gradients` go below the patches.
    """
    patches = answer["patches"]
    columns = max(1, min(COLUMNS, len(patches)))
    inner = max(columns, FEWEST) * ACROSS - GAP
    page = Canvas(inner + 2 * MARGIN)
    side = "strongest" if answer["sign"] == "positive" else "most negative"
    title = f"Unit {answer['unit']} of {answer['layer']}: its {side} patches in {run.name}@{run.number}"
    title += f" where {answer['where']}" if "where" in answer else ""
    page.text(MARGIN, 26, title, 24, most=inner)
    top = round(page.lines(MARGIN, 62, " · ".join(_remarks(answer, gradients is not None)), inner, 14)) + 14
    stored = [] if "where" in answer else run.thumbnails(answer["layer"], answer["unit"], answer["sign"])
    for place, (patch, image) in enumerate(zip(patches, images, strict=True)):
        x, y = MARGIN + place % columns * ACROSS, top + place // columns * DOWN
        _image(page, patch, image, bool(stored), x, y)
        page.fitted(x + SIDE + BETWEEN, y, _patch(patch, image, stored[place : place + 1]), PATCH)
        if gradients is not None:
            _gradient(page, gradients[place], x + SIDE + BETWEEN, y + PATCH + BETWEEN)
    return page.cut(top + max(1, -(-len(patches) // columns)) * DOWN + 8)


def _remarks(answer: TopPatches, gradients: bool) -> Iterator[str]:
    yield "outlined: the part of the image that the unit sees, enlarged beside it"
    if gradients:
        direction = "up" if answer["sign"] == "positive" else "down"
        yield f"below that, what drives the unit {direction} ({answer['method']}; grey: nothing)"
    if answer["note"]:
        yield answer["note"]


def _image(page: Canvas, patch: Patch, image: Image.Image | None, stored: bool, x: int, y: int) -> None:
    """Draw the image with the patch outlined, and value and label below it."""
    if image is None:
        page.box(x, y, SIDE, SIDE, FAINT)
        words = "The image is missing; the patch was stored." if stored else "The image is missing."
        page.lines(x + 16, y + SIDE / 2 - 18, words, SIDE - 32)
    else:
        scale = SIDE / max(image.size)
        page.picture(x, y, _pixels(image), image.width * scale, image.height * scale)
        left, top, right, bottom = (edge * scale for edge in _focus(patch))
        wide, high = max(2.0, right - left), max(2.0, bottom - top)
        page.box(x + left, y + top, wide, high, PAPER, 3)
        page.box(x + left, y + top, wide, high, ORANGE, 2)
    page.text(x, y + SIDE + 6, f"{patch['value']:.3f}", 13)
    label = patch["label"] or Path(patch["path"]).name
    page.text(x + 66, y + SIDE + 6, label, 13, QUIET, SIDE + BETWEEN + PATCH - 66)


def _focus(patch: Patch) -> tuple[int, int, int, int]:
    focus = patch["focus"]
    return focus["left"], focus["top"], focus["right"], focus["bottom"]


def _patch(patch: Patch, image: Image.Image | None, stored: Sequence[bytes]) -> Byte | None:
    """Crop the patch from its image, or decode the stored one; None where neither is there."""
    if image is not None:
        return _pixels(image.crop(_focus(patch)))
    return _pixels(Image.open(io.BytesIO(stored[0]))) if stored and stored[0] else None


def _gradient(page: Canvas, gradient: Byte | None, x: int, y: int) -> None:
    page.fitted(x, y, gradient, PATCH, NO_GRADIENT)
    if gradient is None:
        page.lines(x + 10, y + PATCH / 2 - 26, "No gradient: the image is missing.", PATCH - 16, 12)


def _pixels(image: Image.Image) -> Byte:
    return np.asarray(image.convert("RGB"))
