"""The sheet of `saliency`: the image, the heat map, and the heat map over the image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from atlas import colours
from atlas.arrays import Byte, Float
from atlas.attribution.methods import METHODS
from flows.one_image.answers import Saliency, SaliencyTarget
from flows.sheets.canvas import QUIET, Canvas, signed
from flows.sheets.image_parts import guesses
from storage.errors import UsageError

LEAST, MARGIN, GAP = 384, 32, 20
"""Least longer side of a picture, margin and space between pictures, in pixels."""


def sheet(answer: Saliency, pictures: Sequence[Byte]) -> Byte:
    """Draw the image, its heat map and their overlay, of one size, side by side with captions, `h w 3`."""
    height, width = pictures[0].shape[:2]
    page, inner = Canvas(3 * width + 2 * GAP + 2 * MARGIN), 3 * width + 2 * GAP
    page.text(
        MARGIN, 26, f"What {_target_name(answer['target'])} depends on in {Path(answer['image']).name}", 24, most=inner
    )
    takes = f". The model takes it for {guesses(answer)}" if answer["choices"] else ""
    remark = f"{answer['model']}: {answer['method']}; {_score_text(answer)}{takes}."
    if "note" in answer:
        remark += f" Note: {answer['note']}."
    below = page.lines(MARGIN, 62, remark, inner, 14)
    below += 12
    shows = (
        "the image as the model takes it",
        f"heat map: {METHODS[answer['method']].sentence}",
        "laid over the image",
    )
    ends = []
    for number, (picture, words) in enumerate(zip(pictures, shows, strict=True)):
        x = MARGIN + number * (width + GAP)
        page.picture(x, below, picture, width, height)
        ends.append(page.lines(x, below + height + 8, words, width, 13, QUIET))
    return page.cut(round(max(ends)) + 24)


def _target_name(target: SaliencyTarget) -> str:
    if target["kind"] == "unit":
        return f"unit {target['text']}"
    name = target["name"] or f"class {target['index']}"
    return f'the probability of "{name}"' if target["kind"] == "probability" else f'"{name}"'


def _score_text(answer: Saliency) -> str:
    score = {"class": "its logit", "probability": "its probability"}.get(answer["target"]["kind"], "its value")
    text = f"{score} is {signed(answer['score'])}"
    if "gap" not in answer:
        return text
    return (
        f"{text}; the shares sum to {signed(answer['sum'])} of the {signed(answer['sum'] - answer['gap'])} it rose by"
    )


VIEWS = ("sheet", "heat", "overlay")


def draw(answer: Saliency, picture: Byte, map: Float, *, view: str = "sheet", size: int | None = None) -> Byte:
    """Draw the heat map, the overlay, or a sheet of picture, heat map and overlay, `h w 3`.

    `size` is the longer side of a picture, by default its own, and on a sheet at least LEAST.
    """
    check_view(view, size)
    height, width = picture.shape[:2]
    least = LEAST if view == "sheet" else 1
    scale = (size or max(height, width, least)) / max(height, width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    shown = np.asarray(Image.fromarray(picture).resize(shape, Image.Resampling.BICUBIC))
    strength = colours.scaled(map)
    enlarged = np.asarray(Image.fromarray(strength).resize(shape, Image.Resampling.BILINEAR))
    views = {"heat": colours.heat(enlarged), "overlay": colours.overlay(shown, enlarged)}
    return views[view] if view != "sheet" else sheet(answer, [shown, views["heat"], views["overlay"]])


def check_view(view: str, size: int | None) -> None:
    """Raise UsageError for an unknown view or a size out of range."""
    if view not in VIEWS:
        raise UsageError(f"--view {view} is not one of {', '.join(VIEWS)}")
    if size is not None and not 16 <= size <= 4096:
        raise UsageError(f"--size {size}: from 16 to 4096 pixels")
