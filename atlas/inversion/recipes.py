"""Recipes: named settings for drawing icons, and pictures of units, layers and classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.arrays import Float, Int
from atlas.inversion import maco, optimisers, redirected_relu
from atlas.inversion.initial_colour import InitialColour
from atlas.inversion.objectives import PICTURE, Objective, direction, of_layer, published_direction
from atlas.inversion.optimisers import Optimiser, adam
from atlas.inversion.parameterisations import DRAWN_SIZE, Parameterisation, coloured, spectrum_of
from atlas.inversion.transforms import PRESETS, Transform, compose, crop, noise, resize
from atlas.inversion.whitening import inverse, whitener


@dataclass(frozen=True, slots=True, kw_only=True)
class IconRecipe:
    """All settings for drawing an icon, except its size, seed and target.

    `contrast` None leaves it free; `calm` is the contrast of pictures whose target resembles a plain colour, which they
    start from (see `initial_colour`; None: all start from grey). `window` None selects the published objective, at the
    centre. An icon that starts from another is done when a round of steps raises its cosine by less
    than `rise` (None: at its last step).
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
    rise: float | None = 0.02

    def parameterisation(
        self, height: int, width: int, channels: int = 3, initial: InitialColour | None = None, attempt: int | Int = 0
    ) -> Parameterisation:
        """Return the parameterisation for pictures of a size; `attempt` counts earlier attempts, at all or at each.

        A calm picture may not distinguish its cell from an equally plain neighbour. So the second attempt is half as
        calm, and from the third on pictures start from grey with full contrast, like all others.
        """
        if initial is None or self.contrast is None or self.calm is None:
            return coloured(height, width, decay=self.decay, contrast=self.contrast, channels=channels)
        left = initial.after(attempt)
        quiet, tint = torch.from_numpy(left.calm), torch.from_numpy(left.colour)
        contrast = self.contrast ** (1 - quiet) * self.calm**quiet
        return coloured(height, width, decay=self.decay, contrast=contrast, tint=tint, channels=channels)

    def numbers_of(self, pictures: Tensor) -> Tensor:
        """Return numbers to start from whose picture is like each of these, `b c h w` in 0..1, but for its mean colour.

        Where the contrast is fixed, their scale is free, and set to that of numbers after a drawing, so that a step of
        the optimiser moves them as much.
        """
        numbers = spectrum_of(pictures, decay=self.decay)
        if self.contrast is None:
            return numbers
        size = numbers.square().mean((1, 2, 3, 4), keepdim=True).sqrt()
        return numbers * (DRAWN_SIZE / size.clamp_min(1e-12))

    def build_transform(self, own: tuple[int, int] | None = None) -> Transform:
        """Return the transform, resizing to the net's own size (height, width) if one is given."""
        transform = PRESETS[self.transform]
        return transform if own is None else compose(transform, resize(*own))

    def metric(self, moment: NDArray[np.floating]) -> Tensor:
        """Return the matrix `c c` of the objective's metric."""
        return inverse(moment) if self.window is None else whitener(moment, self.epsilon)

    def objective(self, layer: str, targets: Tensor, metric: Tensor) -> Objective:
        """Return the objective for a batch of targets `b c`."""
        if self.window is None:
            return published_direction(layer, targets, metric, power=self.power)
        return direction(layer, targets, metric, power=self.power, window=self.window)


FAST = IconRecipe(name="fast", steps=96, rate=0.03, decay=1.75, contrast=0.8, calm=0.15, transform="affine", window=0.3)
BEST = IconRecipe(name="best", steps=256, rate=0.02, decay=1.5, contrast=1.0, calm=0.15, transform="affine", window=0.3)

DISTILL = IconRecipe(
    name="distill", steps=128, rate=0.05, decay=1.0, contrast=None, calm=None, transform="atlas", window=None, rise=None
)
"""The published recipe, for comparison, with the 128 steps of lucid's `recipes/activation_atlas`.

The notebook uses 512 and the published atlases 1,024, each the best of several tries.
"""

ICON_RECIPES: dict[str, IconRecipe] = {recipe.name: recipe for recipe in (FAST, BEST, DISTILL)}


Canvas = Literal["fourier", "zero", "phase"]
"""The parameterisation: a spectrum, pixels that start from the mean colour, or phases only."""

