"""Tell which axis of a layer's raw output is what, from its shapes for one input size or two.

The probe runs 3 images, so that the batch axis is unmistakable, and, where the model takes them, 2 images that are 64
pixels higher and 32 wider: an axis of places grows twice as much downwards as sideways, an axis of units does not grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from atlas.arrays import Layer

BATCH, OTHER_BATCH = 3, 2
TALLER, WIDER = 64, 32
MAX_PREFIX = 16
"""Class, distillation and register tokens that models put before the grid; more are taken for a coincidence."""

READINGS = ("bchw", "bhwc", "btc", "bc")
_SHRINKS = (1, 2, 4, 8, 16, 32)

Shape = tuple[int, ...]
Grid = tuple[int, int]


class AmbiguousAxesError(ValueError):
    """The axes of a layer's output can't be told; `--axes LAYER=bhwc` says them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A layer's output as the probe saw it: its shape, its shape for the other input size if there is one.

    `units` is the axis of units where the kind of module settles it: 1 for what gives `b c h w` (convolution, pooling),
    −1 for what works on the last axis (linear layer, layer norm), else 0.
    """

    name: str
    shape: Shape
    other: Shape | None
    units: int = 0


def read(seen: Iterable[Seen], size: Grid, axes: dict[str, str]) -> dict[str, Layer | AmbiguousAxesError]:
    """Return every layer as the rules tell it, or the error to raise when somebody names it.

    `size` is the height and width of the input; `axes` says what the user said, by name.
    """
    seen = list(seen)
    evidence = _Evidence(size=size)
    for one in seen:
        if one.units:
            evidence.settled.setdefault(one.shape, set()).add(one.units)
    found: dict[str, Layer | AmbiguousAxesError] = {}
    for one in seen:
        layers = list(_readings(one, evidence, axes.get(one.name)))
        found[one.name] = layers[0] if _agree(layers) else _error(one, layers, axes.get(one.name))
        if one.units == 1 and len(one.shape) == 4:
            evidence.grids.append((_last_two(one.shape), None if one.other is None else _last_two(one.other)))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    """What the layers so far tell: grids of convolutions (for both sizes), and by shape where the units are."""

    size: Grid
    grids: list[tuple[Grid, Grid | None]] = field(default_factory=list)
    settled: dict[Shape, set[int]] = field(default_factory=dict)

    def units(self, seen: Seen) -> int:
        """Return 1 or −1 where the layer's kind settles it, or that of all others of its shape; else 0."""
        others = self.settled.get(seen.shape, set())
        return seen.units or (next(iter(others)) if len(others) == 1 else 0)


def _readings(seen: Seen, evidence: _Evidence, said: str | None) -> Iterator[Layer]:
    shape, other = seen.shape, seen.other
    if not shape or shape[0] != BATCH or (other is not None and (len(other) != len(shape) or other[0] != OTHER_BATCH)):
        return
    if said is not None and len(said) != len(shape):
        return
    if len(shape) == 2:
        yield Layer(name=seen.name, units=shape[1], height=1, width=1, axes="bc")
    elif len(shape) == 3:
        yield from _tokens(seen, evidence, said is not None)
    elif len(shape) == 4:
        for axes, c, y, x in (("bchw", 1, 2, 3), ("bhwc", 3, 1, 2)):
            if axes == said or (said is None and _is_grid(seen, evidence, c, y, x)):
                yield Layer(name=seen.name, units=shape[c], height=shape[y], width=shape[x], axes=axes)


def _is_grid(seen: Seen, evidence: _Evidence, c: int, y: int, x: int) -> bool:
    """Say whether axes y and x can be the grid and c the units."""
    shape, other, units = seen.shape, seen.other, evidence.units(seen)
    if units and c != units % 4:
        return False
    if units == 1:
        return True
    if other is not None:
        down, sideways = other[y] - shape[y], other[x] - shape[x]
        if other[c] != shape[c] or down < 0 or sideways < 0:
            return False
        if down or sideways:
            return abs(down - sideways * TALLER // WIDER) <= 3  # each axis rounds by one
    here = (shape[y], shape[x])
    return here == (1, 1) or any(here == small for grid, _ in evidence.grids for small, _ in _shrunk(grid, None))


def _tokens(seen: Seen, evidence: _Evidence, said: bool) -> Iterator[Layer]:
    """Read `b t c`; nothing where `b c t` would do as well, unless the user or the kind of layer says which."""
    as_tokens, as_units = (_grid_of(seen, evidence, t=t) for t in (1, 2))
    if as_tokens is not None and (as_units is None or said or evidence.units(seen) == -1):
        prefix, (height, width) = as_tokens
        yield Layer(name=seen.name, units=seen.shape[2], height=height, width=width, axes="btc", prefix=prefix)


def _grid_of(seen: Seen, evidence: _Evidence, t: int) -> tuple[int, Grid] | None:
    """Return how many tokens of axis t stand before the grid, and the grid; None if axis t can't be tokens."""
    count, more = seen.shape[t], seen.other[t] if seen.other is not None else None
    if more is not None and seen.other is not None and seen.other[3 - t] != seen.shape[3 - t]:
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
        fits = [(p, like) for p in range(MAX_PREFIX + 1) if (like := _like(count - p, evidence.size)) is not None]
    return min(fits, key=lambda fit: fit[0], default=None)


def _shrunk(grid: Grid, larger: Grid | None) -> Iterator[tuple[Grid, Grid | None]]:
    """Yield the grid, then what merging neighbours by 2, 4, … makes of it (Swin merges without a convolution)."""
    for by in _SHRINKS:
        wide = (-(-larger[0] // by), -(-larger[1] // by)) if larger is not None else None
        yield (-(-grid[0] // by), -(-grid[1] // by)), wide


def _last_two(shape: Shape) -> Grid:
    return shape[2], shape[3]


def _like(count: int, size: Grid) -> Grid | None:
    """Return the grid of `count` places with the input's proportions, if there is one."""
    height = round((max(count, 0) * size[0] / size[1]) ** 0.5)
    if height < 1 or count % height or height * size[1] != (count // height) * size[0]:
        return None
    return height, count // height


def _agree(layers: list[Layer]) -> bool:
    return len({(layer.units, layer.height, layer.width) for layer in layers}) == 1


def _error(seen: Seen, layers: list[Layer], said: str | None) -> AmbiguousAxesError:
    shape = " × ".join(map(str, seen.shape)) or "nothing that is a tensor of numbers"
    if said is not None:
        reason = f"its output for {BATCH} images is {shape}, which can't be read as {said}"
        return AmbiguousAxesError(f"layer {seen.name}: {reason}; name another layer or other axes ({_known()})")
    if seen.shape and seen.shape[0] == BATCH and len(seen.shape) in (3, 4):
        could = [layer.axes for layer in layers] or [axes for axes in READINGS if len(axes) == len(seen.shape)]
        return AmbiguousAxesError(
            f"layer {seen.name}: the axes of its output, {shape} for {BATCH} images, can't be told "
            f"(candidates: {', '.join(could)}); say which with --axes {seen.name}={could[-1]}"
        )
    reason = f"its output for {BATCH} images is {shape}, with no axis of images first or no places to read"
    return AmbiguousAxesError(f"layer {seen.name}: {reason}; name the layer around it")


def _known() -> str:
    return ", ".join(READINGS)
