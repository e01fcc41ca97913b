"""DeepDream: make a picture more of what a net sees in it, scale by scale and tile by tile.

The picture climbs the gradient of a value at several sizes, small ones first; what a size added (the detail) is
enlarged and added to the next. The gradient is taken tile by tile, so that memory goes with the picture and not with
the net's activations of it, and the tiles lie elsewhere at every step, so that their borders leave no trace.
Source: Mordvintsev et al. 2015, google/deepdream, dream.ipynb. There the picture is taken whole and jittered by 32
pixels, what leaves it on one side coming in on the other; here a tile sees the picture mirrored beyond its edges.
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
from atlas.inversion.render import Progress, See

Value = Callable[[Tensor], Tensor]
"""Takes pictures `b c h w` in 0..1 to the number of each, `b`, that is to grow."""

Size = tuple[int, int]
"""Height and width."""

LEVELS = 255.0
"""The published rate counts in levels of a picture of bytes."""

OCTAVES = 4
"""As published."""

_SEED_BITS = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle over a picture, which it may stick out of."""

    top: int
    left: int
    size: Size

    def cut(self, picture: Tensor) -> Tensor:
        """Return what it sees of a picture `c h w`, mirrored beyond its edges."""
        rows, columns = (
            mirrored(start, count, side)
            for start, count, side in zip((self.top, self.left), self.size, picture.shape[1:], strict=True)
        )
        return picture[:, rows[:, None], columns[None, :]]

    def put(self, values: Tensor, picture: Tensor) -> None:
        """Write its values `c *size` into a picture, but for those outside."""
        (down, rows), (across, columns) = (
            (slice(max(start, 0), min(start + count, side)), slice(max(-start, 0), min(count, side - start)))
            for start, count, side in zip((self.top, self.left), self.size, picture.shape[1:], strict=True)
        )
        picture[:, down, across] = values[:, rows, columns]


Octave = tuple[Size, list[list[Tile]]]
"""A size, and for each step at it the tiles that cover it."""


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
    """Return the picture `c h w` in 0..1 dreamed on, in the same size.

    Each step changes the picture's numbers by `rate` / 255 in the mean, along the gradient evened over `levels` (none:
    as it is, the first published way). The grid of tiles is shifted at every step, by up to `jitter` of a tile.
    `progress` is told of tiles done and to do. Memory: the picture about four times, and `batch` tiles on their way
    through the net, on `device`. Raise ValueError for settings out of range.
    """
    if picture.ndim != 3 or not picture.numel():
        raise ValueError(f"a dream takes one picture (channels, height, width), not {tuple(picture.shape)}")
    size = (picture.shape[1], picture.shape[2])
    plan = course(size, tile, octaves, scale=scale, iterations=iterations, jitter=jitter, seed=seed)
    tell = _counter(progress, tiles_of(plan))
    detail = torch.zeros_like(picture[:, :1, :1])
    for left, (size, steps) in zip(reversed(range(len(plan))), plan, strict=True):
        base = resized(picture, size)
        dreamed = resized(detail, size).add_(base)
        for over in steps:
            slope = gradient(value, dreamed, over, batch=batch, device=device, tell=tell)
            climb(dreamed, evened(slope, levels), rate)
        if left:
            detail = dreamed.sub_(base)
    return dreamed


def course(
    size: Size,
    tile: Size,
    octaves: int = OCTAVES,
    *,
    scale: float = 1.4,
    iterations: int = 10,
    jitter: float = 1.0,
    seed: int = 0,
) -> list[Octave]:
    """Lay down the course of a dream: for each octave its size and for each of its steps the tiles.

    Raise ValueError for settings out of range.
    """
    _check(octaves, scale, iterations, jitter)
    reach = [max(1, round(jitter * side)) for side in tile]
    draw = np.random.default_rng(seed & _SEED_BITS)
    shifts = draw.integers(0, reach, size=(octaves, iterations, 2)).tolist()
    sizes = octave_sizes(size, octaves, scale)
    return [(each, [tiles(each, tile, (y, x)) for y, x in steps]) for each, steps in zip(sizes, shifts, strict=True)]


def tiles_of(plan: Sequence[Octave]) -> int:
    """Count the tiles of a course."""
    return sum(len(over) for _, steps in plan for over in steps)


def enough_octaves(size: Size, tile: Size, scale: float = 1.4) -> int:
    """Give the published four octaves, or as many as it takes for the smallest to be as small as a tile.

    With fewer, what a net sees in a large photo stays as small as a tile's detail.
    """
    shrinks = math.log(max(1.0, min(size) / min(tile))) / math.log(scale)
    return max(OCTAVES, 1 + round(shrinks))


def octave_sizes(size: Size, octaves: int, scale: float) -> list[Size]:
    """Give the sizes of all octaves, the smallest first and the picture's own last, each `scale` times the one before."""
    return [(max(1, round(size[0] / scale**k)), max(1, round(size[1] / scale**k))) for k in reversed(range(octaves))]


def resized(picture: Tensor, size: Size) -> Tensor:
    """Return `c h w` in another size, bilinear; where it shrinks, antialiased, which the published code does without."""
    if (picture.shape[1], picture.shape[2]) == size:
        return picture
    return F.interpolate(picture[None], size, mode="bilinear", align_corners=False, antialias=True)[0]


def tiles(size: Size, tile: Size, shift: Size = (0, 0)) -> list[Tile]:
    """Cover a picture of `size` by tiles side by side, the first of which begins `shift` before it."""
    rows, columns = (range(-by, side, count) for by, side, count in zip(shift, size, tile, strict=True))
    return [Tile(top, left, tile) for top, left in product(rows, columns)]


