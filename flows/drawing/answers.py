"""Finished pictures of `show` and `dream`, and their facts. Loads no torch, so that sheets can name them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from atlas.arrays import Byte

if TYPE_CHECKING:
    from atlas.inversion.recipes import PictureRecipe
    from flows.drawing.goals import Goal

Size = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A picture `h w 3` of a goal, the value it reaches (see `Visualised`), and its recipe, size and seed."""

    goal: Goal
    facet: int | None
    picture: Byte
    value: float
    best: float
    dead: bool
    recipe: PictureRecipe
    size: Size
    seed: int


class FirstChoice(TypedDict):
    """The class that the model gives a picture first; `name` is empty where it has none."""

    index: int
    name: str


class PictureFacts(TypedDict):
    """One picture of `show`: what it was to excite, and how far it did.

    `patch` and `ratio` are of a unit in a run, `probability` to `first` of a class; `value` is the mean over the picture,
    `best` its largest.
    """

    target: str
    kind: str
    facet: int | None
    value: float
    best: float
    dead: bool
    size: list[int]
    recipe: dict[str, Any]
    patch: NotRequired[float]
    ratio: NotRequired[float | None]
    probability: NotRequired[float]
    logit: NotRequired[float]
    first: NotRequired[FirstChoice]


class ShowAnswer(TypedDict):
    """The pictures of one call of `show`."""

    model: str
    run: str | None
    seed: int
    penalties: dict[str, float]
    pictures: list[PictureFacts]


class DreamValue(TypedDict):
    """The objective's mean over the tiles of a picture, before and after the dream."""

    before: float
    after: float


class DreamCourse(TypedDict):
    """How a dream went: its settings, the sizes of its pictures (height, width) from the smallest on, its seconds."""

    iterations: int
    octaves: list[Size]
    scale: float
    rate: float
    levels: int
    seed: int
    size: Size
    view: str
    tile: Size
    value: DreamValue
    seconds: float


class DreamAnswer(DreamCourse):
    """A dream: of what, from which image."""

    image: str
    model: str
    run: str | None
    target: str
    guide: str | None
