"""Attribute from one layer to a later one: the effect of each position, unit or group on those of the later layer.

All three are linear attributions by forward mode: a part of the activation (at a position, of a unit, or of a group) is
the tangent, and the reading is the change of the later activation along its own: the vector's length at a position
(Olah et al. 2018 take the gradient of the later vector's norm), the sum of a unit over its positions (atlas.influence),
or a group's pattern. To first order it is the loss from setting the part to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from atlas.arrays import Float, Layer
from atlas.model.forward_mode import layer_tangent, output_tangent
from atlas.one_image.blocks import Blocks

BATCH = 8
"""Copies of the image per pass, each with its own tangent."""

Parts = Iterator[Tensor]
"""Chunks `b c h w` of tangents: parts of one activation."""

Reading = Callable[[Tensor], Tensor]
"""Maps the tangent of the later activation, `b c h w`, to the values read from it, `b m`."""


def effects_on_layer(
    module: nn.Module, image: Tensor, layer: Layer, later: Layer, parts: Parts, reading: Reading
) -> Float:
    """Return the effect of each part on each value read from the later layer, `n m`; `image` is `1 c h w`.

    Raises NoTangentError if the layer does not reach the later one.
    """
    effects = [
        reading(layer_tangent(module, image.expand(len(part), -1, -1, -1), layer, _constant(part), later))
        .double()
        .cpu()
        for part in parts
    ]
    return np.asarray(torch.cat(effects).numpy(), dtype=np.float32)


def effects_on_classes(
    module: nn.Module, image: Tensor, layer: Layer, parts: Parts, logits: Callable[[Tensor], Tensor]
) -> Float:
    """Return the effect of each part on the score of every class, `n k`."""
    effects = [
        output_tangent(module, image.expand(len(part), -1, -1, -1), layer, _constant(part), logits).double().cpu()
        for part in parts
    ]
    return np.asarray(torch.cat(effects).numpy(), dtype=np.float32)


def position_parts(activation: Tensor, blocks: Blocks, batch: int = BATCH) -> Parts:
    """Yield the parts of an activation `c h w` in each block, zero elsewhere."""
    total = int(np.prod(blocks.shape))
    for first in range(0, total, batch):
        masks = np.stack([blocks.mask(number) for number in range(first, min(first + batch, total))])
        yield activation[None] * torch.from_numpy(masks).to(activation)[:, None]


def unit_parts(activation: Tensor, units: Sequence[int] | NDArray[np.int64], batch: int = BATCH) -> Parts:
    """Yield the parts of an activation `c h w` for each of the units, at all positions."""
    for first in range(0, len(units), batch):
        chosen = torch.as_tensor(np.asarray(units[first : first + batch], dtype=np.int64))
        part = torch.zeros(len(chosen), *activation.shape).to(activation)
        part[torch.arange(len(chosen)), chosen] = activation[chosen]
        yield part


def pattern_parts(patterns: Float, batch: int = BATCH) -> Parts:
    """Yield the patterns `k c h w` themselves."""
    for first in range(0, len(patterns), batch):
        yield torch.from_numpy(patterns[first : first + batch])


def read_lengths(later: Tensor, blocks: Blocks) -> Reading:
    """Read the change in length of the later vectors `c h w`, summed over each block."""
    towards = torch.nn.functional.normalize(later, dim=0)

    def reading(tangent: Tensor) -> Tensor:
        change = (tangent * towards).sum(1)
        return torch.from_numpy(blocks.sums(change.cpu().numpy())).flatten(1)

    return reading


def read_sums(tangent: Tensor) -> Tensor:
    """Read the change of every later unit, summed over its positions."""
    return tangent.flatten(2).sum(2)


def read_projections(patterns: Float) -> Reading:
    """Read the change of the later activation along each pattern `k c h w`, as a direction of length 1."""
    flat = torch.nn.functional.normalize(torch.from_numpy(patterns).flatten(1), dim=1)
    return lambda tangent: tangent.flatten(1) @ flat.to(tangent).T


def _constant(part: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda activation: part.to(activation)
