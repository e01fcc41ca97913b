"""Measure where two runs differ as datasets: the density of their samples on one map, their units, and their labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float, Int, Samples
from atlas.comparing import datasets, two_samples
from atlas.comparing.datasets import Difference
from flows import progress
from flows.comparing.datasets import contents, labels, pair
from flows.comparing.datasets.labels import LabelChanges
from flows.comparing.datasets.pair import Datasets
from flows.comparing.pairs import version_name
from flows.progress import Bar
from flows.stages.layout import sample_names
from storage.errors import UsageError
from storage.run import Run

MOST_IMAGES = 20_000
"""Images of a set that are compared; of more, those whose keys have the smallest hash. Time and memory grow with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDifference:
    """The differences of two runs in a layer."""

    layer: str
    runs: tuple[Run, Run]
    measured: Difference
    labels: LabelChanges | None
    least: float
    """Samples that a cell of the reference needs, of those compared."""
    drawn_from: tuple[int, int]
    """The images of either run that have samples."""


def measure(compared: Datasets, *, permutations: int = two_samples.PERMUTATIONS) -> Iterator[LayerDifference]:
    """Yield the differences of two datasets, layer by layer."""
    for layer in compared.layers:
        with progress.current().bar(f"compare {layer}", 100, "%") as bar:
            difference = _layer(compared, layer, permutations, bar)
        yield difference


def _layer(compared: Datasets, layer: str, permutations: int, bar: Bar) -> LayerDifference:
    (a, b), images = compared.runs, compared.images
    owners, points = [pair.owners(run, layer) for run in compared.runs], a.layout(layer)
    rows = [_drawn(one.key_hash, image) for one, image in zip(images, owners, strict=True)]
    samples = pair.samples_of(a, layer, rows[0]), pair.samples_of(b, layer, rows[1])
    _check_units(compared, layer, [one.activations.shape[1] for one in samples])
    hashes = [one.key_hash[both.image_id] for one, both in zip(images, samples, strict=True)]
    ids = np.unique(samples[0].image_id), np.unique(samples[1].image_id)
    kept = a.has("peaks", layer) and b.has("peaks", layer)
    fewest = int(a.version.about["config"]["min_count"])
    measured = datasets.difference(
        samples[0],
        points if rows[0] is None else points[rows[0]],
        samples[1],
        (sample_names(hashes[0]), sample_names(hashes[1])),
        grids=a.grids,
        min_count=fewest,
        peaks=(_best(a, layer, ids[0]), _best(b, layer, ids[1])) if kept else None,
        contents=_contents(compared, samples),
        permutations=permutations,
        advance=lambda share: bar(round(90 * share)),
    )
    changes = labels.changes(images, ids, measured.means, permutations, datasets.SEED)
    return LayerDifference(
        layer=layer,
        runs=(a, b),
        measured=measured,
        labels=changes,
        least=fewest * len(samples[0].y) / len(owners[0]),
        drawn_from=(len(np.unique(owners[0])), len(np.unique(owners[1]))),
    )


def _drawn(key_hash: NDArray[np.uint64], image: Int) -> Int | None:
    """Return the samples of the images that are compared, None for all; `image` is that of each sample."""
    ids = np.unique(image)
    if len(ids) <= MOST_IMAGES:
        return None
    return np.flatnonzero(np.isin(image, ids[np.argsort(key_hash[ids], kind="stable")[:MOST_IMAGES]]))


def _contents(compared: Datasets, samples: tuple[Samples, Samples]) -> tuple[Int, Int]:
    """Number what the image of each sample shows; what is unknown is the image's own."""
    by_sample, last = [], 1 + max(int(side.max(initial=0)) for side in compared.contents)
    for number, one in zip(compared.contents, samples, strict=True):
        own = last + np.arange(len(number))
        by_sample.append(np.where(number == contents.UNKNOWN, own, number)[one.image_id])
        last += len(number)
    return by_sample[0], by_sample[1]


def _check_units(compared: Datasets, layer: str, units: list[int]) -> None:
    a, b = (version_name(run) for run in compared.runs)
    if units[0] != units[1]:
        raise UsageError(
            f"{layer} has {units[0]} units in {a} and {units[1]} in {b}: these are different layers with the same name"
        )


def _best(run: Run, layer: str, ids: Int) -> Float:
    """Return the best value of each unit in these images, `n u`; where an image has none that is finite, the mean."""
    best: NDArray[np.float32] | None = None
    for part in run.peaks(layer):
        number = np.searchsorted(ids, part.image_id)
        own = np.flatnonzero(ids[np.minimum(number, len(ids) - 1)] == part.image_id)
        if best is None:
            best = np.full((len(ids), len(part.value)), np.nan, np.float32)
        best[number[own]] = part.value[:, 0, own].T
    assert best is not None
    for unit in best.T:
        finite = np.isfinite(unit)
        unit[~finite] = unit[finite].mean(dtype=np.float64) if finite.any() else 0
    return best
