"""Measure where two datasets differ: the density of their samples on one map, their units, and their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float, Int, Samples
from atlas.cells import cell_of
from atlas.comparing import placing, two_samples
from atlas.comparing.drift import Double
from atlas.comparing.placing import Placed
from atlas.comparing.two_samples import Bool, Part, Ratios, Shifts
from atlas.layout.layout import hash_keys
from flows import progress
from flows.comparing.datasets import pair
from flows.comparing.datasets.labels import LabelChanges
from flows.comparing.datasets.labels import changes as label_changes
from flows.comparing.datasets.pair import Datasets
from flows.comparing.pairs import version_name
from flows.stages.layout import sample_names
from storage.errors import UsageError
from storage.run import Run

SEED = 0
"""Of the permutations: the same two runs give the same answer."""

PROTOTYPES = (16, 64, 256)
"""Samples whose neighbourhoods are compared, few and many."""

FEWEST_OF_PROTOTYPE = 5
"""Samples that a prototype needs on average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """The samples of a dataset on the map, and the images that have any: their ids `n`, and each sample's among them."""

    run: Run
    samples: Samples
    placed: Placed
    ids: Int
    image: Int
    keys: NDArray[np.uint64]
    """The hash of the key of each of the images."""


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
class LayerDifference:
    """The differences of two datasets in a layer."""

    layer: str
    sets: tuple[Set, Set]
    grids: dict[int, GridDensity]
    units: UnitShifts
    peaks: UnitShifts | None
    """The shift of the best value of each unit in each image, where both runs kept these."""
    labels: LabelChanges | None
    p: float
    least: int
    """Samples that a cell of the reference needs."""


def measure(compared: Datasets, *, permutations: int = two_samples.PERMUTATIONS) -> Iterator[LayerDifference]:
    """Yield the differences of two datasets, layer by layer."""
    for layer in compared.layers:
        progress.current().say(f"compare {layer}")
        yield _layer(compared, layer, permutations)


def _layer(compared: Datasets, layer: str, permutations: int) -> LayerDifference:
    sets, run = _sets(compared, layer), compared.runs[0]
    second = np.repeat([False, True], [len(one.ids) for one in sets])
    least = int(run.version.about["config"]["min_count"])
    units = np.concatenate([placing.means(one.image, one.samples.activations, len(one.ids)) for one in sets])
    peaks = _peaks(compared.runs, layer, sets)
    blind = [_scaled(units), *([] if peaks is None else [_scaled(peaks)]), *_neighbourhoods(sets)]
    cells = {grid: _cells(sets, grid, least) for grid in run.grids}
    densities = [_densities(sets, grid, cell) for grid, (cell, _) in cells.items()]
    whole = two_samples.permutation_test(blind, second, permutations=permutations, seed=SEED)
    by_cell = two_samples.permutation_test(densities, second, permutations=permutations, seed=SEED)
    return LayerDifference(
        layer=layer,
        sets=sets,
        grids={
            grid: _grid(*cells[grid], density, second, part)
            for grid, density, part in zip(cells, densities, by_cell.parts, strict=True)
        },
        units=_unit_shifts(units, second, whole.parts[0]),
        peaks=None if peaks is None else _unit_shifts(peaks, second, whole.parts[1]),
        labels=label_changes(compared.images, (sets[0].ids, sets[1].ids), units, permutations, SEED),
        p=whole.p,
        least=least,
    )


def _neighbourhoods(sets: tuple[Set, Set]) -> Iterator[Any]:
    """Yield the share of each image's samples that are nearest to each of some prototypes, `n k`, images of both sets.

    The prototypes are samples of both sets, drawn by the hash of their images. That does not depend on which set an image
    is in, so the p-values of all together are exact; cells of the map of one set, of which there are many, are not.
    """
    keys = np.concatenate([one.keys[one.image] for one in sets])
    image = np.concatenate([sets[0].image, sets[1].image + len(sets[0].ids)])
    activations = np.concatenate([one.samples.activations for one in sets])
    order = np.argsort(hash_keys(sample_names(keys), SEED), kind="stable")
    for count in PROTOTYPES:
        if count * FEWEST_OF_PROTOTYPE <= len(order):
            column = placing.nearest_prototype(activations, order[:count])
            yield placing.shares(image, column, len(sets[0].ids) + len(sets[1].ids), count)


def _sets(compared: Datasets, layer: str) -> tuple[Set, Set]:
    a, b = compared.runs
    samples = pair.samples_of(a, layer), pair.samples_of(b, layer)
    widths = [one.activations.shape[1] for one in samples]
    if widths[0] != widths[1]:
        raise UsageError(
            f"{layer} has {widths[0]} units in {version_name(a)} and {widths[1]} in {version_name(b)}: "
            "these are different layers with the same name"
        )
    placed = placing.place_both(samples[0], a.layout(layer), samples[1])
    hashes = [images.key_hash for images in compared.images]
    return _set(a, samples[0], placed[0], hashes[0]), _set(b, samples[1], placed[1], hashes[1])


def _set(run: Run, samples: Samples, placed: Placed, key_hash: NDArray[np.uint64]) -> Set:
    ids, image = np.unique(samples.image_id, return_inverse=True)
    return Set(run=run, samples=samples, placed=placed, ids=ids, image=image.astype(np.int64), keys=key_hash[ids])


def _cells(sets: tuple[Set, Set], grid: int, least: int) -> tuple[Int, Int]:
    """Return the cells with at least `least` samples of both sets together, `k`, and the samples of each set, `k 2`."""
    where = [cell_of(one.placed.points, grid) for one in sets]
    count = np.stack([np.bincount(cell, minlength=grid * grid) for cell in where], axis=1).astype(np.int64)
    cells = np.flatnonzero(count.sum(axis=1) >= least)
    return cells, count[cells]


def _densities(sets: tuple[Set, Set], grid: int, cells: Int) -> Any:
    """Return the share of each image's samples in each of the cells, `n k`, images of both sets."""
    from scipy.sparse import vstack

    column = np.full(grid * grid, -1, np.int64)
    column[cells] = np.arange(len(cells))
    shares = [
        placing.shares(one.image, column[cell_of(one.placed.points, grid)], len(one.ids), len(cells)) for one in sets
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


def _peaks(runs: Sequence[Run], layer: str, sets: tuple[Set, Set]) -> Float | None:
    """Return the best value of each unit in each image, `n u`, images of both sets; None unless both runs kept it."""
    if not all(run.has("peaks", layer) for run in runs):
        return None
    return np.concatenate([_best(run, layer, one.ids) for run, one in zip(runs, sets, strict=True)])


def _best(run: Run, layer: str, ids: Int) -> NDArray[np.float32]:
    """Return the best value of each unit in these images; where an image has none that is finite, the mean of the others."""
    parts = [(part.image_id, part.value[:, 0]) for part in run.peaks(layer)]
    image, value = np.concatenate([image for image, _ in parts]), np.concatenate([value for _, value in parts], axis=1)
    order = np.argsort(image)
    best = value[:, order[np.searchsorted(image, ids, sorter=order)]].T
    finite = np.isfinite(best)
    mean = np.where(finite, best, 0).sum(axis=0) / np.maximum(1, finite.sum(axis=0))
    filled: NDArray[np.float32] = np.where(finite, best, mean).astype(np.float32)
    return filled
