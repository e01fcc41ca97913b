"""Measure how strongly a unit at a position drives every unit of a later layer (Olah et al., Building Blocks, 2018).

The effect of one patch is linear: the change of the later unit's sum over its positions as the unit's value at the
position moves along itself. To first order it is the loss from setting the value to zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from atlas.arrays import Float, Int, Layer
from atlas.model.activations import run_to, view
from atlas.model.dispatch import slow_attention
from atlas.model.forward_mode import layer_tangent, own_value, replacing

EFFECTS = ("exciting", "inhibiting")


def effects(
    module: nn.Module, images: Tensor, layer: Layer, later: Layer, unit: Tensor, y: Tensor, x: Tensor
) -> Tensor:
    """Return the linear effect of one neuron (unit, y, x) per image on every later unit, summed over positions, `b v`."""
    return layer_tangent(module, images, layer, own_value(y, x, unit), later).flatten(2).sum(2)


def ablations(
    module: nn.Module, images: Tensor, layer: Layer, later: Layer, unit: Tensor, y: Tensor, x: Tensor
) -> Tensor:
    """Return the loss of every later unit, summed over positions, from setting the neuron to zero, `b v`: two passes."""

    def without(raw: Tensor) -> Tensor:
        silenced = raw.clone()
        view(silenced, layer)[torch.arange(len(raw), device=raw.device), unit, y, x] = 0
        return silenced

    with torch.no_grad(), slow_attention():
        whole = _sums(module, images, later)
        with replacing(module, layer, without):
            return whole - _sums(module, images, later)


def _sums(module: nn.Module, images: Tensor, later: Layer) -> Tensor:
    sums: list[Tensor] = []
    run_to(module, images, {later.name: later}, lambda _, activation: sums.append(activation.flatten(2).sum(2)))
    return sums[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """The strongest connections, one row each, ordered by unit, effect and rank.

    `influence` is the mean effect over the unit's patches, `agreement` the share of patches with an effect of that sign.
    """

    unit: Int
    effect: Int
    """0 exciting, 1 inhibiting: see EFFECTS."""
    rank: Int
    later_unit: Int
    influence: Float
    agreement: Float
    patches: Int


class Connections:
    """Sums the effects of patches, in memory for `units × later_units`, whatever the number of patches."""

    def __init__(self, units: int, later_units: int) -> None:
        self.total = np.zeros((units, later_units))
        self.signs = np.zeros((2, units, later_units), np.int16)
        self.patches = np.zeros(units, np.int64)
        self.nonfinite = 0

    def add(self, unit: Int, effect: NDArray[Any]) -> None:
        """Add the effects `b v` of patches of these units; those that are not finite are counted and left out."""
        finite = np.isfinite(effect).all(axis=1)
        self.nonfinite += int((~finite).sum())
        unit, effect = unit[finite], effect[finite].astype(np.float64)
        np.add.at(self.total, unit, effect)
        np.add.at(self.signs[0], unit, effect > 0)
        np.add.at(self.signs[1], unit, effect < 0)
        np.add.at(self.patches, unit, 1)

    def strongest(self, k: int) -> Influence:
        """Return up to `k` exciting and `k` inhibiting later units of each unit; ties in the order of later units."""
        mean = self.total / np.maximum(self.patches, 1)[:, None]
        columns: dict[str, list[NDArray[Any]]] = {}
        for effect, sign in enumerate((1, -1)):
            best = np.argsort(-sign * mean, axis=1, kind="stable")[:, :k]
            value = np.take_along_axis(mean, best, 1)
            unit, rank = np.nonzero(sign * value > 0)
            later = best[unit, rank]
            row = {"unit": unit, "effect": np.full(len(unit), effect), "rank": rank, "later_unit": later}
            agreement = self.signs[effect, unit, later] / self.patches[unit]
            row |= {"influence": value[unit, rank].astype(np.float32), "agreement": agreement.astype(np.float32)}
            for name, values in (row | {"patches": self.patches[unit]}).items():
                columns.setdefault(name, []).append(values)
        joined = {name: np.concatenate(values) for name, values in columns.items()}
        order = np.lexsort((joined["rank"], joined["effect"], joined["unit"]))
        return Influence(**{name: values[order] for name, values in joined.items()})