def mirrored(start: int, count: int, side: int) -> Tensor:
    """Give the indices of `count` places from `start` on an axis that is mirrored at both ends, again and again."""
    place = torch.arange(start, start + count) % (2 * side)
    return torch.where(place < side, place, 2 * side - 1 - place)


def gradient(
    value: Value,
    picture: Tensor,
    over: Sequence[Tile],
    *,
    batch: int = 8,
    device: torch.device | str = "cpu",
    tell: Callable[[int], None] | None = None,
) -> Tensor:
    """Return the gradient `c h w` of the tiles' values by the picture, each pixel's from the tile that it lies in.

    `tell` is told of the tiles of each batch. Raise ValueError where it is not finite.
    """
    found = torch.empty_like(picture)
    for some in _batches(over, batch):
        leaf = torch.stack([tile.cut(picture) for tile in some]).to(device).requires_grad_()
        with torch.enable_grad():
            (slopes,) = torch.autograd.grad(value(leaf).sum(), [leaf])
        for tile, slope in zip(some, slopes.to(found), strict=True):
            tile.put(slope, found)
        if tell is not None:
            tell(len(some))
    if not bool(torch.isfinite(found.sum())):
        raise ValueError("the gradient is not finite; is the model's output, on such pictures?")
    return found


def evened(slope: Tensor, levels: int) -> Tensor:
    """Scale each of so many levels of detail, and what is coarser than them, to a root mean square of 1; changes `slope`.

    A level is what is lost by halving. Without it the finest detail, in which a deep net's gradient is largest, wins.
    Source: Mordvintsev 2016, tensorflow/examples, deepdream.ipynb, lap_normalize, whose pyramid is a binomial one.
    """
    if levels < 1 or min(slope.shape[1:]) < 2:
        return slope if levels < 1 else _scaled(slope)
    size = (slope.shape[1], slope.shape[2])
    coarse = resized(slope, (-(-size[0] // 2), -(-size[1] // 2)))
    detail = _scaled(slope.sub_(resized(coarse, size)))
    coarse = evened(coarse, levels - 1) if levels > 1 else _scaled(coarse)
    return detail.add_(resized(coarse, size))


def _scaled(slope: Tensor) -> Tensor:
    """Scale to a root mean square of 1, in place; zeros stay."""
    size = float(torch.linalg.vector_norm(slope)) / slope.numel() ** 0.5
    return slope.div_(size) if size > 0 else slope


def climb(picture: Tensor, slope: Tensor, rate: float) -> None:
    """Move the picture up the slope, in place, by `rate` levels in the mean, and keep it within 0..1."""
    mean = float(torch.linalg.vector_norm(slope, 1)) / slope.numel()
    if mean > 0:
        picture.add_(slope, alpha=rate / LEVELS / mean).clamp_(0, 1)


def strength(value: Value, picture: Tensor, *, tile: Size, batch: int = 8, device: torch.device | str = "cpu") -> float:
    """Return the mean value of the tiles that cover the picture: what a dream is to raise."""
    found = []
    for some in _batches(tiles((picture.shape[1], picture.shape[2]), tile), batch):
        with torch.no_grad():
            found.append(value(torch.stack([one.cut(picture) for one in some]).to(device)).double().cpu())
    return float(torch.cat(found).mean())


def valued(see: See, objective: Objective) -> Value:
    """Make the value of an objective, of pictures as `see` shows them to a model."""
    return lambda pictures: objective.value({PICTURE: pictures, **see(pictures)})


def guided(layer: str, guide: Tensor) -> Objective:
    """Let each position match that vector of the guide `c h w` which it matches best.

    The mean over positions of the largest dot product; its gradient is the published one, that vector itself at each
    position (dream.ipynb, objective_guide).
    """
    vectors = guide.detach().flatten(1)

    def value(maps: Tensor) -> Tensor:
        return (maps.flatten(2).transpose(1, 2) @ vectors.to(maps)).amax(2).mean(1)

    return of_layer(layer, value)


DEPTH = 0.6
"""Of the layers with a grid, how many come before the one that is dreamed of; GoogLeNet's inception4c lies there."""

NEAR = 0.05
"""How far from that depth a block may lie."""


def middle(layers: Sequence[Layer]) -> Layer:
    """Choose the layer to dream of in a model's layers, given in the order in which they finish.

    The block of most layers that ends near `DEPTH` of those with a grid; without one, the layer next to that depth.
    Raise ValueError where none has a grid.
    """
    spatial = [layer for layer in layers if layer.height * layer.width > 1]
    if not spatial:
        raise ValueError("no layer has more than one position; there is nothing to dream of")
    parts = [sum(other.name.startswith(f"{layer.name}.") for other in spatial) for layer in spatial]
    apart = [abs((place + 1) / len(spatial) - DEPTH) for place in range(len(spatial))]
    near = [place for place in range(len(spatial)) if apart[place] <= NEAR and parts[place]]
    return spatial[min(near or range(len(spatial)), key=lambda place: (-parts[place] if near else 0, apart[place]))]


def _batches(over: Sequence[Tile], batch: int) -> list[Sequence[Tile]]:
    return [over[first : first + batch] for first in range(0, len(over), batch)]


def _counter(progress: Progress | None, total: int) -> Callable[[int], None]:
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    return tell


def _check(octaves: int, scale: float, iterations: int, jitter: float) -> None:
    if octaves < 1 or iterations < 1:
        raise ValueError(f"a dream takes at least 1 octave and 1 iteration, not {octaves} and {iterations}")
    if not scale > 1 or not 0 <= jitter <= 1:
        raise ValueError(f"a dream takes a scale above 1 and a jitter of 0 to 1, not {scale} and {jitter}")
