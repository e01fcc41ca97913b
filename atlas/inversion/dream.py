"""DeepDream: amplify what a net detects in a picture, scale by scale and tile by tile.

The picture follows the gradient of a value at several sizes, smallest first; the detail added at one size is enlarged
and added to the next. The gradient is computed tile by tile, so that memory grows with the picture and not with the
net's activations, and the tiles are shifted at every step, so that their borders leave no trace.
Source: Mordvintsev et al. 2015, google/deepdream, dream.ipynb. There the picture is processed whole and jittered by 32
pixels with wrap-around; here a tile sees the picture mirrored beyond its edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from atlas.arrays import Layer
from atlas.inversion.objectives import PICTURE, Objective, of_layer
from atlas.inversion.render import Forward, Progress

Value = Callable[[Tensor], Tensor]
"""Maps pictures `b c h w` in 0..1 to the value of each, `b`, that is to increase."""

Size = tuple[int, int]
"""Height and width."""

LEVELS = 255.0
"""Levels of an 8-bit picture, the unit of the published rate."""

OCTAVES = 4
"""As published."""

_SEED_BITS = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle over a picture; it may extend beyond the edges."""

    top: int
    left: int
    size: Size

    def cut(self, picture: Tensor) -> Tensor:
        """Cut the tile out of a picture `c h w`, mirrored beyond its edges."""
        rows, columns = (
            mirrored_indices(start, count, side)
            for start, count, side in zip((self.top, self.left), self.size, picture.shape[1:], strict=True)
        )
        return picture[:, rows[:, None], columns[None, :]]

    def put(self, values: Tensor, picture: Tensor) -> None:
        """Write the tile's values `c *size` into a picture, except those outside it."""
        (down, rows), (across, columns) = (
            (slice(max(start, 0), min(start + count, side)), slice(max(-start, 0), min(count, side - start)))
            for start, count, side in zip((self.top, self.left), self.size, picture.shape[1:], strict=True)
        )
        picture[:, down, across] = values[:, rows, columns]


Octave = tuple[Size, list[list[Tile]]]
"""A size, and for each step at that size the tiles that cover it."""


