"""The sheet of `audit`: each suspect with the patches that it fires on, and what it does to the class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

from atlas.arrays import Byte
from atlas.colours import ORANGE
from flows.audit import sentences
from flows.audit.answers import Audit, AuditPatch, Candidate
from flows.sheets.canvas import FAINT, PAPER, QUIET, Canvas
from storage.run import Run

SIDE, GAP, MARGIN, COLUMNS = 150, 8, 32, 6
INNER = COLUMNS * (SIDE + GAP) - GAP
ROW, MOST = 2 * (SIDE + GAP) + 90, 12
"""Height of a suspect, and how many are drawn."""


def draw(run: Run, answer: Audit, images: Iterable[Image.Image | None]) -> Byte:
    """Draw an audit, `h w 3`: for each suspect the images in which it is strongest, its patch below each.

    `images` are the source images of `drawn_patches`, None for a missing one.
    """
    given = iter(images)
    page = Canvas(INNER + 2 * MARGIN)
    suspects = answer["suspects"][:MOST]
    title = f"Audit of {answer['name']} in {run.name}@{run.number}: {len(answer['suspects'])} suspects"
    page.text(MARGIN, 26, title, 24, most=INNER)
    y = page.lines(MARGIN, 62, f"{sentences.of_images(answer)}; {sentences.of_tests(answer)}", INNER, 14) + 16
    for row in suspects:
        y = _suspect(page, row, given, y)
    if len(answer["suspects"]) > MOST:
        y = page.lines(MARGIN, y, f"{len(answer['suspects']) - MOST} more are in the table", INNER, 14)
    return page.cut(round(y) + 16)


def drawn_patches(answer: Audit) -> list[AuditPatch]:
    """Return the patches on the sheet, in its order."""
    return [patch for row in answer["suspects"][:MOST] for patch in row["patches"]]


def _suspect(page: Canvas, row: Candidate, images: Iterator[Image.Image | None], y: float) -> float:
    page.rule(MARGIN, y, INNER)
    page.text(MARGIN, y + 10, f"{row['rank']}. {row['name']}", 18, most=INNER)
    y = page.lines(MARGIN, y + 36, sentences.of_suspect(row), INNER, 13, QUIET) + 6
    if not row["patches"]:
        return y
    for number, patch in enumerate(row["patches"]):
        image, x = next(images), MARGIN + number * (SIDE + GAP)
        _image(page, patch, image, x, y)
        page.fitted(x, y + SIDE + GAP, None if image is None else _pixels(image.crop(_focus(patch))), SIDE)
    return y + 2 * (SIDE + GAP) + 14


def _image(page: Canvas, patch: AuditPatch, image: Image.Image | None, x: float, y: float) -> None:
    if image is None:
        page.box(x, y, SIDE, SIDE, FAINT)
        page.lines(x + 12, y + SIDE / 2 - 18, "The image is missing.", SIDE - 24)
        return
    page.fitted(x, y, _pixels(image), SIDE)
    scale = SIDE / max(image.size)
    x, y = x + (SIDE - image.width * scale) / 2, y + (SIDE - image.height * scale) / 2
    left, top, right, bottom = (edge * scale for edge in _focus(patch))
    wide, high = max(2.0, right - left), max(2.0, bottom - top)
    page.box(x + left, y + top, wide, high, PAPER, 3)
    page.box(x + left, y + top, wide, high, ORANGE, 2)


def _focus(patch: AuditPatch) -> tuple[int, int, int, int]:
    focus = patch["focus"]
    return focus["left"], focus["top"], focus["right"], focus["bottom"]


def _pixels(image: Image.Image) -> Byte:
    return np.asarray(image.convert("RGB"))
