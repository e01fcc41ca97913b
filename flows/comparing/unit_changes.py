"""Compare the units of a layer: their drift, and the change of their strongest patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from atlas.arrays import Int
from atlas.comparing.drift import Double, drift, mix_change, overlap
from flows.comparing.pairs import Pair
from storage.artefacts import tables
from storage.run import Run

PATCHES = 16
"""Strongest patches compared per unit, counting only images that both runs have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitChanges:
    """The drift of each of `u` units, with the overlap and the change of label mix of its strongest patches.

    `top` is `u 2`: the commonest label of the old patches and of the new, −1 for none. NaN marks unknown values.
    """

    drift: Double
    overlap: Double
    mix: Double
    top: Int


def changes(pair: Pair, layer: str) -> UnitChanges:
    """Compare the units of a layer by the samples and the strongest patches of two runs."""
    drifted = drift(*pair.activations)
    runs = pair.before.run, pair.after.run
    if not all(run.has("patches", layer) for run in runs):
        unknown, none = np.full(len(drifted), np.nan), np.full((len(drifted), 2), -1, np.int64)
        return UnitChanges(drift=drifted, overlap=unknown, mix=unknown, top=none)
    images = [_strongest(run, layer, ids, len(drifted)) for run, ids in zip(runs, pair.images.ids, strict=True)]
    labels = [np.where(ids >= 0, np.append(pair.images.label, -1)[ids], -1) for ids in images]
    return UnitChanges(
        drift=drifted,
        overlap=overlap(*images),
        mix=mix_change(*labels),
        top=np.stack([_commonest(rows) for rows in labels], axis=1),
    )


def _strongest(run: Run, layer: str, ids: Int, units: int) -> Int:
    """Return the images of each unit's strongest patches, `u k`, best first, by ids of the newer run; −1 pads the rows."""
    columns = ["unit", "sign", "rank", "image_id"]
    rows = tables.read_table(run.result("patches", layer).file("patches.parquet"), columns=columns)
    rows = rows.filter(pc.equal(rows["sign"], "positive"))
    unit, image = rows["unit"].to_numpy(), ids[rows["image_id"].to_numpy()]
    unit, image = unit[image >= 0], image[image >= 0]
    first = np.searchsorted(unit, unit)  # rows are sorted by unit, then rank
    rank = np.arange(len(unit)) - first
    images = np.full((units, PATCHES), -1, np.int64)
    listed = rank < PATCHES
    images[unit[listed], rank[listed]] = image[listed]
    return images


def _commonest(labels: Int) -> Int:
    """Return the commonest label of each row `u k`, −1 where it has none; ties go to the lowest index."""
    commonest = np.full(len(labels), -1, np.int64)
    for row, numbers in enumerate(labels):
        if (numbers >= 0).any():
            commonest[row] = np.bincount(numbers[numbers >= 0]).argmax()
    return commonest
