"""Objectives to maximise: one value per picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

Activations = Mapping[str, Tensor]
"""Activations `b c h w` by layer name, and the plain picture under PICTURE."""

PICTURE = ":picture"
"""The name of the picture itself, in place of a layer's; no module has a name with a colon."""

LOGITS = ":logits"
"""The name of the class scores, `b k 1 1`, in place of a layer's."""

Units = int | Sequence[int] | Tensor
"""One unit for all pictures, or one for each."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A value per picture, `b`, from the layers it names; objectives add, subtract and scale."""

    layers: frozenset[str]
    value: Callable[[Activations], Tensor]

    def __add__(self, other: Objective) -> Objective:
        return Objective(
            self.layers | other.layers, lambda activations: self.value(activations) + other.value(activations)
        )

    def __sub__(self, other: Objective) -> Objective:
        return self + (-other)

    def __mul__(self, weight: float) -> Objective:
        return Objective(self.layers, lambda activations: self.value(activations) * weight)

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return self * -1.0


def of_layer(name: str, value: Callable[[Tensor], Tensor]) -> Objective:
    """Make an objective from a function of one layer's activations, `b c h w` to `b`."""
    return Objective(frozenset({name}), lambda activations: value(activations[name]))


def neuron(layer: str, units: Units, y: int | None = None, x: int | None = None) -> Objective:
    """Excite a unit at one position; without one, at the centre (height // 2, width // 2).

    Its value raises ValueError if a picture's map has no such position.
    """

    def value(maps: Tensor) -> Tensor:
        height, width = maps.shape[2:]
        if (y or 0) >= height or (x or 0) >= width:
            raise ValueError(f"layer {layer} has no position {y},{x} at this size; its grid is {height} × {width}")
        return _of_units(maps, units)[:, height // 2 if y is None else y, width // 2 if x is None else x]

    return of_layer(layer, value)


def channel(layer: str, units: Units) -> Objective:
    """Excite a unit at all positions: the mean over the map."""
    return of_layer(layer, lambda maps: _of_units(maps, units).mean((1, 2)))


def peak(layer: str, units: Units) -> Objective:
    """Excite a unit wherever it is strongest: the largest value over the map."""
    return of_layer(layer, lambda maps: _of_units(maps, units).amax((1, 2)))


def class_logit(classes: Units) -> Objective:
    """Raise the score of a class, before the softmax."""
    return channel(LOGITS, classes)


def class_probability(classes: Units) -> Objective:
    """Raise the probability of a class, which also lowers the scores of all others."""
    return of_layer(LOGITS, lambda scores: _of_units(scores.softmax(1), classes).mean((1, 2)))


def per_picture(objectives: Sequence[Objective]) -> Objective:
    """Give every picture of a batch its own objective, in order."""

    def value(activations: Activations) -> Tensor:
        return torch.cat(
            [
                one.value({name: maps[i : i + 1] for name, maps in activations.items()})
                for i, one in enumerate(objectives)
            ]
        )

    return Objective(frozenset().union(*(one.layers for one in objectives)), value)


def deepdream(layer: str) -> Objective:
    """Excite a whole layer: the mean of squares."""
    return of_layer(layer, lambda maps: maps.square().mean((1, 2, 3)))


def direction(
    layer: str, targets: Tensor, whiten: Tensor, *, power: int = 4, window: float = 0.3, floor: float = 0.1
) -> Objective:
    """Turn each picture's windowed mean activation towards its target, in the whitened metric.

    With h̃ = h W and the unit vector ṽ along v W, the value is (h̃·ṽ) · max(floor, cos(h̃, ṽ))^power. Targets v are
    `b c`, W is `c c`, h is the mean under a Gaussian window whose deviation is `window` of the map's side.
    Source: Activation Atlas (Carter et al. 2019), whose code leaves out |v| and mixes the two metrics.
    """
    aim = torch.nn.functional.normalize(targets @ whiten, dim=1)

    def value(maps: Tensor) -> Tensor:
        return _dot_cosine(windowed(maps, window) @ whiten.to(maps), aim.to(maps), power, floor)

    return of_layer(layer, value)


def published_direction(layer: str, targets: Tensor, inverse_moment: Tensor, *, power: int = 4) -> Objective:
    """Compute the published atlas's objective as its code does, for comparison.

    At the centre position: d = mean over units of h · (v S), and d · max(0.1, d / (1e-4 + |h|))^power.
    Source: lucid, notebook activation-atlas-simple, direction_neuron_cossim_S.
    """
    aim = targets @ inverse_moment

    def value(maps: Tensor) -> Tensor:
        height, width = maps.shape[2:]
        at = maps[:, :, height // 2, width // 2]
        dot = (at * aim.to(maps)).mean(1)
        cosine = dot / (1e-4 + torch.linalg.vector_norm(at, dim=1))
        return dot * torch.pow(cosine.clamp_min(0.1), power)

    return of_layer(layer, value)


@lru_cache(maxsize=64)
def gaussian_window(height: int, width: int, share: float) -> Tensor:
    """Return weights `h w` that sum to 1: a centred Gaussian, its deviation `share` of the side on each axis."""
    down, across = (_bell(side, share) for side in (height, width))
    return down[:, None] * across[None, :]


def _bell(side: int, share: float) -> Tensor:
    place = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    weight = torch.exp(-0.5 * (place / (share * side)).square())
    return (weight / weight.sum()).float()


def windowed(maps: Tensor, share: float) -> Tensor:
    """Return the mean of maps `b c h w` under the Gaussian window, `b c`."""
    weights = gaussian_window(maps.shape[2], maps.shape[3], share).to(maps)
    return (maps * weights).sum((2, 3))


def _dot_cosine(activation: Tensor, aim: Tensor, power: int, floor: float) -> Tensor:
    dot = (activation * aim).sum(1)
    cosine = dot / torch.linalg.vector_norm(activation, dim=1).clamp_min(1e-12)
    return dot * torch.pow(cosine.clamp_min(floor), power)


def _of_units(maps: Tensor, units: Units) -> Tensor:
    if isinstance(units, int):
        return maps[:, units]
    chosen = torch.as_tensor(units, device=maps.device)
    return maps[torch.arange(len(maps), device=maps.device), chosen]
