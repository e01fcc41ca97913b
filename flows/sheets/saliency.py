"""The sheet of `saliency`: the image, the heat map, and the one laid over the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atlas.arrays import Byte
from flows.sheets.canvas import QUIET, Page, signed

LEAST, MARGIN, GAP = 384, 32, 20
"""Longer side of a picture at least, in pixels."""

SAYS = {
    "gradient": "how much the score moves when a pixel does",
    "gradient-x-input": "the gradient times the pixel: orange speaks for it, blue against",
    "smoothgrad": "how much the score moves when a pixel does, averaged over noisy copies",
    "integrated-gradients": "each pixel's share of the score: orange speaks for it, blue against",
    "grad-cam": "the positions that speak for it",
    "guided-backprop": "the gradient, of which each rectifier lets through only what is positive",
    "deconvnet": "the signal sent back, clipped at 0 at each rectifier",
}


def draw(answer: dict[str, Any], pictures: Sequence[Byte]) -> Byte:
    """Draw the image, its heat map and its overlay of one size side by side, `h w 3`, and say what they are of."""
    height, width = pictures[0].shape[:2]
    page, inner = Page(3 * width + 2 * GAP + 2 * MARGIN), 3 * width + 2 * GAP
    page.text(MARGIN, 26, f"What {_named(answer['target'])} rests on in {Path(answer['image']).name}", 24, most=inner)
    guesses = ", ".join(f"{c['name'] or c['index']} {c['probability']:.0%}" for c in answer["choices"][:3])
    takes = f". The model takes it for {guesses}" if guesses else ""
    remark = f"{answer['model']}: {answer['method']}; {_score(answer)}{takes}."
    below = page.lines(MARGIN, 62, remark, inner, 14)
    below += 12
    shows = ("the image as the model takes it", f"heat map: {SAYS[answer['method']]}", "laid over the image")
    ends = []
    for number, (picture, words) in enumerate(zip(pictures, shows, strict=True)):
        x = MARGIN + number * (width + GAP)
        page.picture(x, below, picture, width, height)
        ends.append(page.lines(x, below + height + 8, words, width, 13, QUIET))
    return page.cut(round(max(ends)) + 24)


def _named(target: dict[str, Any]) -> str:
    if target["kind"] == "unit":
        return f"unit {target['text']}"
    name = target["name"] or f"class {target['index']}"
    return f'the probability of "{name}"' if target["kind"] == "probability" else f'"{name}"'


def _score(answer: dict[str, Any]) -> str:
    score = {"class": "its logit", "probability": "its probability"}.get(answer["target"]["kind"], "its value")
    text = f"{score} is {signed(answer['score'])}"
    if "gap" not in answer:
        return text
    return (
        f"{text}; the shares sum to {signed(answer['sum'])} of the {signed(answer['sum'] - answer['gap'])} it rose by"
    )
