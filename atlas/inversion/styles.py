"""The named ways to draw a picture of a unit, a layer or a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from atlas.arrays import Float
from atlas.inversion import climbs, maco, redirected_relu
from atlas.inversion.ascent import Ascent, adam
from atlas.inversion.objectives import PICTURE, Objective, of_layer
from atlas.inversion.parameterisations import Parameterisation, coloured
from atlas.inversion.recipes import RECIPES
from atlas.inversion.transforms import PRESETS, Transform, compose, crop, noise

Canvas = Literal["fourier", "zero", "phase"]
"""What is optimised: a spectrum, pixels that start from the mean colour, or phases alone."""

TRANSFORMS: dict[str, Transform] = PRESETS | {
    "cropped": compose(crop(0.5), noise(0.04)),
    "cut small": compose(crop(0.5, shown=5 / 7), noise(0.04)),
}
"""Moves by name: the presets, and cuts for pictures of classes, which fill the canvas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
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

    def ascent(self) -> Ascent:
        """Give the way uphill of one batch."""
        return {"adam": adam, "nadam": climbs.nadam, "plain": climbs.plain}[self.climb](self.rate)

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


def _of_icons(name: str) -> Style:
    """Take over what an icons' recipe says of drawing."""
    recipe = RECIPES[name]
    return Style(
        name=name,
        steps=recipe.steps,
        rate=recipe.rate,
        decay=recipe.decay,
        contrast=recipe.contrast,
        transform=recipe.transform,
    )


LUCID = Style(name="lucid", steps=512, rate=0.05, transform="lucid")
"""lucid's defaults, `optvis/render.py`; but that every picture has its own draws."""

SIMONYAN = Style(name="simonyan", steps=150, rate=0.3, canvas="zero", climb="plain", shrink=5e-3)
"""Simonyan et al. 2013: the score − λ|I|² by plain gradient ascent from the mean image, which they start from too.

The paper gives no numbers. With those of the usual code for it (utkuozbulak/pytorch-cnn-visualizations: rate 6, weight
decay 1e-4, which is 2 λ) the default model's pictures leave the range of colours everywhere; with these they are shapes
on grey, as the paper shows them.
"""

MACO = Style(name="maco", steps=256, rate=1.0, canvas="phase", transform="boxes", climb="nadam", views=8, side=256)
"""Fel et al. 2023, as Xplique has it, but with 8 boxes a step for its 32, on 256 pixels for its 512."""

CLASS = Style(name="class", steps=192, rate=0.05, transform="lucid")
"""For whole-class pictures: lucid's, in fewer steps. Of all that were tried other networks know the class best in it."""

CROPS = Style(name="crops", steps=192, rate=0.02, decay=1.5, contrast=1.0, transform="cropped")
"""Cuts of half the side and more, stretched to the whole, and noise: large parts of the class, of steady contrast."""

CUTS = Style(name="cuts", steps=384, rate=0.02, decay=1.5, contrast=1.0, transform="cut small")
"""The same cuts shown at five sevenths of the side, 160 pixels of 224: twice the steps for about the same time."""

STYLES: dict[str, Style] = {
    style.name: style for style in (*(_of_icons(name) for name in RECIPES), CLASS, CROPS, CUTS, LUCID, SIMONYAN, MACO)
}
