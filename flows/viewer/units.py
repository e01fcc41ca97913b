"""What the page shows of units: columns for all of a layer, and everything of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from flows import meaning, query
from flows.viewer.about import labels
from flows.viewer.numbers import plain, rounded
from flows.viewer.shelf import Edition
from storage import tables
from storage.errors import NotFound

SHARED = 16
"""Patches of a unit whose labels are counted."""

TOP_LABELS, STRONG_CELLS, ALIKE, BINS = 3, 12, 8, 40


def columns(edition: Edition, layer: str) -> dict[str, Any]:
    """Return the units of a layer as columns: extremes, labels of the strongest patches, and the gallery's ratio."""
    run = edition.run
    counted = tables.read_table(edition.result("patches", layer).file("units.parquet"))
    names, rows = _top_labels(edition, layer)
    return {
        "layer": layer,
        "units": len(counted),
        "max": [plain(value) for value in counted["positive_extreme"].to_pylist()],
        "min": [plain(value) for value in counted["negative_extreme"].to_pylist()],
        "labels": names,
        "top": [list(row.items())[:TOP_LABELS] for row in rows],
        "different": [len(row) for row in rows],
        "ratio": rounded(run.gallery(layer).ratio, 3) if run.has("gallery", layer) else None,
    }


def _top_labels(edition: Edition, layer: str) -> tuple[list[str], list[dict[int, int]]]:
    """Return the labels there are, and for each unit those of its strongest patches with their number, most first."""
    names, number = np.unique(np.asarray(labels(edition), dtype=object).astype(str), return_inverse=True)
    path = edition.result("patches", layer).file("patches.parquet")
    table = tables.read_table(path, ["unit", "sign", "rank", "image_id"])
    columns = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    kept = (columns["sign"] == "positive") & (columns["rank"] < SHARED)
    units = edition.units(layer)
    found = np.zeros((units, len(names)), np.int64)
    np.add.at(found, (columns["unit"][kept], number[columns["image_id"][kept]]), 1)
    order = np.argsort(-found, axis=1, kind="stable")
    return [str(name) for name in names], [
        {int(i): int(found[unit, i]) for i in order[unit] if found[unit, i] and names[i]} for unit in range(units)
    ]


def one(edition: Edition, layer: str, unit: int) -> dict[str, Any]:
    """Return everything that is known of one unit."""
    run = edition.run
    check(edition, layer, unit)
    sides = {sign: _side(edition, layer, unit, sign) for sign in query.SIGNS}
    return {
        "layer": layer,
        "unit": unit,
        "units": edition.units(layer),
        "positive": sides["positive"],
        "negative": sides["negative"],
        "cells": _cells(edition, layer, unit),
        "alike": alike(edition, layer, unit),
        "gallery": _gallery(edition, layer, unit),
        "gradients": _gradients(edition, layer, unit),
        "drives": _drives(edition, layer, unit) if run.has("influence", layer) else None,
        "driven": _driven(edition, layer, unit),
    }


def check(edition: Edition, layer: str, unit: int) -> None:
    units = edition.units(layer)
    if not 0 <= unit < units:
        raise NotFound(f"{layer} has no unit {unit}; its units are 0 to {units - 1}")


def _side(edition: Edition, layer: str, unit: int, sign: str) -> dict[str, Any]:
    """Return the strongest patches of one side; the pictures are at their own addresses."""
    answer = query.top(edition.run, layer, unit, k=16, sign=sign)
    drawn = len(edition.run.thumbnails(layer, unit, sign))
    kept = ("rank", "value", "image_id", "label", "y", "x", "focus")
    patches = [{name: patch[name] for name in kept} | {"value": plain(patch["value"])} for patch in answer["patches"]]
    return {name: answer[name] for name in ("note", "extreme", "images_at_extreme")} | {
        "patches": patches,
        "pictures": drawn,
    }


def _finest(edition: Edition, layer: str) -> int | None:
    grids = [grid for grid in edition.run.grids if edition.run.has("cells", layer, grid)]
    return max(grids, default=None)


def on_map(edition: Edition, layer: str, grid: int, unit: int) -> dict[str, Any]:
    """Return the unit's mean in each cell of a grid, in the order of the cells."""
    check(edition, layer, unit)
    mean = edition.array("cells", layer, grid, "mean")
    return {"layer": layer, "grid": grid, "unit": unit, "mean": rounded(mean[:, unit], 4)}


