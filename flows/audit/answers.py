"""The shapes of what `actlas audit` answers. Loads no torch."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from flows.questions.patches import PixelBox

Kind = Literal["folder", "size", "aspect", "border", "watermark"]

LEAST_IMAGES, MOST_IMAGES = 20, 1000
"""Images with the class that an audit needs, and those with it, or without, that it uses at most: each is compared with each."""

STRONGER = 0.7
"""A suspect is stronger in an image of the part than in another of the class in at least so many pairs."""


class Box(TypedDict):
    """A part of the model's input, as shares of its width and height."""

    left: float
    top: float
    right: float
    bottom: float


class Part(TypedDict):
    """Images of the class that share a thing that is not the class, and where a watermark lies in the model's input."""

    kind: Kind
    name: str
    images: int
    box: Box | None


class PartTest(TypedDict):
    """Whether a unit or a cell is stronger in a part of the class's images than in its others.

    `auc` is the share of pairs in which it is, `score` the sum of ranks in standard deviations from that of a random part,
    `p` the probability of any such score, over all units, cells and parts of the audit, by chance. `extra` is what the unit
    adds to the class's score in the part beyond what it adds elsewhere, as a mean over all images and a share of the use of
    all units, or of all cells.
    """

    kind: Kind
    name: str
    images: int
    auc: float
    score: float
    p: float
    extra: float


class Without(TypedDict):
    """How strong a unit or a cell is in images without the class.

    `auc` is the share of pairs in which it is stronger in an image with the class, `p` the probability of any such score
    by chance, `share` that of images without the class in which it is at least as strong as in the middle one of those where
    it adds to the class.
    """

    images: int
    auc: float
    p: float
    share: float


class Effect(TypedDict):
    """What an ablation does to images of the class: the mean change of its score, and how many no longer have it first.

    `first` images have the class as the model's first choice while nothing is changed, `lost` of these no longer with the
    unit at zero. `error` is the standard error of the change, None for a single image.
    """

    images: int
    change: float
    error: float | None
    first: int
    lost: int


class Effects(TypedDict):
    """The effects in the images of the part, and in the class's other images."""

    part: Effect
    others: Effect


class AuditPatch(TypedDict):
    """The patch of an image of the part where a unit is strongest."""

    image_id: int
    path: str
    label: str | None
    y: int
    x: int
    value: float
    focus: PixelBox


class Candidate(TypedDict):
    """A unit, or a cell at `row` and `col` of a grid, that the model uses for the class.

    `attribution` is the mean of what it adds to the class's score in those images where it adds, `often` the share of such
    images, `use` their product and `share` the part of it in the use of all units, or of all cells. `tests` are those of
    all parts, the largest score first. `place` is the share of the part's images in which a unit is strongest within one
    position of where it is strongest most often. `patches` and `place` are those of the first test; `effects` those of
    an ablation.
    """

    name: str
    layer: str
    unit: int | None
    grid: int | None
    row: int | None
    col: int | None
    rank: int
    use: float
    share: float
    attribution: float
    often: float
    suspect: bool
    tests: list[PartTest]
    without: Without | None
    place: float | None
    patches: list[AuditPatch]
    effects: Effects | None


Audit = TypedDict(
    "Audit",
    {
        "run": str,
        "version": int,
        "layer": str,
        "grid": int | None,
        "class": int,
        "name": str,
        "label": str,
        "images": int,
        "unreadable": int,
        "nonfinite": int,
        "near_duplicates": int,
        "others": int,
        "units": int,
        "cells": int,
        "level": float,
        "permutations": int,
        "bound": float | None,
        "stronger": float,
        "least": int,
        "parts": list[Part],
        "suspects": list[Candidate],
        "candidates": list[Candidate],
    },
)
"""An audit of a class over its images, and over `others` without it.

`units` and `cells` are those that the model uses for the class, all of which are tested against all `parts`, each of at
least `least` images. A suspect has a score above `bound`, which the largest of all of them exceeds by chance in `level` of
cases, and an area (`auc`) of at least `stronger`. `suspects` are in the order of `extra` of their first test, the first of
each kind of part before all others, and `candidates`, the rest, in that of their use.
"""
