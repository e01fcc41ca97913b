"""From one layer to a later one: how what is at each position, unit or group moves what is there later.

All three are linear attributions by forward mode: a part of the activation (what it has at a position, of a unit, or of
a group) is the tangent, and what is read is how the later activation moves along something that is there: its length at
a position (Olah et al. 2018 take the gradient of the later vector's norm), the sum of a unit over its places
(atlas.influence), or a group's pattern. To first order it is what would be lost if the part were set to zero.
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
"""Copies of the image in one pass, each with its own tangent."""

Parts = Iterator[Tensor]
"""Chunks `b c h w` of tangents: parts of one activation."""

Reading = Callable[[Tensor], Tensor]
"""From how the later activation moves, `b c h w`, to what is read off it, `b m`."""


def along(module: nn.Module, image: Tensor, layer: Layer, later: Layer, parts: Parts, reading: Reading) -> Float:
    """Return how each part moves each thing that is read, `n m`; `image` is `1 c h w`.

    Raises NoTangentError where the layer does not reach the later one.
    """
    found = [
        reading(layer_tangent(module, image.expand(len(part), -1, -1, -1), layer, _given(part), later)).double().cpu()
        for part in parts
    ]
    return np.asarray(torch.cat(found).numpy(), dtype=np.float32)


def to_classes(
    module: nn.Module, image: Tensor, layer: Layer, parts: Parts, logits: Callable[[Tensor], Tensor]
) -> Float:
    """Return how each part moves the score of every class, `n k`."""
    found = [
        output_tangent(module, image.expand(len(part), -1, -1, -1), layer, _given(part), logits).cpu() for part in parts
    ]
    return np.asarray(torch.cat(found).numpy(), dtype=np.float32)


def of_positions(activation: Tensor, blocks: Blocks, batch: int = BATCH) -> Parts:
    """Give what an activation `c h w` has in each block and nothing elsewhere."""
    total = int(np.prod(blocks.shape))
    for first in range(0, total, batch):
        masks = np.stack([blocks.mask(number) for number in range(first, min(first + batch, total))])
        yield activation[None] * torch.from_numpy(masks).to(activation)[:, None]


def of_units(activation: Tensor, units: Sequence[int] | NDArray[np.int64], batch: int = BATCH) -> Parts:
    """Give what an activation `c h w` has of each unit named, at all positions."""
    for first in range(0, len(units), batch):
        chosen = torch.as_tensor(np.asarray(units[first : first + batch], dtype=np.int64))
        part = torch.zeros(len(chosen), *activation.shape).to(activation)
        part[torch.arange(len(chosen)), chosen] = activation[chosen]
        yield part


def of_patterns(patterns: Float, batch: int = BATCH) -> Parts:
    """Give each pattern `k c h w` as it is."""
    for first in range(0, len(patterns), batch):
        yield torch.from_numpy(patterns[first : first + batch])


def lengths(later: Tensor, blocks: Blocks) -> Reading:
    """Read how the lengths of the later vectors `c h w` change, added up over each block."""
    towards = torch.nn.functional.normalize(later, dim=0)

    def reading(moved: Tensor) -> Tensor:
        change = (moved * towards).sum(1)
        return torch.from_numpy(blocks.sums(change.cpu().numpy())).flatten(1)

    return reading


def sums(moved: Tensor) -> Tensor:
    """Read how the sum of every later unit over its positions changes."""
    return moved.flatten(2).sum(2)


def projections(patterns: Float) -> Reading:
    """Read how much of each pattern `k c h w`, taken as a direction of length 1, the later activation gains."""
    flat = torch.nn.functional.normalize(torch.from_numpy(patterns).flatten(1), dim=1)
    return lambda moved: moved.flatten(1) @ flat.to(moved).T


def _given(part: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda activation: part.to(activation)
