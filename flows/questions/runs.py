"""The questions one can ask of a run. Each answer is a plain dict, for the command line, Python and the viewer alike.

Importing this module loads neither torch nor prefect.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import numpy as np

from flows.questions import classes
from storage.artefacts.cells import CellFacts
from storage.errors import NotFound, UsageError
from storage.run import Run, open_run, open_store
from storage.store.store import Store

__all__ = ["cell", "locate", "open_run", "parse_cell", "parse_unit", "runs", "show_run", "top"]

SIGNS = ("positive", "negative")
TOP_UNITS = 8


def parse_unit(text: str) -> tuple[str, int]:
    """Return layer and unit of `LAYER:UNIT`."""
    layer, colon, unit = text.rpartition(":")
    if not colon or not unit.isdigit():
        raise UsageError(f"{text!r} is not a unit; write LAYER:UNIT, as in _blocks.10:37")
    return layer, int(unit)


def parse_cell(text: str) -> tuple[int, int]:
    """Return row and column of `ROW,COL`."""
    row, comma, col = text.partition(",")
    if not comma or not row.isdigit() or not col.isdigit():
        raise UsageError(f"{text!r} is not a cell; write ROW,COL, as in 12,7")
    return int(row), int(col)


def top(run: Run, layer: str, unit: int, *, k: int = 16, sign: str = "positive") -> dict[str, Any]:
    """Return the strongest patches of a unit, and a note where ties decide which they are."""
    if sign not in SIGNS:
        raise UsageError(f"--sign is {sign!r}; it is positive or negative")
    if k < 1:
        raise UsageError(f"-k is {k}; at least 1")
    patches = run.patches(layer, unit, k, sign)
    counted = run.unit(layer, unit)
    return {
        "run": run.name,
        "version": run.number,
        "layer": layer,
        "unit": unit,
        "sign": sign,
        "note": _note(counted, sign, min(k, len(patches))),
        "extreme": _number(counted[f"{sign}_extreme"]),
        "images_at_extreme": counted[f"{sign}_extreme_count"],
        "nonfinite": counted["nonfinite"],
        "patches": patches.to_pylist(),
    }


def _note(counted: dict[str, Any], sign: str, shown: int) -> str | None:
    """Say in words what makes the list of patches less than it looks."""
    if not shown:
        return "no data: no finite value was seen"
    value, many = counted[f"{sign}_extreme"], counted[f"{sign}_extreme_count"]
    if counted["positive_extreme"] == counted["negative_extreme"]:
        return f"never fires: {many} images, all at {value:g}"
    if many <= shown:
        return None
    if sign == "negative":
        return (
            f"no negative side: {many} images share the lowest value {value:g}, so which are listed is by the tie order"
        )
    return f"saturated: {many} images share the highest value {value:g}, so which are listed is by the tie order"


def cell(run: Run, layer: str, grid: int, row: int, col: int) -> dict[str, Any]:
    """Return what is in a cell: counts, proof of the icon, units, labels, drawn members, neighbours."""
    cells = run.cell_facts(layer, grid)
    number = _find_cell(cells.row, cells.col, row, col)
    if max(row, col) >= grid:
        raise NotFound(f"{row},{col} is outside {layer}'s grid {grid}: its rows and columns are 0 to {grid - 1}")
    if number is None:
        raise NotFound(
            f"{layer} grid {grid} has no cell {row},{col}: too few samples fall there; {_nearest(cells, row, col)}"
        )
    mean = cells.mean[number]
    order = np.argsort(-mean, kind="stable")[:TOP_UNITS]
    members = run.member_facts(layer, grid, row, col) if run.has("members", layer, grid) else None
    labels = _labels(run, cells, number)
    return {
        "run": run.name,
        "version": run.number,
        "layer": layer,
        "grid": grid,
        "row": row,
        "col": col,
        "count": int(cells.count[number]),
        "coherence": round(float(cells.coherence[number]), 4),
        "icon": {
            "cosine": _number(cells.cosine[number]),
            "rank": int(cells.rank[number]),
            "tries": int(cells.tries[number]),
            "weak": bool(cells.weak[number]),
        },
        "classes": classes.cell_classes(run, cells, number),
        "units": [{"unit": int(u), "mean": round(float(mean[u]), 4)} for u in order],
        "labels": [{"label": label, "images": n} for label, n in labels.most_common(TOP_UNITS)],
        "members": members.to_pylist() if members is not None else [],
        "neighbours": _adjacent(cells, row, col),
    }


def _labels(run: Run, cells: CellFacts, number: int) -> Counter[str | None]:
    """Count the labels of the images that a cell's members are of."""
    images = np.unique(cells.image_id[cells.offsets[number] : cells.offsets[number + 1]])
    names, of = run.labels
    return Counter(names[i] for i in of[images].tolist())


