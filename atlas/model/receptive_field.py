"""Measure the input that a position of a layer sees: its reach, exactly, and its focus, with 90 % of its gradient.

Reach: set one row (column) of the input to NaN and see which rows (columns) of the output turn NaN. This holds for any
feed-forward model, since arithmetic propagates NaN. Models run on the CPU, whose convolutions do not mix neighbours, as
transform-based ones (Winograd, Fourier) on other devices do.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import zip_longest

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from atlas.arrays import Int, Layer, Reach
from atlas.boxes import centre
from atlas.model.activations import Recordable, run_to

log = logging.getLogger(__name__)

SHARE = 0.9
"""Share of the gradient that a focus holds."""

AXES = {"y": -2, "x": -1}
"""The axes of an image `c h w`."""
STRIP = 32
"""Pixels across a strip: the stride of the deepest layers of common models."""
CHECKED = 16
"""Lines of an axis to try again on the whole input."""

Recorded = nn.Module | Recordable
Rows = NDArray[np.int32]


def reach(
    module: Recorded, layers: Mapping[str, Layer], input_shape: tuple[int, ...], batch: int = 16
) -> dict[str, Reach]:
    """Return the reach of every layer, from sweeps over the rows and columns of the input `c h w`.

    Rows are swept on a narrow strip of the input and columns on a low one, which takes a fraction of the time. That is
    right where rows of the layer do not depend on how wide the input is. A layer whose strip has other rows, or whose rows
    answer otherwise on the whole input to lines at the edges found, is swept on the whole input.
    """
    height, width = input_shape[-2:]
    spans = {name: _Spans(layer, height, width) for name, layer in layers.items()}
    for axis in AXES:
        fits = _fitting_a_strip(module, layers, input_shape, axis)
        _sweep(module, fits, input_shape, axis, spans, batch=2 * batch, strip=True)
        wrong = _unlike_the_whole(module, fits, input_shape, axis, spans)
        whole = {name: layer for name, layer in layers.items() if name not in fits or name in wrong}
        for name in wrong:
            spans[name].clear(axis)
        _sweep(module, whole, input_shape, axis, spans, batch=batch, strip=False)
    return {name: span.reach() for name, span in spans.items()}


def focus(
    module: Recorded, layers: Mapping[str, Layer], images: Tensor, seed: int = 0, batch: int = 8
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
        self.cells = {"y": layer.height, "x": layer.width}
        self.first: dict[str, Rows] = {}
        self.last: dict[str, Rows] = {}
        self.hits: dict[str, dict[int, NDArray[np.bool_]]] = {}
        for axis in AXES:
            self.clear(axis)

    def clear(self, axis: str) -> None:
        """Forget what was found along an axis."""
        self.first[axis] = np.full(self.cells[axis], self.size[axis], np.int32)
        self.last[axis] = np.full(self.cells[axis], -1, np.int32)
        self.hits[axis] = {}

    def add(self, axis: str, line: int, hit: NDArray[np.bool_]) -> None:
        """Record the effect of an input line: `hit` is True for the layer's rows (columns) that changed."""
        self.hits[axis][line] = hit
        self.first[axis][hit] = np.minimum(self.first[axis][hit], line)
        self.last[axis][hit] = np.maximum(self.last[axis][hit], line)

    def done(self, axis: str) -> bool:
        """Check that no line further in than those tried can be the first or last of any."""
        size, tried = self.size[axis], self.hits[axis]
        inwards = next(i for i in range(size + 1) if i not in tried or size - 1 - i not in tried)
        return bool((self.first[axis] < inwards).all() and (self.last[axis] >= size - inwards).all())

    def edges(self, axis: str) -> list[int]:
        """Return the lines tried that are at an edge of a row's reach, or just outside, those of middle rows first."""
        rows = sorted(range(self.cells[axis]), key=lambda row: abs(2 * row - self.cells[axis] + 1))
        lines = [
            line + off
            for row in rows
            for line, offs in ((int(self.first[axis][row]), (0, -1)), (int(self.last[axis][row]), (0, 1)))
            for off in offs
        ]
        return [line for line in dict.fromkeys(lines) if line in self.hits[axis]]

    def reach(self) -> Reach:
        first = {axis: np.where(self.last[axis] < 0, np.int32(0), self.first[axis]) for axis in AXES}
        after = {axis: (self.last[axis] + 1).astype(np.int32) for axis in AXES}
        return Reach(top=first["y"], bottom=after["y"], left=first["x"], right=after["x"])


