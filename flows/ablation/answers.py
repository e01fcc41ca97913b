"""The shapes of what `actlas ablate` answers. Loads no torch."""

from __future__ import annotations

from typing import TypedDict


class ClassChange(TypedDict):
    """The mean change of a class's score over images, with its standard error (None for a single image)."""

    index: int
    name: str
    change: float
    error: float | None


class LabelChange(TypedDict):
    """The images of one label: how many flip to another first choice, and the classes whose scores fall and rise most."""

    label: str | None
    images: int
    flips: int
    falls: list[ClassChange]
    rises: list[ClassChange]


class Flip(TypedDict):
    """An image whose first choice changes."""

    image_id: int
    path: str
    label: str | None
    before: str
    after: str


class Ablation(TypedDict):
    """What an ablation does, over all images and for each label, those with the largest share of flips first.

    `by` says how the units are changed. `nonfinite` images are left out, since a score was NaN or infinite. `flipped` are
    the first fifty images that flip; a model with one score per image has no flips. `varying` says how the model's values
    vary by themselves, where that was allowed.
    """

    run: str
    layer: str
    units: list[int]
    by: str
    images: int
    nonfinite: int
    flips: int
    falls: list[ClassChange]
    rises: list[ClassChange]
    labels: list[LabelChange]
    flipped: list[Flip]
    varying: str
