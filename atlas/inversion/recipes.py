"""The named ways to draw an icon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.inversion.initial_colour import Ground
from atlas.inversion.objectives import Objective, direction, published_direction
from atlas.inversion.parameterisations import Parameterisation, coloured
from atlas.inversion.transforms import PRESETS, Transform, compose, resize
from atlas.inversion.whitening import inverse, whitener

GROUNDED_ATTEMPTS = 2
"""How many attempts at a picture start from its ground; see `ground`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that decides how an icon is drawn, but for its size, seed and target.

    `contrast` none leaves it free; `calm` is the contrast of pictures for targets like one plain colour, which start
    from it (see `ground`; none: all start from grey). `window` none means the published objective, at the centre.
    """

    name: str
    steps: int
    rate: float
    decay: float
    contrast: float | None
    calm: float | None
    transform: str
    window: float | None
    power: int = 4
    epsilon: float = 1e-2

    def parameterisation(
        self, height: int, width: int, channels: int = 3, ground: Ground | None = None, attempt: int = 0
    ) -> Parameterisation:
        """Give what is optimised, for pictures of a size; `attempt` counts from 0 how often they were tried before.

        A calm picture may not tell its cell from as plain a neighbour. So the second attempt is half as calm, and from
        the third on pictures start from grey with full contrast, as all others do.
        """
        if ground is None or self.contrast is None or self.calm is None or attempt >= GROUNDED_ATTEMPTS:
            return coloured(height, width, decay=self.decay, contrast=self.contrast, channels=channels)
        quiet = torch.from_numpy(ground.calm) * 0.5**attempt
        contrast = self.contrast ** (1 - quiet) * self.calm**quiet
        tint = torch.from_numpy(ground.colour)
        return coloured(height, width, decay=self.decay, contrast=contrast, tint=tint, channels=channels)

    def moves(self, own: tuple[int, int] | None = None) -> Transform:
        """Give the transform, ending at the net's own size (height, width) where it takes no other."""
        moved = PRESETS[self.transform]
        return moved if own is None else compose(moved, resize(*own))

    def metric(self, moment: NDArray[np.floating]) -> Tensor:
        """Give the matrix `c c` that the objective measures with."""
        return inverse(moment) if self.window is None else whitener(moment, self.epsilon)

    def objective(self, layer: str, targets: Tensor, metric: Tensor) -> Objective:
        """Give the objective of a batch of targets `b c`."""
        if self.window is None:
            return published_direction(layer, targets, metric, power=self.power)
        return direction(layer, targets, metric, power=self.power, window=self.window)


FAST = Recipe(name="fast", steps=96, rate=0.03, decay=1.75, contrast=0.8, calm=0.15, transform="affine", window=0.3)
BEST = Recipe(name="best", steps=256, rate=0.02, decay=1.5, contrast=1.0, calm=0.15, transform="affine", window=0.3)

DISTILL = Recipe(
    name="distill", steps=128, rate=0.05, decay=1.0, contrast=None, calm=None, transform="atlas", window=None
)
"""The published recipe, for comparison, with the 128 steps of lucid's `recipes/activation_atlas`.

The notebook takes 512 and the published atlases 1,024, each the best of several tries.
"""

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (FAST, BEST, DISTILL)}
