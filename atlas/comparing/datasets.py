"""Compare two sets of images by the samples of one layer: where on the map of the first they differ, and which units."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from atlas.arrays import Float, Int, Samples
from atlas.cells import cell_of
from atlas.comparing import placing, two_samples
from atlas.comparing.drift import Double
from atlas.comparing.placing import Placed
from atlas.comparing.two_samples import Bool, Part, Ratios, Shifts
from atlas.layout.layout import Keys, hash_keys

SEED = 0
"""Of the permutations: the same two sets give the same answer."""

MOST_NEIGHBOURS = 10_000
"""Samples whose neighbours are looked at; of more, those with the smallest hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The samples of a set on the map, and the images that have any: their ids `n`, and each sample's among them."""

    samples: Samples
    placed: Placed
    ids: Int
    image: Int


@dataclass(frozen=True, slots=True, kw_only=True)
class GridDensity:
    """The cells of a grid that have enough samples of both sets together, `k`, row · grid + column.

    `count` is `k 2`: the samples of each set. `beyond` marks the ratios beyond chance.
    """

    cell: Int
    count: Int
    ratios: Ratios
    p: Double
    beyond: Bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitShifts:
    """The shift of each unit, `u`, its p-value, and whether it is beyond chance; `whole` is that of all units together."""

    shifts: Shifts
    p: Double
    beyond: Bool
    whole: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The differences of two sets; `p` is that of units and of neighbours together."""

    sides: tuple[Side, Side]
    means: Float
    """The mean of each image, `n u`, those of the first set first."""
    grids: dict[int, GridDensity]
    units: UnitShifts
    peaks: UnitShifts | None
    neighbours: float
    """The p-value of the share of neighbours from an image's own set."""
    p: float


def difference(
    reference: Samples,
    points: Float,
    incoming: Samples,
    names: tuple[Keys, Keys],
    *,
    grids: Sequence[int],
    min_count: int,
    peaks: tuple[Float, Float] | None = None,
    contents: tuple[Int, Int] | None = None,
    permutations: int = two_samples.PERMUTATIONS,
    advance: Callable[[float], None] = lambda share: None,
) -> Difference:
    """Compare two sets; the samples of the first lie at `points`, `n 2`.

    `names` identify the samples, whichever set they are in. `peaks` are the best values of each unit in each image
    that has samples, `n u`, by ascending id. `contents` number what the image of each sample shows: copies of an image
    neither place each other nor count as neighbours. Every test permutes whole images. `advance` is told the share done.
    """
    placed = placing.place_both(reference, points, incoming, contents, advance=lambda share: advance(0.2 * share))
    sides = _side(reference, placed[0]), _side(incoming, placed[1])
    second = np.repeat([False, True], [len(side.ids) for side in sides])
    means = np.concatenate([placing.means(side.image, side.samples.activations, len(side.ids)) for side in sides])
    best = None if peaks is None else np.concatenate(peaks)
    units = [_scaled(means), *([] if best is None else [_scaled(best)])]
    whole = two_samples.permutation_test(
        units,
        second,
        [_neighbours(sides, names, contents)],
        permutations=permutations,
        seed=SEED,
        advance=lambda share: advance(0.2 + 0.5 * share),
    )
    del units
    by_grid = _grids(sides, grids, min_count, second, permutations, lambda share: advance(0.7 + 0.3 * share))
    return Difference(
        sides=sides,
        means=means,
        grids=by_grid,
        units=_unit_shifts(means, second, whole.parts[0]),
        peaks=None if best is None else _unit_shifts(best, second, whole.parts[1]),
        neighbours=whole.statistics[0],
        p=whole.p,
    )


def _side(samples: Samples, placed: Placed) -> Side:
    ids, image = np.unique(samples.image_id, return_inverse=True)
    return Side(samples=samples, placed=placed, ids=ids, image=image.astype(np.int64))


