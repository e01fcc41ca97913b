"""Infer the axes of a layer's raw output from its shapes for one or two input sizes.

The probe runs 3 images, so that the batch axis is unmistakable, and, where the model accepts them, 2 images that are 64
pixels taller and 32 wider: spatial axes grow twice as much vertically as horizontally, the unit axis does not grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from atlas.arrays import Layer

BATCH, OTHER_BATCH = 3, 2
TALLER, WIDER = 64, 32
MAX_PREFIX = 16
"""Most class, distillation and register tokens expected before the grid; more are taken for a coincidence."""

READINGS = ("bchw", "bhwc", "btc", "bc")
_SHRINKS = (1, 2, 4, 8, 16, 32)

Shape = tuple[int, ...]
Grid = tuple[int, int]


class AmbiguousAxesError(ValueError):
    """The axes of a layer's output can't be inferred; `--axes LAYER=bhwc` sets them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerOutput:
    """The shape of a layer's output in the probe, and its shape for the larger input if there is one.

    `units` is the unit axis where the kind of module settles it: 1 for those that return `b c h w` (convolution,
    pooling), −1 for those that work on the last axis (linear layer, layer norm), else 0.
    """

    name: str
    shape: Shape
    larger: Shape | None
    units: int = 0


def infer_layers(
    outputs: Iterable[LayerOutput], size: Grid, axes: dict[str, str]
) -> dict[str, Layer | AmbiguousAxesError]:
    """Return each layer with its inferred axes, or the error to raise when that layer is requested.

    `size` is the height and width of the input; `axes` holds the user's choices by layer name.
    """
    outputs = list(outputs)
    evidence = _Evidence(size=size)
    for output in outputs:
        if output.units:
            evidence.settled.setdefault(output.shape, set()).add(output.units)
    result: dict[str, Layer | AmbiguousAxesError] = {}
    for output in outputs:
        layers = list(_readings(output, evidence, axes.get(output.name)))
        result[output.name] = layers[0] if _same_grid(layers) else _error(output, evidence, axes.get(output.name))
        if output.units == 1 and len(output.shape) == 4:
            evidence.grids.append(
                (_last_two(output.shape), None if output.larger is None else _last_two(output.larger))
            )
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    """Evidence from the layers so far: grids of convolutions (for both sizes), and unit axes by shape."""

    size: Grid
    grids: list[tuple[Grid, Grid | None]] = field(default_factory=list)
    settled: dict[Shape, set[int]] = field(default_factory=dict)

    def units(self, output: LayerOutput) -> int:
        """Return the unit axis, 1 or −1, settled by the layer's kind or by all layers of its shape; else 0."""
        others = self.settled.get(output.shape, set())
        return output.units or (next(iter(others)) if len(others) == 1 else 0)


def _readings(output: LayerOutput, evidence: _Evidence, chosen: str | None) -> Iterator[Layer]:
    shape, larger = output.shape, output.larger
    if (
        not all(shape)
        or not shape
        or shape[0] != BATCH
        or (larger is not None and (len(larger) != len(shape) or larger[0] != OTHER_BATCH))
    ):
        return
    if chosen is not None and len(chosen) != len(shape):
        return
    if len(shape) == 2:
        yield Layer(name=output.name, units=shape[1], height=1, width=1, axes="bc")
    elif len(shape) == 3:
        yield from _tokens(output, evidence, chosen is not None)
    elif len(shape) == 4:
        for axes, c, y, x in (("bchw", 1, 2, 3), ("bhwc", 3, 1, 2)):
            if axes == chosen or (chosen is None and _is_grid(output, evidence, c, y, x)):
                yield Layer(name=output.name, units=shape[c], height=shape[y], width=shape[x], axes=axes)