def _lines_inwards(size: int) -> list[int]:
    """Return all lines of an axis, from the borders to the middle."""
    return list(dict.fromkeys(line for i in range((size + 1) // 2) for line in (i, size - 1 - i)))


def _sweep(
    module: Recorded,
    layers: Mapping[str, Layer],
    shape: tuple[int, ...],
    axis: str,
    spans: Mapping[str, _Spans],
    *,
    batch: int,
    strip: bool,
) -> None:
    """Try the lines of an axis from the borders inwards.

    A layer is done when each of its rows has been reached from both sides; later passes end at the last layer that is
    not done.
    """
    lines = _lines_inwards(shape[AXES[axis]])
    left, start = dict(layers), 0
    while left and start < len(lines):
        stop = start + batch if start else 2  # the borders alone identify layers that see everything
        for name, line, hit in _hits(module, left, shape, axis, lines[start:stop], strip=strip):
            spans[name].add(axis, line, hit)
        left = {name: layer for name, layer in left.items() if not spans[name].done(axis)}
        start = stop


def _hits(
    module: Recorded,
    layers: Mapping[str, Layer],
    shape: tuple[int, ...],
    axis: str,
    lines: Sequence[int],
    *,
    strip: bool,
) -> list[tuple[str, int, NDArray[np.bool_]]]:
    """Run one image per line with NaN in it; return (layer, line, the rows or columns that turn NaN)."""
    size = _strip(shape, axis) if strip else shape
    generator = torch.Generator().manual_seed(0)
    # channels last is a quarter faster on a CPU, and a NaN stays a NaN
    x = (
        torch.randn(1, *size, generator=generator)
        .repeat(len(lines), 1, 1, 1)
        .contiguous(memory_format=torch.channels_last)
    )
    for image, line in zip(x, lines, strict=True):
        image.select(AXES[axis], line).fill_(torch.nan)
    hits: list[tuple[str, int, NDArray[np.bool_]]] = []

    def visit(name: str, activation: Tensor) -> None:
        changed = _nan_lines(activation, axis)
        hits.extend((name, line, hit) for line, hit in zip(lines, changed, strict=True))

    with torch.no_grad():
        run_to(module, x, layers, visit)
    return hits


def _nan_lines(activation: Tensor, axis: str) -> NDArray[np.bool_]:
    """Return `b n`: whether each row (column) of `b c h w` has a NaN."""
    across = (1, 3) if axis == "y" else (1, 2)
    if not activation.is_floating_point():
        return np.zeros((len(activation), activation.shape[AXES[axis]]), np.bool_)
    turned: NDArray[np.bool_] = activation.amax(across).isnan().cpu().numpy()  # the largest of values with a NaN is NaN
    return turned


def _strip(shape: tuple[int, ...], axis: str) -> tuple[int, ...]:
    """Return the input shape with the other axis cut to a strip."""
    channels, height, width = shape
    return (channels, height, min(STRIP, width)) if axis == "y" else (channels, min(STRIP, height), width)


def _fitting_a_strip(
    module: Recorded, layers: Mapping[str, Layer], shape: tuple[int, ...], axis: str
) -> dict[str, Layer]:
    """Return the layers that run on a strip and have the same number of rows (columns) there."""
    if _strip(shape, axis) == shape:
        return {}
    fits: dict[str, Layer] = {}

    def visit(name: str, activation: Tensor) -> None:
        cells = layers[name].height if axis == "y" else layers[name].width
        if activation.shape[AXES[axis]] == cells:
            fits[name] = layers[name]

    with torch.no_grad(), suppress(Exception):  # a model may refuse another size anywhere, in any words
        run_to(module, torch.zeros(1, *_strip(shape, axis)), layers, visit)
    return fits


def _unlike_the_whole(
    module: Recorded, layers: Mapping[str, Layer], shape: tuple[int, ...], axis: str, spans: Mapping[str, _Spans]
) -> set[str]:
    """Return the layers whose rows answer otherwise on the whole input, to lines at the edges found on the strip."""
    edges = [spans[name].edges(axis) for name in layers]
    lines = list(dict.fromkeys(line for turn in zip_longest(*edges) for line in turn if line is not None))[:CHECKED]
    if not lines:
        return set()
    whole = _hits(module, layers, shape, axis, lines, strip=False)
    return {name for name, line, hit in whole if not np.array_equal(hit, spans[name].hits[axis].get(line, hit))}


def _gradients(
    module: Recorded, layers: Mapping[str, Layer], images: Tensor, places: Mapping[str, Int]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield per layer |∂‖h‖²/∂x| summed over colours, `b h w`, for the vector h at each image's position."""
    energy: dict[str, Tensor] = {}

    def visit(name: str, activation: Tensor) -> None:
        y, x = torch.from_numpy(places[name]).unbind(1)
        energy[name] = activation[torch.arange(len(activation)), :, y, x].square().sum()

    with torch.enable_grad():
        x = images.detach().clone(memory_format=torch.channels_last).requires_grad_()
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