def _find_cell(rows: np.ndarray, cols: np.ndarray, row: int, col: int) -> int | None:
    found = np.flatnonzero((rows == row) & (cols == col))
    return int(found[0]) if len(found) else None


def _nearest(cells: CellFacts, row: int, col: int) -> str:
    if not len(cells.row):
        return "no cell of this grid has enough"
    best = int(np.argmin((cells.row - row) ** 2 + (cells.col - col) ** 2))
    return f"the nearest is {cells.row[best]},{cells.col[best]}"


def _adjacent(cells: CellFacts, row: int, col: int) -> list[list[int]]:
    near = (np.abs(cells.row - row) <= 1) & (np.abs(cells.col - col) <= 1)
    pairs = np.stack([cells.row[near], cells.col[near]], axis=1).tolist()
    return [pair for pair in pairs if pair != [row, col]]


def locate(run: Run, layer: str, activation: np.ndarray, grid: int) -> dict[str, Any]:
    """Return the cell that each position of an image falls in; `activation` is that image's `c h w` at the layer.

    A position is placed in the layout as the samples beyond the anchors are: among its nearest samples (FAISS).
    """
    from atlas.cells import cell_of
    from atlas.layout import locate as locating

    units, height, width = activation.shape
    cells = run.cell_facts(layer, grid)

    def make() -> locating.Plan:
        return locating.plan((part.activations for part in run.samples_by_shard(layer)), run.layout(layer))

    plan = run.kept.get(("plan", layer), make, lambda made: made.nbytes)
    points = locating.locate(plan, activation.reshape(units, -1).T)
    known = set(zip(cells.row.tolist(), cells.col.tolist(), strict=True))
    positions = []
    for index, number in enumerate(cell_of(points, grid).tolist()):
        found = divmod(number, grid)
        positions.append(
            {
                "y": index // width,
                "x": index % width,
                "cell": list(found) if found in known else None,
                "point": [round(float(v), 4) for v in points[index]],
            }
        )
    lit = Counter(tuple(p["cell"]) for p in positions if p["cell"])
    return {
        "run": run.name,
        "version": run.number,
        "layer": layer,
        "grid": grid,
        "height": height,
        "width": width,
        "cells": [{"row": row, "col": col, "positions": n} for (row, col), n in lit.most_common()],
        "positions": positions,
    }


def runs(store: str) -> list[dict[str, Any]]:
    """Return one row per run: its versions, images, layers, model."""
    opened = open_store(store)
    rows = []
    for name in opened.names():
        versions = opened.versions(name)
        about = opened.version(name).about
        rows.append(
            {
                "name": name,
                "version": versions[-1],
                "published": _published(opened, name, versions[-1]),
                "versions": versions,
                "model": about["model"],
                "images": about["listed"],
                "rejected": sum(about["rejected"].values()),
                "layers": about["layers"],
            }
        )
    return rows


def published(run: Run) -> str:
    """Return when a version was published."""
    return _published(run.store, run.name, run.number)


def _published(store: Store, name: str, number: int) -> str:
    """Return when a version was published: the time of its file, since versions themselves hold no times."""
    file, copy = store.places.version(name, number), store.places.copy(name, number)
    moment = (file if file.exists() else copy).stat().st_mtime
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def show_run(run: Run) -> dict[str, Any]:
    """Return a version's provenance, what it holds, and of each layer how its samples and its layout are."""
    stages: Counter[str] = Counter(entry.stage for entry in run.version.stages)
    return {
        "name": run.name,
        "version": run.number,
        "previous": run.version.previous,
        "sha256": run.version.sha256,
        "stages": dict(sorted(stages.items())),
        **run.version.about,
        "samples": {layer: run.sample_counts(layer) for layer in run.layers if run.has("collect", layer)},
        "layouts": {layer: run.layout_record(layer) for layer in run.layers if run.has("layout", layer)},
    }


def _number(value: Any) -> float | None:
    """Return a float that JSON can carry."""
    value = float(value)
    return value if np.isfinite(value) else None