def _is_grid(output: LayerOutput, evidence: _Evidence, c: int, y: int, x: int) -> bool:
    """Check whether axes y and x can be the grid and c the units."""
    shape, larger, units = output.shape, output.larger, evidence.units(output)
    if units and c != units % 4:
        return False
    if units == 1:
        return True
    if larger is not None:
        down, sideways = larger[y] - shape[y], larger[x] - shape[x]
        if larger[c] != shape[c] or down < 0 or sideways < 0:
            return False
        if down or sideways:
            return abs(down - sideways * TALLER // WIDER) <= 3  # each axis rounds by one
    here = (shape[y], shape[x])
    return here == (1, 1) or any(here == small for grid, _ in evidence.grids for small, _ in _shrunk(grid, None))


def _tokens(output: LayerOutput, evidence: _Evidence, chosen: bool) -> Iterator[Layer]:
    """Yield the reading `b t c`, unless `b c t` fits as well and neither the user nor the layer's kind decides."""
    as_tokens, as_units = (_grid_of(output, evidence, t=t) for t in (1, 2))
    if as_tokens is not None and (as_units is None or chosen or evidence.units(output) == -1):
        prefix, (height, width) = as_tokens
        yield Layer(name=output.name, units=output.shape[2], height=height, width=width, axes="btc", prefix=prefix)


def _grid_of(output: LayerOutput, evidence: _Evidence, t: int) -> tuple[int, Grid] | None:
    """Return the number of tokens on axis t before the grid, and the grid; None if axis t can't be tokens."""
    count, more = output.shape[t], output.larger[t] if output.larger is not None else None
    if more is not None and output.larger is not None and output.larger[3 - t] != output.shape[3 - t]:
        return None
    if count == 1 and more in (None, 1):
        return (0, (1, 1)) if t == 1 else None
    fits = []
    for grid, larger in evidence.grids:
        for shrink, ((height, width), wide) in enumerate(_shrunk(grid, larger)):
            prefix = count - height * width
            same = more is None or wide is None or more - wide[0] * wide[1] == prefix
            if same and 0 <= prefix <= (1 if shrink else MAX_PREFIX):
                fits.append((prefix, (height, width)))
    if not evidence.grids:
        fits = [
            (p, likely)
            for p in range(MAX_PREFIX + 1)
            if (likely := _proportional_grid(count - p, evidence.size)) is not None
        ]
    return min(fits, key=lambda fit: fit[0], default=None)


def _shrunk(grid: Grid, larger: Grid | None) -> Iterator[tuple[Grid, Grid | None]]:
    """Yield the grid, then those left after merging neighbours by 2, 4, … (Swin merges without a convolution)."""
    for by in _SHRINKS:
        wide = (-(-larger[0] // by), -(-larger[1] // by)) if larger is not None else None
        yield (-(-grid[0] // by), -(-grid[1] // by)), wide


def _last_two(shape: Shape) -> Grid:
    return shape[2], shape[3]


def _proportional_grid(count: int, size: Grid) -> Grid | None:
    """Return the grid of `count` positions with the input's proportions, if there is one."""
    height = round((max(count, 0) * size[0] / size[1]) ** 0.5)
    if height < 1 or count % height or height * size[1] != (count // height) * size[0]:
        return None
    return height, count // height


def _same_grid(layers: list[Layer]) -> bool:
    return len({(layer.units, layer.height, layer.width) for layer in layers}) == 1


def _error(output: LayerOutput, evidence: _Evidence, chosen: str | None) -> AmbiguousAxesError:
    if not output.shape:
        return AmbiguousAxesError(f"layer {output.name}: its output has no tensor of real numbers; name another layer")
    shape = " × ".join(map(str, output.shape))
    if not all(output.shape):
        return AmbiguousAxesError(f"layer {output.name}: its output, {shape}, is empty; name another layer")
    could = [axes for axes in READINGS if _same_grid(list(_readings(output, evidence, axes)))]  # accepted when chosen
    if chosen is not None:
        reason = f"its output for {BATCH} images is {shape}, which can't be read as {chosen}"
        others = f" or other axes ({', '.join(could)})" if could else ""
        return AmbiguousAxesError(f"layer {output.name}: {reason}; name another layer{others}")
    if could:
        return AmbiguousAxesError(
            f"layer {output.name}: the axes of its output, {shape} for {BATCH} images, can't be told "
            f"(candidates: {', '.join(could)}); say which with --axes {output.name}={could[-1]}"
        )
    reason = f"its output for {BATCH} images is {shape}, with no axis of images first or no places to read"
    return AmbiguousAxesError(f"layer {output.name}: {reason}; name the layer around it")
