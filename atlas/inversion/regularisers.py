"""Regularise pictures: like or unlike their neighbours, smooth, faint. The formulas are lucid's.

Each returns one value per picture; where lucid sums over pairs of pictures, the mean over the batch is lucid's value.
Penalties take a negative weight: `channel(layer, 3) - 0.25 * total_variation()`.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from atlas.inversion.objectives import PICTURE, Activations, Objective, of_layer

NEIGHBOURS = 4
"""Largest distance in the batch at which pictures count as neighbours for `alignment`."""


def diversity(layer: str) -> Objective:
    """Measure the similarity of a batch's pictures: Σ over the others of ⟨Ĝᵢ, Ĝⱼ⟩, Ĝ the normalised Gram matrix.

    It couples the pictures of a batch, so put only those that belong together into one batch. Source: lucid,
    `optvis/objectives.py`.
    """

    def value(maps: Tensor) -> Tensor:
        flat = maps.flatten(2)
        grams = (flat @ flat.transpose(1, 2)).flatten(1)
        unit = grams * grams.square().sum(1, keepdim=True).clamp_min(1e-10).rsqrt()
        alike = unit @ unit.T
        return alike.sum(1) - alike.diagonal()

    return of_layer(layer, value)


def diverse(objective: Objective, layer: str, share: float) -> Objective:
    """Make the pictures of a batch differ: objective − share · its value · the mean of ⟨Ĝᵢ, Ĝⱼ⟩ over the others.

    lucid's weight of `diversity` suits the values of one net; this one scales with the objective's value, detached.
    """
    alike = diversity(layer)

    def value(activations: Activations) -> Tensor:
        values = objective.value(activations)
        others = max(1, len(values) - 1)
        return values - (share / others) * values.detach().clamp(min=0) * alike.value(activations)

    return Objective(objective.layers | {layer}, value)


def alignment(layer: str, decay_ratio: float = 2.0) -> Objective:
    """Reward similar neighbours in the batch: −Σ mean|aᵢ − aᵢ₊d|² / decay_ratio^d for d from 1 to 4.

    Each picture of a pair receives half. Source: lucid, `optvis/objectives.py`.
    """

    def value(maps: Tensor) -> Tensor:
        total = maps.new_zeros(len(maps))
        for distance in range(1, min(NEIGHBOURS, len(maps) - 1) + 1):
            difference = (maps[:-distance] - maps[distance:]).square().mean((1, 2, 3)) / decay_ratio**distance
            total = total - F.pad(difference, (0, distance)) - F.pad(difference, (distance, 0))
        return total * (len(maps) / 2)

    return of_layer(layer, value)


def total_variation(layer: str = PICTURE) -> Objective:
    """Sum the absolute differences of vertical and horizontal neighbours (`tf.image.total_variation`)."""

    def value(maps: Tensor) -> Tensor:
        return sum(maps.diff(dim=axis).abs().sum((1, 2, 3)) for axis in (2, 3))  # type: ignore[return-value]

    return of_layer(layer, value)


def l1(layer: str = PICTURE, constant: float = 0.0) -> Objective:
    """Sum the absolute distances to a constant."""
    return of_layer(layer, lambda maps: (maps - constant).abs().sum((1, 2, 3)))


def l2(layer: str = PICTURE, constant: float = 0.0, epsilon: float = 1e-6) -> Objective:
    """Return the Euclidean distance to a constant, √(ε + Σ (x − constant)²)."""
    return of_layer(layer, lambda maps: (epsilon + (maps - constant).square().sum((1, 2, 3))).sqrt())


def blur(layer: str = PICTURE) -> Objective:
    """Return ½ Σ (x − blurred x)², the blurred x detached, so that its gradient is the step towards it."""

    def value(maps: Tensor) -> Tensor:
        return 0.5 * (maps - blurred(maps).detach()).square().sum((1, 2, 3))

    return of_layer(layer, value)


def boundary_complexity(width: int = 20, constant: float = 0.5, layer: str = PICTURE) -> Objective:
    """Sum (blurred x − x)² + 0.8 (x − constant)² over a border of `width` pixels.

    lucid's `penalize_boundary_complexity` with the opposite sign, like the other penalties here.
    """

    def value(maps: Tensor) -> Tensor:
        rough = (blurred(maps, 5) - maps).square() + 0.8 * (maps - constant).square()
        inside = rough[:, :, width : maps.shape[2] - width, width : maps.shape[3] - width]
        return rough.sum((1, 2, 3)) - inside.sum((1, 2, 3))

    return of_layer(layer, value)


def blurred(maps: Tensor, width: int = 3) -> Tensor:
    """Average each value with its neighbours, half-weighted at the window's edge; values outside the map don't count."""
    kernel = _kernel(width).to(maps)
    depth = maps.shape[1]
    summed = F.conv2d(maps, kernel.expand(depth, 1, -1, -1), padding=width // 2, groups=depth)
    return summed / F.conv2d(torch.ones_like(maps[:1, :1]), kernel, padding=width // 2)


@lru_cache(maxsize=8)
def _kernel(width: int) -> Tensor:
    kernel = torch.full((1, 1, width, width), 0.5)
    kernel[:, :, 1:-1, 1:-1] = 1.0
    return kernel
