"""Measure the fidelity of icons: how well the model recognises a cell in its icon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from atlas.arrays import Byte, Float, Int
from atlas.inversion.render import Forward
from atlas.inversion.whitened import directions

RANK_TOLERANCE = 1e-5
"""A cell ranks before an icon's own only if its cosine is larger by more than this."""

WEAK_COSINE = 0.2
"""Below this cosine an icon is weak even if its own cell ranks first."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """The whitened cosine of each icon to its cell's mean, and that cell's rank, from 1, among all of the grid."""

    cosine: Float
    rank: Int


def measure_fidelity(activations: Float, targets: Float, own: Int, whiten: NDArray[np.floating]) -> Fidelity:
    """Compare activations `n c` with the means of all cells `m c`; `own` is the cell of each."""
    return compare(activations, directions(targets, whiten), own, whiten)


def compare(activations: Float, aims: NDArray[np.float64], own: Int, whiten: NDArray[np.floating]) -> Fidelity:
    """Compare activations `n c` with the directions of all cells (see `whitened.directions`), which are found once."""
    cosine = directions(activations, whiten) @ aims.T
    cosine_to_own = cosine[np.arange(len(own)), own]
    rank = 1 + (cosine > cosine_to_own[:, None] + RANK_TOLERANCE).sum(axis=1)
    return Fidelity(cosine_to_own.astype(np.float32), rank.astype(np.int64))


def plain_activations(forward: Forward, layer: str, pictures: Byte, batch: int, device: torch.device) -> Float:
    """Return the layer's activation for each picture `n h w 3` as published, averaged over positions, `n c`."""
    activations = []
    for chosen in batches(len(pictures), batch):
        shown = torch.from_numpy(pictures[chosen]).to(device).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            activations.append(_wide(forward(shown)[layer]).mean((2, 3)).cpu().numpy())
    return np.concatenate(activations)[: len(pictures)]


def batches(count: int, size: int) -> Iterator[Int]:
    """Cut `count` rows into batches of one size; the last is padded by repeating its last row."""
    for first in range(0, count, size):
        yield np.minimum(np.arange(first, first + size), count - 1)


def _wide(activation: torch.Tensor) -> torch.Tensor:
    """Return an activation in float32 at least: numpy has no bfloat16, in which autocast leaves some layers."""
    return activation.to(torch.promote_types(activation.dtype, torch.float32))
