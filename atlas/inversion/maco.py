"""MACO: optimise only a picture's phases, its spectrum having the magnitudes of natural photos.

Source: Fel et al. 2023, "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization",
with the constants of its published code (Xplique, `features_visualizations/maco.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from atlas.arrays import Float
from atlas.inversion.draws import Draws, normal, uniform
from atlas.inversion.parameterisations import COLOUR, Parameterisation, colour
from atlas.inversion.transforms import Transform, resample

BOXES = (0.5, 0.05)
"""Mean side of the boxes at the first and last step, as a share of the picture's."""
STRAY, SPREAD, SMALLEST = 0.15, 0.05, 0.05
"""Deviation of a box's centre and of its side, and its smallest side."""
NOISE = 0.04
"""Deviation of the normal noise on pixels of 0..1, and width of the uniform noise added to it (0.08 of −1..1)."""
GREY = 0.5


def natural_spectrum(batches: Iterable[Tensor]) -> Float:
    """Return the mean magnitude of the spectra of pictures in batches `b c h w` in 0..1, `c h w//2+1`.

    Colours are decorrelated first, as `phase` mixes them again. Raises ValueError if there are no pictures.
    """
    total, count = torch.zeros(()), 0
    for pictures in batches:
        total = total + torch.fft.rfft2(decorrelate(pictures.double())).abs().sum(0)
        count += len(pictures)
    if not count:
        raise ValueError("no pictures to measure a spectrum of; at least one is needed")
    return np.asarray((total / count).numpy(), dtype=np.float32)


def decorrelate(pictures: Tensor) -> Tensor:
    """Undo `colour`: turn RGB into three uncorrelated channels; other numbers of channels are returned unchanged."""
    if pictures.shape[1] != len(COLOUR):
        return pictures
    return torch.einsum("cr,brhw->bchw", torch.from_numpy(np.linalg.inv(COLOUR)).to(pictures), pictures)


def phase(magnitude: Float, height: int, width: int) -> Parameterisation:
    """Optimise the phases of a spectrum of fixed `magnitude`, `c height width//2+1`; pictures are in 0..1.

    Phases and picture are standardised, each picture by itself. Raises ValueError for a magnitude of another size.
    """
    shape = (height, width // 2 + 1)
    if magnitude.shape[1:] != shape:
        raise ValueError(f"a spectrum of {height} × {width} pixels is {shape}, not {magnitude.shape[1:]}")
    fixed = torch.from_numpy(magnitude)

    def picture(numbers: Tensor) -> Tensor:
        turned = torch.polar(fixed.to(numbers).expand_as(numbers), _standardise(numbers))
        return torch.sigmoid(colour(_standardise(torch.fft.irfft2(turned, s=(height, width)))))

    return Parameterisation(lambda draws: normal(draws, (len(magnitude), *shape)), picture)


def random_boxes(steps: int) -> Transform:
    """Cut a random box from each picture, smaller with each step, stretch it to half the picture's size and add noise.

    It counts its calls, `steps` in all, so use it for one batch only. Outside the picture is grey. (The published code
    resizes boxes of 512-pixel pictures to 224.)
    """
    sides = np.linspace(*BOXES, steps)
    calls = 0

    def apply(pictures: Tensor, draws: Draws) -> Tensor:
        nonlocal calls
        mean, calls = float(sides[min(calls, steps - 1)]), calls + 1
        side = (mean + SPREAD * normal(draws, ())).clamp(SMALLEST, 1.0)
        height, width = pictures.shape[2:]
        shift = STRAY * normal(draws, (2,)) * torch.tensor([float(width), float(height)])
        shown = (-(-height // 2), -(-width // 2))
        across = torch.tensor([width / shown[1], height / shown[0]])
        turn = torch.diag(across) * side[:, None, None]
        cut = resample(pictures - GREY, turn, shift, shown, "zeros") + GREY
        shape = tuple(cut.shape[1:])
        even = uniform(draws, -NOISE / 2, NOISE / 2, shape)
        return cut + (NOISE * normal(draws, shape) + even).to(pictures)

    return apply


def _standardise(values: Tensor) -> Tensor:
    free = values - values.mean((1, 2, 3), keepdim=True)
    return free / (free.square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-5)
