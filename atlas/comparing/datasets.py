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
    permutations: int = two_samples.PERMUTATIONS,
) -> Difference:
    """Compare two sets; the samples of the first lie at `points`, `n 2`.

    `names` identify the samples, whichever set they are in. `peaks` are the best values of each unit in each image
    that has samples, `n u`, by ascending id. Every test permutes whole images.
    """
    placed = placing.place_both(reference, points, incoming)
    sides = _side(reference, placed[0]), _side(incoming, placed[1])
    second = np.repeat([False, True], [len(side.ids) for side in sides])
    means = np.concatenate([placing.means(side.image, side.samples.activations, len(side.ids)) for side in sides])
    best = None if peaks is None else np.concatenate(peaks)
    units = [_scaled(means), *([] if best is None else [_scaled(best)])]
    whole = two_samples.permutation_test(
        units, second, [_neighbours(sides, names)], permutations=permutations, seed=SEED
    )
    return Difference(
        sides=sides,
        means=means,
        grids=_grids(sides, grids, min_count, second, permutations),
        units=_unit_shifts(means, second, whole.parts[0]),
        peaks=None if best is None else _unit_shifts(best, second, whole.parts[1]),
        neighbours=whole.statistics[0],
        p=whole.p,
    )


def _side(samples: Samples, placed: Placed) -> Side:
    ids, image = np.unique(samples.image_id, return_inverse=True)
    return Side(samples=samples, placed=placed, ids=ids, image=image.astype(np.int64))


def _neighbours(sides: tuple[Side, Side], names: tuple[Keys, Keys]) -> Callable[[Float], Double]:
    """Return a function for the share of neighbours from an image's own set, of labellings of the images of both sets.

    Schilling (1986) and Henze (1988). Neither the samples nor their neighbours depend on which set an image is in, so
    that its p-value is exact. With the cells of the first set's map it would not be: each cell's is nearly so, but there
    are hundreds, and their sum shows the rest.
    """
    image = np.concatenate([sides[0].image, sides[1].image + len(sides[0].ids)])
    activations = np.concatenate([side.samples.activations for side in sides])
    order = np.argsort(np.concatenate([hash_keys(keys, SEED) for keys in names]), kind="stable")
    rows = np.sort(order[:MOST_NEIGHBOURS])
    graph = placing.neighbour_graph(activations[rows], image[rows], len(sides[0].ids) + len(sides[1].ids))
    return functools.partial(placing.own_neighbours, graph)


def _grids(
    sides: tuple[Side, Side], grids: Sequence[int], min_count: int, second: Bool, permutations: int
) -> dict[int, GridDensity]:
    cells = {grid: _cells(sides, grid, min_count) for grid in grids}
    densities = [_densities(sides, grid, cell) for grid, (cell, _) in cells.items()]
    tested = two_samples.permutation_test(densities, second, permutations=permutations, seed=SEED)
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
    wide = values.astype(np.float64)
    deviation = wide.std(axis=0)
    scaled: Float = np.divide(
        wide - wide.mean(axis=0), deviation, out=np.zeros_like(wide), where=deviation > two_samples.ROUNDING
    ).astype(np.float32)
    return scaled
