"""Read the values of metrics: one per cell of a grid, or per unit of a layer."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pyarrow.compute as pc

from atlas.meaning import unit_scores
from flows.metrics.metrics import Metric
from storage.artefacts import cells, tables
from storage.run import Run
from storage.store.results import Result

COUNTED = 16
"""Strongest patches of a unit whose labels are counted."""
_TABLES = {"patches": "units.parquet"}
"""Tables with a row per unit that are not called after their stage."""


def of_cells(run: Run, layer: str, grid: int, metric: Metric) -> np.ndarray | None:
    """Return a metric of each cell, in the order of the grid's cells; None where the run lacks its stage."""
    if not run.has(metric.stage, layer, grid):
        return None
    if metric.function:
        return np.asarray(_function(metric.function)(run, layer, grid))
    result = run.result(metric.stage, layer, grid)
    if metric.stage == "cells":
        return cells.array(result, metric.column)
    return _array(result, metric.stage, metric.column)


def of_units(run: Run, layer: str, metric: Metric) -> np.ndarray | None:
    """Return a metric of each unit of a layer; None where the run lacks its stage."""
    if not run.has(metric.stage, layer):
        return None
    if metric.function:
        return np.asarray(_function(metric.function)(run, layer))
    path = run.result(metric.stage, layer).file(_TABLES.get(metric.stage, f"{metric.stage}.parquet"))
    column = tables.read_table(path, [metric.column])[metric.column]
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _array(result: Result, stage: str, name: str) -> np.ndarray:
    from storage.artefacts import arrays

    return np.asarray(arrays.read_array(result.file(f"{stage}.zarr"), name))


def _function(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def label_counts(run: Run, layer: str) -> tuple[list[str], np.ndarray]:
    """Return the labels, and how many of each unit's strongest patches have each of them, `units labels`."""
    names, of_image = _labels(run)
    result = run.result("patches", layer)
    table = tables.read_table(result.file("patches.parquet"), ["unit", "sign", "rank", "image_id"])
    table = table.filter(pc.and_(pc.equal(table["sign"], "positive"), pc.less(table["rank"], COUNTED)))
    unit, image = (table[name].to_numpy() for name in ("unit", "image_id"))
    counts = np.zeros((result.counts["units"], len(names)), np.int64)
    np.add.at(counts, (unit, of_image[image]), 1)
    return names, counts


def _labels(run: Run) -> tuple[list[str], np.ndarray]:
    """Return the labels, sorted, "" for images without one, and each image's index among them, by its id."""
    stored, of_image = run.labels
    used = np.unique(of_image)
    names, index = np.unique(np.asarray([stored[i] or "" for i in used.tolist()], dtype=str), return_inverse=True)
    position = np.zeros(len(stored), np.int64)
    position[used] = index
    return [str(name) for name in names], position[of_image]


def labels_of_units(run: Run, layer: str) -> np.ndarray:
    """Return the number of different labels among each unit's strongest patches."""
    names, counts = label_counts(run, layer)
    named = np.asarray([bool(name) for name in names])
    return np.asarray((counts[:, named] > 0).sum(axis=1))


def label_entropy_of_units(run: Run, layer: str) -> np.ndarray:
    """Return the entropy in bits of the labels among each unit's strongest patches."""
    return unit_scores.label_entropy(_labelled(run, layer)[0])


def label_lift_of_units(run: Run, layer: str) -> np.ndarray:
    """Return how many times more often the commonest label is among a unit's strongest patches than among the images."""
    return unit_scores.label_lift(*_labelled(run, layer))


def _labelled(run: Run, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts of labels `units labels` among the strongest patches, and of the run's images `labels`."""
    names, counts = label_counts(run, layer)
    _, of_image = _labels(run)
    used = run.images_of_units()
    images = np.bincount(of_image[used["image_id"].to_numpy()], minlength=len(names))
    named = np.asarray([bool(name) for name in names])
    return counts[:, named], images[named]


def sparsity_of_units(run: Run, layer: str) -> np.ndarray:
    """Return how seldom each unit is active among the layer's samples."""
    number, sizes, squares = 0, np.zeros(1), np.zeros(1)
    for part in run.samples_by_shard(layer):
        values = np.abs(part.activations.astype(np.float64))
        number, sizes, squares = number + len(values), sizes + values.sum(0), squares + (values**2).sum(0)
    units = run.result("patches", layer).counts["units"]
    return unit_scores.sparsity(np.broadcast_to(sizes, units), np.broadcast_to(squares, units), number)
