"""Measure the input that a position of a layer sees: its reach, exactly, and its focus, with 90 % of its gradient.

Reach: set one row (column) of the input to NaN and see which rows (columns) of the output turn NaN. This holds for any
feed-forward model, since arithmetic propagates NaN. Models run on the CPU, whose convolutions do not mix neighbours, as
transform-based ones (Winograd, Fourier) on other devices do.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from atlas.arrays import Int, Layer, Reach
from atlas.boxes import centre
from atlas.model.activations import run_to

log = logging.getLogger(__name__)

SHARE = 0.9
"""Share of the gradient that a focus holds."""

Rows = NDArray[np.int32]


def reach(
    module: nn.Module, layers: Mapping[str, Layer], input_shape: tuple[int, ...], batch: int = 16
) -> dict[str, Reach]:
    """Return the reach of every layer in one sweep over all rows and columns of the input `c h w`.

    Lines are tried from the borders inwards. A layer is done when each of its lines has been reached from both sides;
    later passes end at the last layer that is not done.
    """
    height, width = input_shape[-2:]
    lines = _lines_inwards(height, width)
    spans = {name: _Spans(layer, height, width) for name, layer in layers.items()}
    left, start = dict(layers), 0
    while left and start < len(lines):
        stop = start + batch if start else 4  # the borders alone identify layers that see everything
        _propagate_nans(module, left, input_shape, lines[start:stop], spans)
        left = {name: layer for name, layer in left.items() if not spans[name].done(lines[:stop])}
        start = stop
    return {name: span.reach() for name, span in spans.items()}


def focus(
    module: nn.Module, layers: Mapping[str, Layer], images: Tensor, seed: int = 0, batch: int = 8
) -> dict[str, float]:
    """Return each layer's focus: the side, in input pixels, of the window that a position mostly sees.

    This is the median, over the images `n c h w` with one position each that depends on (seed, layer, row of the
    image), of the side of the smallest square around the position that holds 90 % of |∂‖h‖²/∂x| summed over colours;
    the area outside the image counts as zero. Positions without a gradient (all units dead) are left out; if none
    remain, the focus is the layer's stride.
    """
    height, width = images.shape[-2:]
    places = {name: _places(layer, len(images), seed) for name, layer in layers.items()}
    sides: dict[str, list[float]] = {name: [] for name in layers}
    for start in range(0, len(images), batch):
        rows = slice(start, start + batch)
        for name, slopes in _gradients(module, layers, images[rows], {n: p[rows] for n, p in places.items()}):
            for slope, (y, x) in zip(slopes, places[name][rows].tolist(), strict=True):
                side = side_holding(slope, centre(layers[name], y, x, (height, width)))
                sides[name] += [side] if side is not None else []
    strides = {name: max(height / layer.height, width / layer.width) for name, layer in layers.items()}
    return {name: float(np.median(lengths)) if lengths else strides[name] for name, lengths in sides.items()}


def side_holding(
    slope: NDArray[np.floating], middle: tuple[NDArray[np.float64], ...], share: float = SHARE
) -> float | None:
    """Return the side, in whole pixels, of the smallest square around `middle` that holds `share` of a map `h w`.

    A pixel counts only if all of it lies inside. None if the map is zero everywhere.
    """
    y, x = (np.abs(np.arange(n) + 0.5 - m) for n, m in zip(slope.shape, middle, strict=True))
    # A pixel's centre is this far off, its outer edge half a pixel more; the 1e-9 keeps rounding from adding a pixel.
    side = np.ceil(2 * np.maximum(y[:, None], x[None, :]) + 1 - 1e-9).astype(np.int64)
    held = np.cumsum(np.bincount(side.ravel(), weights=slope.ravel().astype(np.float64)))
    return float(np.searchsorted(held, share * held[-1])) if held[-1] > 0 else None


class _Spans:
    """The first and last input row and column found to change each row and column of one layer."""

    def __init__(self, layer: Layer, height: int, width: int) -> None:
        self.size = {"y": height, "x": width}
        cells = {"y": layer.height, "x": layer.width}
        self.first = {axis: np.full(n, self.size[axis], np.int32) for axis, n in cells.items()}
        self.last = {axis: np.full(n, -1, np.int32) for axis, n in cells.items()}

    def add(self, axis: str, index: int, changed: NDArray[np.bool_]) -> None:
        """Record the effect of the input line `index`: `changed`, `h w`, is True where a position changed."""
        hit = changed.any(axis=1 if axis == "y" else 0)
        self.first[axis][hit] = np.minimum(self.first[axis][hit], index)
        self.last[axis][hit] = np.maximum(self.last[axis][hit], index)

    def done(self, tried: list[tuple[str, int]]) -> bool:
        """Check that no line further in than those tried can be the first or last of any."""
        for axis, size in self.size.items():
            depth = {index for one, index in tried if one == axis}
            inwards = next(i for i in range(size + 1) if i not in depth or size - 1 - i not in depth)
            if (self.first[axis] >= inwards).any() or (self.last[axis] < size - inwards).any():
                return False
        return True

    def reach(self) -> Reach:
        first = {axis: np.where(self.last[axis] < 0, np.int32(0), self.first[axis]) for axis in self.size}
        after = {axis: (self.last[axis] + 1).astype(np.int32) for axis in self.size}
        return Reach(top=first["y"], bottom=after["y"], left=first["x"], right=after["x"])


def _lines_inwards(height: int, width: int) -> list[tuple[str, int]]:
    """Return all rows and columns, from the borders to the middle."""
    sizes = {"y": height, "x": width}
    pairs = [(axis, index) for i in range(max(sizes.values())) for axis in sizes for index in (i, sizes[axis] - 1 - i)]
    return list(dict.fromkeys((axis, index) for axis, index in pairs if 0 <= index < sizes[axis]))


def _propagate_nans(
    module: nn.Module,
    layers: Mapping[str, Layer],
    shape: tuple[int, ...],
    lines: list[tuple[str, int]],
    spans: Mapping[str, _Spans],
) -> None:
    """Run images with NaN in one line each, and record the positions that turn NaN."""
    generator = torch.Generator().manual_seed(0)
    x = (
        torch.randn(1, *shape, generator=generator)
        .repeat(len(lines), 1, 1, 1)
        .contiguous(
            memory_format=torch.channels_last  # a quarter faster on a CPU, and a NaN stays a NaN
        )
    )
    for image, (axis, index) in zip(x, lines, strict=True):
        image.select(-2 if axis == "y" else -1, index).fill_(torch.nan)

    def visit(name: str, activation: Tensor) -> None:
        changed = torch.isnan(activation).any(dim=1).cpu().numpy()
        for one, (axis, index) in zip(changed, lines, strict=True):
            spans[name].add(axis, index, one)

    with torch.no_grad():
        run_to(module, x, layers, visit)


def _gradients(
    module: nn.Module, layers: Mapping[str, Layer], images: Tensor, places: Mapping[str, Int]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield per layer |∂‖h‖²/∂x| summed over colours, `b h w`, for the vector h at each image's position."""
    energy: dict[str, Tensor] = {}

    def visit(name: str, activation: Tensor) -> None:
        y, x = torch.from_numpy(places[name]).unbind(1)
        energy[name] = activation[torch.arange(len(activation)), :, y, x].square().sum()

    with torch.enable_grad():
        x = images.detach().clone().requires_grad_()
        with _without_derivative():
            run_to(module, x, layers, visit)
        for name in layers:
            yield name, _slope(energy.get(name), x).abs().sum(1).numpy()


def _slope(value: Tensor | None, x: Tensor) -> Tensor:
    """Return ∂value/∂x: zero where a frozen part (no_grad, detach) or an operator passes no gradient on."""
    slope = None
    if value is not None and value.requires_grad:
        with _without_derivative():
            (slope,) = torch.autograd.grad(value, [x], retain_graph=True, allow_unused=True)
    return torch.zeros_like(x) if slope is None else slope


@contextmanager
def _without_derivative() -> Iterator[None]:
    """Go on where a model that runs has no derivative in torch."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, NotImplementedError) as error:
        log.info("no gradient of the model: %s", error)


def _places(layer: Layer, count: int, seed: int) -> Int:
    """Return one position `y, x` per image."""
    random = np.random.default_rng([seed & (2**63 - 1), zlib.crc32(layer.name.encode())])
    return random.integers(0, (layer.height, layer.width), size=(count, 2))
