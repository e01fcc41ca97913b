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
from flows.stages.layout import sample_names
from storage.errors import UsageError
from storage.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDifference:
    """The differences of two runs in a layer."""

    layer: str
    runs: tuple[Run, Run]
    measured: Difference
    labels: LabelChanges | None
    least: int
    """Samples that a cell of the reference needs."""


def measure(compared: Datasets, *, permutations: int = two_samples.PERMUTATIONS) -> Iterator[LayerDifference]:
    """Yield the differences of two datasets, layer by layer."""
    for layer in compared.layers:
        progress.current().say(f"compare {layer}")
        yield _layer(compared, layer, permutations)


def _layer(compared: Datasets, layer: str, permutations: int) -> LayerDifference:
    (a, b), images = compared.runs, compared.images
    samples = pair.samples_of(a, layer), pair.samples_of(b, layer)
    _check_units(compared, layer, [one.activations.shape[1] for one in samples])
    hashes = [one.key_hash[both.image_id] for one, both in zip(images, samples, strict=True)]
    ids = np.unique(samples[0].image_id), np.unique(samples[1].image_id)
    kept = a.has("peaks", layer) and b.has("peaks", layer)
    least = int(a.version.about["config"]["min_count"])
    measured = datasets.difference(
        samples[0],
        a.layout(layer),
        samples[1],
        (sample_names(hashes[0]), sample_names(hashes[1])),
        grids=a.grids,
        min_count=least,
        peaks=(_best(a, layer, ids[0]), _best(b, layer, ids[1])) if kept else None,
        contents=_contents(compared, samples),
        permutations=permutations,
    )
    changes = labels.changes(images, ids, measured.means, permutations, datasets.SEED)
    return LayerDifference(layer=layer, runs=(a, b), measured=measured, labels=changes, least=least)


def _contents(compared: Datasets, samples: tuple[Samples, Samples]) -> tuple[Int, Int]:
    """Number what the image of each sample shows; what is unknown is the image's own."""
    found, last = [], 1 + max(int(side.max(initial=0)) for side in compared.contents)
    for number, one in zip(compared.contents, samples, strict=True):
        own = last + np.arange(len(number))
        found.append(np.where(number == contents.UNKNOWN, own, number)[one.image_id])
        last += len(number)
    return found[0], found[1]


def _check_units(compared: Datasets, layer: str, units: list[int]) -> None:
    a, b = (version_name(run) for run in compared.runs)
    if units[0] != units[1]:
        raise UsageError(
            f"{layer} has {units[0]} units in {a} and {units[1]} in {b}: these are different layers with the same name"
        )


def _best(run: Run, layer: str, ids: Int) -> Float:
    """Return the best value of each unit in these images, `n u`; where an image has none that is finite, the mean."""
    parts = [(part.image_id, part.value[:, 0]) for part in run.peaks(layer)]
    image, value = np.concatenate([image for image, _ in parts]), np.concatenate([value for _, value in parts], axis=1)
    order = np.argsort(image)
    best = value[:, order[np.searchsorted(image, ids, sorter=order)]].T
    finite = np.isfinite(best)
    mean = np.where(finite, best, 0).sum(axis=0) / np.maximum(1, finite.sum(axis=0))
    filled: NDArray[np.float32] = np.where(finite, best, mean).astype(np.float32)
    return filled
