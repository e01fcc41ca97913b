"""What the page shows of units: columns for all of a layer, and everything of one."""

from __future__ import annotations

from typing import Any

import numpy as np

from atlas import unit_facts
from flows.questions import classes
from flows.questions import patches as patch_answers
from flows.questions import units as facts
from flows.viewer.answers.about import labels
from flows.viewer.answers.open_runs import OpenVersion
from flows.viewer.answers.rounding import plain, rounded
from storage.artefacts import tables
from storage.errors import NotFound

SHARED = 16
"""Patches of a unit whose labels are counted."""

TOP_LABELS, STRONG_CELLS = 3, 12


def columns(version: OpenVersion, layer: str) -> dict[str, Any]:
    """Return the units of a layer as columns: extremes, labels of the strongest patches, and the gallery's ratio."""
    run = version.run
    counted = tables.read_table(version.result("patches", layer).file("units.parquet"))
    names, rows = _top_labels(version, layer)
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


def _top_labels(version: OpenVersion, layer: str) -> tuple[list[str], list[dict[int, int]]]:
    """Return the labels there are, and for each unit those of its strongest patches with their number, most first."""
    names, number = np.unique(np.asarray(labels(version), dtype=object).astype(str), return_inverse=True)
    path = version.result("patches", layer).file("patches.parquet")
    table = tables.read_table(path, ["unit", "sign", "rank", "image_id"])
    columns = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    kept = (columns["sign"] == "positive") & (columns["rank"] < SHARED)
    units = version.units(layer)
    found = np.zeros((units, len(names)), np.int64)
    np.add.at(found, (columns["unit"][kept], number[columns["image_id"][kept]]), 1)
    order = np.argsort(-found, axis=1, kind="stable")
    return [str(name) for name in names], [
        {int(i): int(found[unit, i]) for i in order[unit] if found[unit, i] and names[i]} for unit in range(units)
    ]


def one(version: OpenVersion, layer: str, unit: int) -> dict[str, Any]:
    """Return everything that is known of one unit."""
    check(version, layer, unit)
    sides = {sign: _side(version, layer, unit, sign) for sign in patch_answers.SIGNS}
    return {
        "layer": layer,
        "unit": unit,
        "units": version.units(layer),
        "positive": sides["positive"],
        "negative": sides["negative"],
        "cells": _cells(version, layer, unit),
        "gallery": _gallery(version, layer, unit),
        "gradients": _gradients(version, layer, unit),
    }


def check(version: OpenVersion, layer: str, unit: int) -> None:
    units = version.units(layer)
    if not 0 <= unit < units:
        raise NotFound(f"{layer} has no unit {unit}; its units are 0 to {units - 1}")


def _side(version: OpenVersion, layer: str, unit: int, sign: str) -> dict[str, Any]:
    """Return the strongest patches of one side; the pictures are at their own addresses."""
    answer = patch_answers.top(version.run, layer, unit, k=16, sign=sign)
    drawn = len(version.thumbnails(layer, unit, sign))
    kept = ("rank", "value", "image_id", "label", "y", "x", "focus")
    patches = [{name: patch[name] for name in kept} | {"value": plain(patch["value"])} for patch in answer["patches"]]
    return {name: answer[name] for name in ("note", "extreme", "images_at_extreme")} | {
        "patches": patches,
        "pictures": drawn,
    }


def _finest(version: OpenVersion, layer: str) -> int | None:
    grids = [grid for grid in version.run.grids if version.run.has("cells", layer, grid)]
    return max(grids, default=None)


def on_map(version: OpenVersion, layer: str, grid: int, unit: int) -> dict[str, Any]:
    """Return the unit's mean in each cell of a grid, in the order of the cells."""
    check(version, layer, unit)
    mean = version.array("cells", layer, grid, "mean")
    return {"layer": layer, "grid": grid, "unit": unit, "mean": rounded(mean[:, unit], 4)}


