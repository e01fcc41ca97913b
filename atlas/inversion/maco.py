"""MACO: pictures whose spectrum has the magnitudes of natural photos, and only whose phase is optimised.

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
"""Mean side of the boxes at the first step and at the last, as a share of the picture's."""
STRAY, SPREAD, SMALLEST = 0.15, 0.05, 0.05
"""Deviation of a box's centre and of its side, and the side it has at least."""
NOISE = 0.04
"""Deviation of the noise on each pixel of 0..1, and the width of the even noise added to it (0.08 of −1..1)."""
GREY = 0.5


def natural_spectrum(batches: Iterable[Tensor]) -> Float:
    """Give the mean magnitude of the spectra of pictures in batches `b c h w` in 0..1, `c h w//2+1`.

    Colours are made uncorrelated first, as `phase` mixes them afterwards. Raise ValueError if there are no pictures.
    """
    total, count = torch.zeros(()), 0
    for pictures in batches:
        total = total + torch.fft.rfft2(uncorrelated(pictures.double())).abs().sum(0)
        count += len(pictures)
    if not count:
        raise ValueError("no pictures to measure a spectrum of; at least one is needed")
    return np.asarray((total / count).numpy(), dtype=np.float32)


def uncorrelated(pictures: Tensor) -> Tensor:
    """Undo `colour`: RGB into three uncorrelated channels; other numbers of channels pass as they are."""
    if pictures.shape[1] != len(COLOUR):
        return pictures
    return torch.einsum("cr,brhw->bchw", torch.from_numpy(np.linalg.inv(COLOUR)).to(pictures), pictures)


def phase(magnitude: Float, height: int, width: int) -> Parameterisation:
    """Take the phases of a spectrum of fixed `magnitude`, `c height width//2+1`, as the numbers; pictures in 0..1.

    Phases and picture are standardised, each picture by itself. Raise ValueError for a magnitude of another size.
    """
    wanted = (height, width // 2 + 1)
    if magnitude.shape[1:] != wanted:
        raise ValueError(f"a spectrum of {height} × {width} pixels is {wanted}, not {magnitude.shape[1:]}")
    fixed = torch.from_numpy(magnitude)

    def picture(numbers: Tensor) -> Tensor:
        turned = torch.polar(fixed.to(numbers).expand_as(numbers), _standard(numbers))
        return torch.sigmoid(colour(_standard(torch.fft.irfft2(turned, s=(height, width)))))

    return Parameterisation(lambda draws: normal(draws, (len(magnitude), *wanted)), picture)


def boxes(steps: int) -> Transform:
    """Cut a box at random from each picture, smaller step by step, stretch it to half the picture's size and add noise.

    It counts its calls, `steps` in all, so use it once. What lies outside a picture is grey. (The published code shows
    boxes of 512 pixels' pictures at 224.)
    """
    sides = np.linspace(*BOXES, steps)
    done = 0

    def apply(pictures: Tensor, draws: Draws) -> Tensor:
        nonlocal done
        mean, done = float(sides[min(done, steps - 1)]), done + 1
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


def _standard(values: Tensor) -> Tensor:
    free = values - values.mean((1, 2, 3), keepdim=True)
    return free / (free.square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-5)