def _neighbours(
    sides: tuple[Side, Side], names: tuple[Keys, Keys], contents: tuple[Int, Int] | None
) -> Callable[[Float], Double]:
    """Return a function for the share of neighbours from an image's own set, of labellings of the images of both sets.

    Schilling (1986) and Henze (1988). Neither the samples nor their neighbours depend on which set an image is in, so
    that its p-value is exact. With the cells of the first set's map it would not be: each cell's is nearly so, but there
    are hundreds, and their sum shows the rest.
    """
    images, first = len(sides[0].ids) + len(sides[1].ids), len(sides[0].image)
    order = np.argsort(np.concatenate([hash_keys(keys, SEED) for keys in names]), kind="stable")[:MOST_NEIGHBOURS]
    # Of equal samples the one in the earlier row is the nearer neighbour: rows are in no set's favour.
    drawn = np.concatenate([hash_keys(keys, SEED + 1 + side) for side, keys in enumerate(names)])[order]
    rows = order[np.argsort(drawn, kind="stable")]
    image = np.concatenate([sides[0].image, sides[1].image + len(sides[0].ids)])[rows]
    activations = np.empty((len(rows), sides[0].samples.activations.shape[1]), np.float32)
    activations[rows < first] = sides[0].samples.activations[rows[rows < first]]
    activations[rows >= first] = sides[1].samples.activations[rows[rows >= first] - first]
    content = None if contents is None else np.concatenate(contents)[rows]
    graph = placing.neighbour_graph(activations, image, images, content)
    return functools.partial(placing.own_neighbours, graph)


def _grids(
    sides: tuple[Side, Side],
    grids: Sequence[int],
    min_count: int,
    second: Bool,
    permutations: int,
    advance: Callable[[float], None],
) -> dict[int, GridDensity]:
    cells = {grid: _cells(sides, grid, min_count) for grid in grids}
    densities = [_densities(sides, grid, cell) for grid, (cell, _) in cells.items()]
    tested = two_samples.permutation_test(densities, second, permutations=permutations, seed=SEED, advance=advance)
    return {
        grid: _grid(*cells[grid], density, second, part)
        for grid, density, part in zip(cells, densities, tested.parts, strict=True)
    }


def _cells(sides: tuple[Side, Side], grid: int, min_count: int) -> tuple[Int, Int]:
    """Return the cells with enough samples of both sets together, `k`, and the samples of each set, `k 2`."""
    where = [cell_of(side.placed.points, grid) for side in sides]
    count = np.stack([np.bincount(cell, minlength=grid * grid) for cell in where], axis=1).astype(np.int64)
    cells = np.flatnonzero(count.sum(axis=1) >= min_count)
    return cells, count[cells]


def _densities(sides: tuple[Side, Side], grid: int, cells: Int) -> Any:
    """Return the share of each image's samples in each of the cells, `n k`, images of both sets."""
    from scipy.sparse import vstack

    column = np.full(grid * grid, -1, np.int64)
    column[cells] = np.arange(len(cells))
    shares = [
        placing.shares(side.image, column[cell_of(side.placed.points, grid)], len(side.ids), len(cells))
        for side in sides
    ]
    return vstack(shares, format="csr")


def _grid(cells: Int, count: Int, densities: Any, second: Bool, part: Part) -> GridDensity:
    return GridDensity(
        cell=cells,
        count=count,
        ratios=two_samples.ratios(densities, second, seed=SEED),
        p=part.columns,
        beyond=two_samples.beyond_chance(part.columns),
    )


def _unit_shifts(values: Float, second: Bool, part: Part) -> UnitShifts:
    return UnitShifts(
        shifts=two_samples.shifts(values, second),
        p=part.columns,
        beyond=two_samples.beyond_chance(part.columns),
        whole=part.p,
    )


def _scaled(values: Float) -> Float:
    """Standardise columns, so that sums over images stay small enough for float32."""
    mean = values.mean(axis=0, dtype=np.float64)
    deviation = values.std(axis=0, dtype=np.float64)
    scaled = np.zeros(values.shape, np.float32)
    for unit in np.flatnonzero(deviation > two_samples.ROUNDING).tolist():
        scaled[:, unit] = (values[:, unit] - mean[unit]) / deviation[unit]
    return scaled