def _cells(version: OpenVersion, layer: str, unit: int) -> dict[str, Any] | None:
    """Return the cells of the finest grid where the unit's mean is largest."""
    grid = _finest(version, layer)
    if grid is None:
        return None
    mean, rows, cols = (version.array("cells", layer, grid, name) for name in ("mean", "row", "col"))
    best = np.argsort(-mean[:, unit], kind="stable")[:STRONG_CELLS].tolist()
    return {
        "grid": grid,
        "strongest": [{"row": int(rows[i]), "col": int(cols[i]), "mean": plain(mean[i, unit], 4)} for i in best],
    }


def likeness(version: OpenVersion, layer: str, unit: int) -> dict[str, Any]:
    """Return how each unit's means over the cells of the finest grid correlate with this one's."""
    check(version, layer, unit)
    grid = _finest(version, layer)
    if grid is None:
        raise NotFound(f"{layer} has no cells to compare units by")
    mean = version.array("cells", layer, grid, "mean").astype(np.float64)
    centred = mean - mean.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (centred.T @ centred[:, unit]) / (length * length[unit])
    return {"layer": layer, "unit": unit, "correlation": rounded(found, 3)}


def speaks(version: OpenVersion, layer: str, of: str) -> dict[str, Any]:
    """Return how each unit's means over the cells correlate with what the cells say for a class, as a card has it."""
    shared = version.shared(version.layer(layer))
    if shared.attributed is None:
        raise NotFound(
            f"{version.run.name} does not know what the cells of {layer} speak for: run it --with attribution"
        )
    cells, made = shared.attributed
    index = classes.class_index(of, version.run.model["classes"] or [str(n) for n in range(made.mean.shape[1])])
    used = made.used > 0
    found = unit_facts.together(made.mean[used, index], cells.mean[used], cells.count[used])
    name = classes.class_name(version.run, index)
    return {"layer": layer, "class": index, "name": name, "correlation": rounded(found, 3)}


def _gallery(version: OpenVersion, layer: str, unit: int) -> dict[str, Any] | None:
    if not version.run.has("gallery", layer):
        return None
    known = {name: version.rows("gallery", layer, None, name, slice(unit, unit + 1))[0] for name in GALLERY}
    return {name: bool(value) if name == "dead" else plain(value) for name, value in known.items()}


GALLERY = ("value", "best", "patch", "dead")


def _gradients(version: OpenVersion, layer: str, unit: int) -> dict[str, Any] | None:
    """Return the method, and the ranks of the patches whose gradient is there."""
    if not version.run.has("gradients", layer):
        return None
    found = version.gradients(layer, unit)
    return {"method": found.method, "ranks": found.rank.tolist()}


def card(version: OpenVersion, layer: str, unit: int, each: int = facts.EACH) -> dict[str, Any]:
    """Return what takes longer: how its samples are spread, labels, classes, units like it, influence in and out."""
    check(version, layer, unit)
    found = facts.unit(version.run, layer, unit, k=1, each=each, shared=version.shared(layer))
    kept = ("labels", "samples", "intervals", "alike", "classes", "drives", "driven")
    return {"layer": layer, "unit": unit} | {name: without_paths(found[name]) for name in kept}


def without_paths(value: Any) -> Any:
    """Leave out where files lie, at any depth, and numbers that JSON has no words for."""
    if isinstance(value, dict):
        return {name: without_paths(item) for name, item in value.items() if name not in ("path", "run", "version")}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    return plain(value) if isinstance(value, float) else value


def places(version: OpenVersion, layer: str, unit: int, side: str) -> list[dict[str, Any]]:
    """Return where the patches of a side lie that the page shows, with their rank or, over the range, their number."""
    if side == "range":
        shown = [one for part in card(version, layer, unit)["intervals"] for one in part["examples"]]
    else:
        shown = version.run.patches(layer, unit, len(version.thumbnails(layer, unit, side)), sign=side).to_pylist()
    kept = ("image_id", "y", "x", "focus")
    return [{"number": number} | {name: row[name] for name in kept} for number, row in enumerate(shown)]
