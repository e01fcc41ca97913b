"""A finished picture of `show`, with its recipe. Loads no torch, so that sheets can name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
