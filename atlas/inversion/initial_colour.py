"""Start a picture from the plain colour most similar to its target, if one is similar enough.

Every net has cells of plain sky, wall or paper. Left to itself the optimiser fills them with texture on grey, since
texture excites most: on the 16 plainest of 75 cells of `_blocks.10` the transfer check found the icon's own cell at a
mean reciprocal rank of 0.06; starting from the colour, with low contrast, at 0.33. (The constants below were chosen
on those same cells, one seed each, so the second figure flatters.) No photos are needed: the net is shown pictures of
one colour each, and the whitened cosine of their activations to the target measures how plain the target is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.arrays import Float, Int
from atlas.inversion.objectives import windowed
from atlas.inversion.render import Forward

LEVELS = (0.03, 0.2, 0.4, 0.6, 0.8, 0.97)
"""Levels of each channel; the outermost are about as far as a sigmoid can still recover from."""

MOST_CHANNELS = 3
"""Above this many channels the palette would be too large, and pictures start from grey."""

SHARPNESS = 40.0
"""The colour is a mean over the palette, weighted by exp(SHARPNESS · cosine): close calls blend."""

COLOURED = (0.15, 0.30)
"""Cosines of the best colour below which pictures start from grey, and from which they start from the colour."""

COLOURED_ATTEMPTS = 2
"""Number of attempts at a picture that start from its initial colour."""

CALM = (0.2, 0.5)
"""Cosines of the best colour below which pictures have full contrast, and from which they are calm."""


@dataclass(frozen=True, slots=True)
class InitialColour:
    """The initial colour of each picture, `n c` before the sigmoid, and how calm it is to be, `n` in 0..1."""

    colour: Float
    calm: Float

    def select(self, rows: Int) -> InitialColour:
        """Return the initial colours of some pictures."""
        return InitialColour(self.colour[rows], self.calm[rows])

    def spread(self, rows: Int, count: int) -> InitialColour:
        """Return those of `count` pictures, of which these are some rows; the others start from grey."""
        colour, calm = np.zeros((count, self.colour.shape[1]), np.float32), np.zeros(count, np.float32)
        colour[rows], calm[rows] = self.colour, self.calm
        return InitialColour(colour, calm)

    def after(self, attempts: int | Int) -> InitialColour:
        """Return what is left of it after so many earlier attempts, one number for all pictures or one for each."""
        earlier = np.broadcast_to(np.asarray(attempts), self.calm.shape)
        kept = (earlier < COLOURED_ATTEMPTS).astype(np.float32)
        calm = (self.calm * kept * 0.5**earlier).astype(np.float32)
        return InitialColour(self.colour * kept[:, None], calm)


def initial_colours(
    forward: Forward,
    layer: str,
    targets: Float,
    whiten: Tensor,
    *,
    shape: tuple[int, int],
    channels: int,
    window: float,
    batch: int,
    device: torch.device,
) -> InitialColour | None:
    """Find the initial colour of each target `n c`; None if pictures have too many channels for a palette.

    A target's colour does not depend on the other targets.
    """
    if channels > MOST_CHANNELS:
        return None
    colours = palette(channels)
    shown = _activations(forward, layer, colours, shape, window, batch, device)
    cosines = _cosines(targets, shown, whiten.cpu().double().numpy())
    weights = np.exp(SHARPNESS * (cosines - cosines.max(axis=1, keepdims=True)))
    mixed = np.stack([weight @ colours / weight.sum() for weight in weights])
    best = cosines.max(axis=1)
    colour = _ramp(best, *COLOURED)[:, None] * np.log(mixed / (1 - mixed))
    return InitialColour(colour.astype(np.float32), _ramp(best, *CALM).astype(np.float32))


def palette(channels: int) -> NDArray[np.float64]:
    """Return all combinations of the LEVELS, `p c`."""
    return np.stack(np.meshgrid(*[LEVELS] * channels, indexing="ij"), axis=-1).reshape(-1, channels)


def _activations(
    forward: Forward,
    layer: str,
    colours: NDArray[np.float64],
    shape: tuple[int, int],
    window: float,
    batch: int,
    device: torch.device,
) -> NDArray[np.float64]:
    activations = []
    for first in range(0, len(colours), batch):
        plain = torch.from_numpy(colours[first : first + batch]).float().to(device)[:, :, None, None]
        with torch.no_grad():
            activations.append(windowed(forward(plain.repeat(1, 1, *shape))[layer], window).cpu().double().numpy())
    return np.concatenate(activations)


def _cosines(targets: Float, shown: NDArray[np.float64], whiten: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosines `n p`, computed row by row so that their last bits do not depend on the number of targets."""
    white = shown @ whiten
    unit = white / np.maximum(np.linalg.norm(white, axis=1, keepdims=True), 1e-12)
    whitened_targets = [target.astype(np.float64) @ whiten for target in targets]
    return np.stack([unit @ (target / max(float(np.linalg.norm(target)), 1e-12)) for target in whitened_targets])


def _ramp(value: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    return np.clip((value - low) / (high - low), 0, 1)