def dream(
    value: Value,
    picture: Tensor,
    *,
    tile: Size,
    octaves: int = OCTAVES,
    scale: float = 1.4,
    iterations: int = 10,
    rate: float = 1.5,
    levels: int = 3,
    jitter: float = 1.0,
    seed: int = 0,
    batch: int = 8,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Tensor:
    """Return the picture `c h w` in 0..1 after dreaming, in the same size.

    Each step changes the picture's values by `rate` / 255 on average, along the gradient normalised over `levels` (0:
    as it is, as first published). The grid of tiles is shifted at every step, by up to `jitter` of a tile. `progress`
    receives the tiles done and their total. Memory: the picture about four times, and the activations of `batch` tiles
    on `device`. Raises ValueError for settings out of range.
    """
    if picture.ndim != 3 or not picture.numel():
        raise ValueError(f"a dream takes one picture (channels, height, width), not {tuple(picture.shape)}")
    size = (picture.shape[1], picture.shape[2])
    plan = plan_octaves(size, tile, octaves, scale=scale, iterations=iterations, jitter=jitter, seed=seed)
    report = _counter(progress, count_tiles(plan))
    detail = torch.zeros_like(picture[:, :1, :1])
    for left, (size, steps) in zip(reversed(range(len(plan))), plan, strict=True):
        base = resized(picture, size)
        dreamed = resized(detail, size).add_(base)
        for step_tiles in steps:
            slope = gradient(value, dreamed, step_tiles, batch=batch, device=device, report=report)
            step_uphill(dreamed, normalise_levels(slope, levels), rate)
        if left:
            detail = dreamed.sub_(base)
    return dreamed


def plan_octaves(
    size: Size,
    tile: Size,
    octaves: int = OCTAVES,
    *,
    scale: float = 1.4,
    iterations: int = 10,
    jitter: float = 1.0,
    seed: int = 0,
) -> list[Octave]:
    """Plan a dream: for each octave its size, and the tiles of each of its steps.

    Raises ValueError for settings out of range.
    """
    _check(octaves, scale, iterations, jitter)
    reach = [max(1, round(jitter * side)) for side in tile]
    draw = np.random.default_rng(seed & _SEED_BITS)
    shifts = draw.integers(0, reach, size=(octaves, iterations, 2)).tolist()
    sizes = octave_sizes(size, octaves, scale)
    return [(each, [tiles(each, tile, (y, x)) for y, x in steps]) for each, steps in zip(sizes, shifts, strict=True)]


def count_tiles(plan: Sequence[Octave]) -> int:
    """Count the tiles of a plan."""
    return sum(len(tiles) for _, steps in plan for tiles in steps)


def default_octaves(size: Size, tile: Size, scale: float = 1.4) -> int:
    """Return the published four octaves, or as many as it takes for the smallest to be as small as a tile.

    With fewer, what a net detects in a large photo stays as small as the detail within a tile.
    """
    shrinks = math.log(max(1.0, min(size) / min(tile))) / math.log(scale)
    return max(OCTAVES, 1 + round(shrinks))


def octave_sizes(size: Size, octaves: int, scale: float) -> list[Size]:
    """Return the sizes of all octaves, smallest first, the picture's own last, each `scale` times the one before."""
    return [(max(1, round(size[0] / scale**k)), max(1, round(size[1] / scale**k))) for k in reversed(range(octaves))]


def resized(picture: Tensor, size: Size) -> Tensor:
    """Resize `c h w` bilinearly, antialiased when shrinking (the published code is not)."""
    if (picture.shape[1], picture.shape[2]) == size:
        return picture
    return F.interpolate(picture[None], size, mode="bilinear", align_corners=False, antialias=True)[0]


def tiles(size: Size, tile: Size, shift: Size = (0, 0)) -> list[Tile]:
    """Cover a picture of `size` with adjacent tiles, the first starting `shift` before its origin."""
    rows, columns = (range(-by, side, count) for by, side, count in zip(shift, size, tile, strict=True))
    return [Tile(top, left, tile) for top, left in product(rows, columns)]


def mirrored_indices(start: int, count: int, side: int) -> Tensor:
    """Return the indices of `count` positions from `start` on an axis mirrored at both ends, repeatedly."""
    place = torch.arange(start, start + count) % (2 * side)
    return torch.where(place < side, place, 2 * side - 1 - place)


def gradient(
    value: Value,
    picture: Tensor,
    tiles: Sequence[Tile],
    *,
    batch: int = 8,
    device: torch.device | str = "cpu",
    report: Callable[[int], None] | None = None,
) -> Tensor:
    """Return the gradient `c h w` of the tiles' values with respect to the picture, each pixel's from its own tile.

    `report` receives the number of tiles of each batch. Raises ValueError if the gradient is not finite.
    """
    result = torch.empty_like(picture)
    for batch_tiles in _batches(tiles, batch):
        leaf = torch.stack([tile.cut(picture) for tile in batch_tiles]).to(device).requires_grad_()
        with torch.enable_grad():
            (slopes,) = torch.autograd.grad(value(leaf).sum(), [leaf])
        for tile, slope in zip(batch_tiles, slopes.to(result), strict=True):
            tile.put(slope, result)
        if report is not None:
            report(len(batch_tiles))
    if not bool(torch.isfinite(result.sum())):
        raise ValueError("the gradient is not finite; is the model's output, on such pictures?")
    return result


def normalise_levels(slope: Tensor, levels: int) -> Tensor:
    """Scale each of `levels` levels of detail, and the coarse rest, to a root mean square of 1; changes `slope`.

    A level is the detail lost by halving. Unscaled, the finest detail dominates, as a deep net's gradient is largest there.
    Source: Mordvintsev 2016, tensorflow/examples, deepdream.ipynb, lap_normalize, whose pyramid is a binomial one.
    """
    if levels < 1 or min(slope.shape[1:]) < 2:
        return slope if levels < 1 else _to_unit_rms(slope)
    size = (slope.shape[1], slope.shape[2])
    coarse = resized(slope, (-(-size[0] // 2), -(-size[1] // 2)))
    detail = _to_unit_rms(slope.sub_(resized(coarse, size)))
    coarse = normalise_levels(coarse, levels - 1) if levels > 1 else _to_unit_rms(coarse)
    return detail.add_(resized(coarse, size))


def _to_unit_rms(slope: Tensor) -> Tensor:
    """Scale to a root mean square of 1, in place; zeros stay."""
    size = float(torch.linalg.vector_norm(slope)) / slope.numel() ** 0.5
    return slope.div_(size) if size > 0 else slope


def step_uphill(picture: Tensor, slope: Tensor, rate: float) -> None:
    """Move the picture up the slope, in place, by `rate` levels on average, and clamp it to 0..1."""
    mean = float(torch.linalg.vector_norm(slope, 1)) / slope.numel()
    if mean > 0:
        picture.add_(slope, alpha=rate / LEVELS / mean).clamp_(0, 1)


def mean_value(
    value: Value, picture: Tensor, *, tile: Size, batch: int = 8, device: torch.device | str = "cpu"
) -> float:
    """Return the mean value of the tiles that cover the picture: the quantity a dream increases."""
    values = []
    for batch_tiles in _batches(tiles((picture.shape[1], picture.shape[2]), tile), batch):
        with torch.no_grad():
            values.append(value(torch.stack([one.cut(picture) for one in batch_tiles]).to(device)).double().cpu())
    return float(torch.cat(values).mean())


def value_of(forward: Forward, objective: Objective) -> Value:
    """Return the function that maps pictures to an objective's value, by `forward`."""
    return lambda pictures: objective.value({PICTURE: pictures, **forward(pictures)})


def guided_objective(layer: str, guide: Tensor) -> Objective:
    """Match each position to the most similar vector of the guide `c h w`.

    The value is the mean over positions of the largest dot product; its gradient is the published one, that vector
    itself at each position (dream.ipynb, objective_guide).
    """
    vectors = guide.detach().flatten(1)

    def value(maps: Tensor) -> Tensor:
        return (maps.flatten(2).transpose(1, 2) @ vectors.to(maps)).amax(2).mean(1)

    return of_layer(layer, value)


DEPTH = 0.6
"""Depth of the default layer, as a share of the layers with a grid; GoogLeNet's inception4c lies there."""

DEPTH_TOLERANCE = 0.05
"""How far from that depth a block may be."""


def default_layer(layers: Sequence[Layer]) -> Layer:
    """Choose the layer to dream of from a model's layers, given in the order in which they finish.

    Takes the block of most layers that ends near `DEPTH`, or without one the layer closest to that depth. Raises
    ValueError if no layer has a grid.
    """
    spatial = [layer for layer in layers if layer.height * layer.width > 1]
    if not spatial:
        raise ValueError("no layer has more than one position; there is nothing to dream of")
    inner_layers = [sum(other.name.startswith(f"{layer.name}.") for other in spatial) for layer in spatial]
    distance = [abs((place + 1) / len(spatial) - DEPTH) for place in range(len(spatial))]
    near = [place for place in range(len(spatial)) if distance[place] <= DEPTH_TOLERANCE and inner_layers[place]]
    return spatial[
        min(near or range(len(spatial)), key=lambda place: (-inner_layers[place] if near else 0, distance[place]))
    ]


def _batches(tiles: Sequence[Tile], batch: int) -> list[Sequence[Tile]]:
    return [tiles[first : first + batch] for first in range(0, len(tiles), batch)]


def _counter(progress: Progress | None, total: int) -> Callable[[int], None]:
    done = 0

    def report(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    return report


def _check(octaves: int, scale: float, iterations: int, jitter: float) -> None:
    if octaves < 1 or iterations < 1:
        raise ValueError(f"a dream takes at least 1 octave and 1 iteration, not {octaves} and {iterations}")
    if not scale > 1 or not 0 <= jitter <= 1:
        raise ValueError(f"a dream takes a scale above 1 and a jitter of 0 to 1, not {scale} and {jitter}")
