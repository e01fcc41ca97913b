"""The fidelity that real patches reach: what that of an icon is to be held against."""

from __future__ import annotations

import numpy as np
from typing_extensions import TypedDict

from atlas.arrays import Float, Int
from atlas.inversion import whitened
from storage.run import Run

MOST = 4096
"""Samples that are measured, in the order of the images' hashes; reading stops there."""

QUANTILES = (0.1, 0.5, 0.9)


class RealFidelity(TypedDict):
    """Quantiles of the whitened cosine of samples to the mean of their own cell: four of five lie from `low` to `high`."""

    samples: int
    low: float
    median: float
    high: float


def of_grid(run: Run, layer: str, grid: int) -> RealFidelity | None:
    """Measure the samples of a grid as its icons are measured; None where they are all zero, or none falls in a cell."""
    from storage.artefacts import arrays

    facts = run.cell_facts(layer, grid)
    activations, own = _with_cells(_first_samples(run, layer), _cells_of(facts.members, facts.offsets))
    moment = arrays.read_array(run.result("moment", layer).file("moment.zarr"), "moment")
    if not len(own) or not np.trace(moment) > 0:
        return None
    cosines = whitened.cosines_to_own(activations, facts.mean, own, whitened.matrix(moment))
    low, median, high = np.quantile(cosines, QUANTILES).tolist()
    return {"samples": len(own), "low": low, "median": median, "high": high}


def _first_samples(run: Run, layer: str) -> Float:
    """Return the activations of the layer's first samples, `n c`, with memory for one shard more."""
    parts, count = [], 0
    for shard in run.samples_by_shard(layer):
        parts.append(shard.activations[: MOST - count])
        count += len(parts[-1])
        if count >= MOST:
            break
    return np.concatenate(parts)


def _cells_of(members: Int, offsets: Int) -> dict[int, int]:
    """Return the cell of each of the first samples."""
    cell = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    first = members < MOST
    return dict(zip(members[first].tolist(), cell[first].tolist(), strict=True))


def _with_cells(activations: Float, cell_of: dict[int, int]) -> tuple[Float, Int]:
    """Return the samples that fall in a cell, and the cell of each."""
    rows = [row for row in range(len(activations)) if row in cell_of]
    return activations[rows], np.array([cell_of[row] for row in rows], np.int64)
