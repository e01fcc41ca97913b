"""Recipes: the named ways to draw an icon, or a picture of a unit, a layer or a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.arrays import Float
from atlas.inversion import maco, optimisers, redirected_relu
from atlas.inversion.initial_colour import InitialColour
from atlas.inversion.objectives import PICTURE, Objective, direction, of_layer, published_direction
from atlas.inversion.optimisers import Step, adam
from atlas.inversion.parameterisations import Parameterisation, coloured
from atlas.inversion.transforms import PRESETS, Transform, compose, crop, noise, resize
from atlas.inversion.whitening import inverse, whitener

GROUNDED_ATTEMPTS = 2
"""How many attempts at a picture start from its ground; see `ground`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IconRecipe:
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
        self, height: int, width: int, channels: int = 3, ground: InitialColour | None = None, attempt: int = 0
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


FAST = IconRecipe(name="fast", steps=96, rate=0.03, decay=1.75, contrast=0.8, calm=0.15, transform="affine", window=0.3)
BEST = IconRecipe(name="best", steps=256, rate=0.02, decay=1.5, contrast=1.0, calm=0.15, transform="affine", window=0.3)

DISTILL = IconRecipe(
    name="distill", steps=128, rate=0.05, decay=1.0, contrast=None, calm=None, transform="atlas", window=None
)
"""The published recipe, for comparison, with the 128 steps of lucid's `recipes/activation_atlas`.

The notebook takes 512 and the published atlases 1,024, each the best of several tries.
"""

ICON_RECIPES: dict[str, IconRecipe] = {recipe.name: recipe for recipe in (FAST, BEST, DISTILL)}


Canvas = Literal["fourier", "zero", "phase"]
"""What is optimised: a spectrum, pixels that start from the mean colour, or phases alone."""

TRANSFORMS: dict[str, Transform] = PRESETS | {
    "cropped": compose(crop(0.5), noise(0.04)),
    "cut small": compose(crop(0.5, shown=5 / 7), noise(0.04)),
}
"""Moves by name: the presets, and cuts for pictures of classes, which fill the canvas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRecipe:
    """All that decides how a picture is drawn, but for its size, its seed and what it is to achieve.

    `contrast` none leaves it free. `views` is how often a picture is moved and shown in each step. `shrink` is λ of
    − λ|I|², I the picture as the net is given it. `redirect` is the number of first steps in which rectifiers that let
    nothing through are helped. `side` is the pictures' size in pixels where no other is asked for.
    """

    name: str
    steps: int
    rate: float
    canvas: Canvas = "fourier"
    decay: float = 1.0
    contrast: float | None = None
    transform: str = "none"
    climb: Literal["adam", "nadam", "plain"] = "adam"
    views: int = 1
    shrink: float = 0.0
    redirect: int = redirected_relu.STEPS
    side: int = 128

    def parameterisation(
        self,
        height: int,
        width: int,
        mean: Sequence[float],
        std: Sequence[float],
        spectrum: Float | None = None,
    ) -> Parameterisation:
        """Give what is optimised; `spectrum` is that of `maco.natural_spectrum`, for pictures of the same size."""
        if self.canvas == "zero":
            return _from_zero(height, width, mean, std)
        if self.canvas == "fourier":
            return coloured(height, width, decay=self.decay, contrast=self.contrast, channels=len(mean))
        if spectrum is None:
            raise ValueError(f"style {self.name} needs the spectrum of natural pictures; give one")
        return maco.phase(spectrum, height, width)

    def moves(self) -> Transform:
        """Give the transform of one batch: it may count its calls."""
        moved = maco.boxes(self.steps * self.views) if self.transform == "boxes" else TRANSFORMS[self.transform]
        if self.views == 1:
            return moved
        return lambda pictures, draws: torch.cat([moved(pictures, draws) for _ in range(self.views)])

    def ascent(self) -> Step:
        """Give the way uphill of one batch."""
        return {"adam": adam, "nadam": optimisers.nadam, "plain": optimisers.plain}[self.climb](self.rate)

    def penalty(self, mean: Sequence[float], std: Sequence[float]) -> Objective | None:
        """Give what is added to the objective."""
        return self.shrink * _faint(mean, std) if self.shrink else None


def _from_zero(height: int, width: int, mean: Sequence[float], std: Sequence[float]) -> Parameterisation:
    middle, spread = (torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1) for values in (mean, std))
    return Parameterisation(
        lambda draws: torch.zeros(len(draws), len(mean), height, width),
        lambda numbers: middle.to(numbers) + spread.to(numbers) * numbers,
    )


def _faint(mean: Sequence[float], std: Sequence[float]) -> Objective:
    """Reward a picture for being faint: −|I|²."""
    middle, spread = (torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1) for values in (mean, std))
    return of_layer(
        PICTURE, lambda pictures: -((pictures - middle.to(pictures)) / spread.to(pictures)).square().sum((1, 2, 3))
    )


def _of_icons(name: str) -> PictureRecipe:
    """Take over what an icons' recipe says of drawing."""
    recipe = ICON_RECIPES[name]
    return PictureRecipe(
        name=name,
        steps=recipe.steps,
        rate=recipe.rate,
        decay=recipe.decay,
        contrast=recipe.contrast,
        transform=recipe.transform,
    )


LUCID = PictureRecipe(name="lucid", steps=512, rate=0.05, transform="lucid")
"""lucid's defaults, `optvis/render.py`; but that every picture has its own draws."""

SIMONYAN = PictureRecipe(name="simonyan", steps=150, rate=0.3, canvas="zero", climb="plain", shrink=5e-3)
"""Simonyan et al. 2013: the score − λ|I|² by plain gradient ascent from the mean image, which they start from too.

The paper gives no numbers. With those of the usual code for it (utkuozbulak/pytorch-cnn-visualizations: rate 6, weight
decay 1e-4, which is 2 λ) the default model's pictures leave the range of colours everywhere; with these they are shapes
on grey, as the paper shows them.
"""

MACO = PictureRecipe(
    name="maco", steps=256, rate=1.0, canvas="phase", transform="boxes", climb="nadam", views=8, side=256
)
"""Fel et al. 2023, as Xplique has it, but with 8 boxes a step for its 32, on 256 pixels for its 512."""

CLASS = PictureRecipe(name="class", steps=192, rate=0.05, transform="lucid")
"""For whole-class pictures: lucid's, in fewer steps. Of all that were tried other networks know the class best in it."""

CROPS = PictureRecipe(name="crops", steps=192, rate=0.02, decay=1.5, contrast=1.0, transform="cropped")
"""Cuts of half the side and more, stretched to the whole, and noise: large parts of the class, of steady contrast."""

CUTS = PictureRecipe(name="cuts", steps=384, rate=0.02, decay=1.5, contrast=1.0, transform="cut small")
"""The same cuts shown at five sevenths of the side, 160 pixels of 224: twice the steps for about the same time."""

PICTURE_RECIPES: dict[str, PictureRecipe] = {
    style.name: style
    for style in (*(_of_icons(name) for name in ICON_RECIPES), CLASS, CROPS, CUTS, LUCID, SIMONYAN, MACO)
}