TRANSFORMS: dict[str, Transform] = PRESETS | {
    "cropped": compose(crop(0.5), noise(0.04)),
    "cut small": compose(crop(0.5, shown=5 / 7), noise(0.04)),
}
"""Transforms by name: the presets, and crops for pictures of classes, which fill the canvas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRecipe:
    """All settings for drawing a picture, except its size, seed and objective.

    `contrast` None leaves it free. `views` is the number of transformed copies of a picture shown in each step.
    `shrink` is λ in − λ|I|², I the normalised picture. `redirect` is the number of initial steps with redirected
    gradients at rectifiers. `side` is the pictures' default size in pixels.
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
        """Return the parameterisation; `spectrum` is from `maco.natural_spectrum`, for pictures of the same size."""
        if self.canvas == "zero":
            return _from_zero(height, width, mean, std)
        if self.canvas == "fourier":
            return coloured(height, width, decay=self.decay, contrast=self.contrast, channels=len(mean))
        if spectrum is None:
            raise ValueError(f"recipe {self.name} needs the spectrum of natural pictures; give one")
        return maco.phase(spectrum, height, width)

    def build_transform(self) -> Transform:
        """Return the transform for one batch: it may count its calls."""
        transform = (
            maco.random_boxes(self.steps * self.views) if self.transform == "boxes" else TRANSFORMS[self.transform]
        )
        if self.views == 1:
            return transform
        return lambda pictures, draws: torch.cat([transform(pictures, draws) for _ in range(self.views)])

    def build_optimiser(self) -> Optimiser:
        """Return the optimiser for one batch."""
        return {"adam": adam, "nadam": optimisers.nadam, "plain": optimisers.plain}[self.climb](self.rate)

    def penalty(self, mean: Sequence[float], std: Sequence[float]) -> Objective | None:
        """Return the term to add to the objective, if any."""
        return self.shrink * _negative_energy(mean, std) if self.shrink else None


def _from_zero(height: int, width: int, mean: Sequence[float], std: Sequence[float]) -> Parameterisation:
    middle, spread = (torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1) for values in (mean, std))
    return Parameterisation(
        lambda draws: torch.zeros(len(draws), len(mean), height, width),
        lambda numbers: middle.to(numbers) + spread.to(numbers) * numbers,
    )


def _negative_energy(mean: Sequence[float], std: Sequence[float]) -> Objective:
    """Penalise the picture's energy: −|I|²."""
    middle, spread = (torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1) for values in (mean, std))
    return of_layer(
        PICTURE, lambda pictures: -((pictures - middle.to(pictures)) / spread.to(pictures)).square().sum((1, 2, 3))
    )


def _from_icon_recipe(name: str) -> PictureRecipe:
    """Turn an icon recipe into a picture recipe."""
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
"""lucid's defaults, `optvis/render.py`, except that every picture has its own draws."""

SIMONYAN = PictureRecipe(name="simonyan", steps=150, rate=0.3, canvas="zero", climb="plain", shrink=5e-3)
"""Simonyan et al. 2013: the score − λ|I|² by plain gradient ascent from the mean image, as in the paper.

The paper gives no numbers. With those of the usual code for it (utkuozbulak/pytorch-cnn-visualizations: rate 6, weight
decay 1e-4, which is 2 λ) the default model's pictures leave the range of colours everywhere; with these they are shapes
on grey, as the paper shows them.
"""

MACO = PictureRecipe(
    name="maco", steps=256, rate=1.0, canvas="phase", transform="boxes", climb="nadam", views=8, side=256
)
"""Fel et al. 2023, as in Xplique, but with 8 boxes per step instead of 32, on 256 pixels instead of 512."""

CLASS = PictureRecipe(name="class", steps=192, rate=0.05, transform="lucid")
"""lucid's recipe in fewer steps, for pictures of classes: of all tried, the one other networks recognise best."""

CROPS = PictureRecipe(name="crops", steps=192, rate=0.02, decay=1.5, contrast=1.0, transform="cropped")
"""Crops of at least half the side, stretched to full size, and noise: large parts of the class, at constant contrast."""

CUTS = PictureRecipe(name="cuts", steps=384, rate=0.02, decay=1.5, contrast=1.0, transform="cut small")
"""The same crops at five sevenths of the side, 160 pixels of 224: twice the steps in about the same time."""

PICTURE_RECIPES: dict[str, PictureRecipe] = {
    recipe.name: recipe
    for recipe in (*(_from_icon_recipe(name) for name in ICON_RECIPES), CLASS, CROPS, CUTS, LUCID, SIMONYAN, MACO)
}