def _cells(edition: Edition, layer: str, unit: int) -> dict[str, Any] | None:
    """Return the cells of the finest grid where the unit's mean is largest."""
    grid = _finest(edition, layer)
    if grid is None:
        return None
    mean, rows, cols = (edition.array("cells", layer, grid, name) for name in ("mean", "row", "col"))
    best = np.argsort(-mean[:, unit], kind="stable")[:STRONG_CELLS].tolist()
    return {
        "grid": grid,
        "strongest": [{"row": int(rows[i]), "col": int(cols[i]), "mean": plain(mean[i, unit], 4)} for i in best],
    }


def alike(edition: Edition, layer: str, unit: int) -> list[dict[str, Any]]:
    """Return the units whose means over the cells of the finest grid correlate most with this one's."""
    grid = _finest(edition, layer)
    if grid is None:
        return []
    mean = edition.array("cells", layer, grid, "mean").astype(np.float64)
    centred = mean - mean.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        likeness = (centred.T @ centred[:, unit]) / (length * length[unit])
    likeness[unit] = -np.inf
    likeness = np.where(np.isnan(likeness), -np.inf, likeness)
    best = np.argsort(-likeness, kind="stable")[:ALIKE].tolist()
    return [{"unit": i, "correlation": plain(likeness[i], 3)} for i in best if np.isfinite(likeness[i])]


def _gallery(edition: Edition, layer: str, unit: int) -> dict[str, Any] | None:
    if not edition.run.has("gallery", layer):
        return None
    known = {name: edition.rows("gallery", layer, None, name, slice(unit, unit + 1))[0] for name in GALLERY}
    return {name: bool(value) if name == "dead" else plain(value) for name, value in known.items()}


GALLERY = ("value", "best", "patch", "dead")


def _gradients(edition: Edition, layer: str, unit: int) -> dict[str, Any] | None:
    """Return the method, and the ranks of the patches whose gradient is there."""
    if not edition.run.has("gradients", layer):
        return None
    found = edition.run.gradients(layer, unit)
    return {"method": found.method, "ranks": found.rank.tolist()}


def _drives(edition: Edition, layer: str, unit: int) -> dict[str, Any]:
    found = meaning.influence(edition.run, layer, unit, k=8)
    links = [{"unit": row["unit"], "influence": plain(row["influence"], 4)} for row in found["exciting"]]
    links += [{"unit": row["unit"], "influence": plain(row["influence"], 4)} for row in found["inhibiting"]]
    return {"layer": found["later_layer"], "links": links}


def _driven(edition: Edition, layer: str, unit: int) -> dict[str, Any] | None:
    """Return the units of the layer before that have this one among those they drive most."""
    before = [name for name in edition.layers if edition.run.has("influence", name)]
    for earlier in reversed(before):
        table = _links(edition, earlier)
        if len(table) and table["later_layer"][0].as_py() == layer:
            kept = [row for row in table.to_pylist() if row["later_unit"] == unit]
            kept.sort(key=lambda row: -abs(row["influence"]))
            links = [{"unit": row["unit"], "influence": plain(row["influence"], 4)} for row in kept[:16]]
            return {"layer": earlier, "links": links}
    return None


def _links(edition: Edition, layer: str) -> Any:
    path = edition.result("influence", layer).file("influence.parquet")
    return edition.keep(("links", layer), lambda: tables.read_table(path))


def histogram(edition: Edition, layer: str, unit: int) -> dict[str, Any]:
    """Return how the samples' values of a unit are spread: 40 bins from the smallest to the largest."""
    check(edition, layer, unit)
    low, high, counts = edition.keep(("histograms", layer), lambda: _histograms(edition, layer))
    return {
        "layer": layer,
        "unit": unit,
        "low": plain(low[unit]),
        "high": plain(high[unit]),
        "counts": counts[unit].tolist(),
    }


def _histograms(edition: Edition, layer: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the samples of all units of a layer, shard by shard: a unit alone could not be read for less."""
    from storage import parts

    def shards() -> Iterator[np.ndarray]:
        read = (parts.read_samples([part]).activations for part in edition.run.results("collect", layer))
        return (values for values in read if len(values))

    spans = [(values.min(axis=0), values.max(axis=0)) for values in shards()]
    low, high = np.min([span[0] for span in spans], axis=0), np.max([span[1] for span in spans], axis=0)
    scale = np.where(high > low, BINS / np.where(high > low, high - low, 1), 0)
    counts = np.zeros((len(low), BINS), np.int64)
    for values in shards():
        place = np.clip(((values - low) * scale).astype(np.int64), 0, BINS - 1)
        np.add.at(counts, (np.arange(len(low))[None], place), 1)
    return low, high, counts
