"""Questions about what was made by `--with`: the classes of cells, the map of one class, what a unit drives."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from flows.drawing import targets
from storage.artefacts.cells import CellFacts
from storage.run import Run


def class_name(run: Run, index: int) -> str:
    """Return a class's name, or its number where the model has no names."""
    names = run.model["classes"]
    return str(names[index]) if index < len(names) else str(index)


def cell_classes(run: Run, cells: CellFacts, number: int) -> list[dict[str, Any]]:
    """Return the classes that a cell speaks for, best first; none where the run has no attribution."""
    columns = (cells.classes[number], cells.class_mean[number], cells.class_share[number])
    return [
        {"class": index, "name": class_name(run, index), "mean": float(mean), "share": round(float(share), 4)}
        for index, mean, share in zip(*(column.tolist() for column in columns), strict=True)
        if index >= 0
    ]


def class_map(run: Run, layer: str, grid: int, wanted: str) -> dict[str, Any]:
    """Return how strongly each cell of a grid speaks for one class, given by name or index.

    `mean` is the mean attribution, `rank` (from 1) the class's place in the cell, `relative` the mean as a part of the
    largest of the grid's cells.
    """
    made, cells = run.attribution(layer, grid), run.cells(layer, grid)
    names = run.model["classes"] or [str(number) for number in range(made.mean.shape[1])]
    index = targets.class_index(wanted, names)
    mean = made.mean[:, index]
    rank = 1 + (made.mean > mean[:, None]).sum(axis=1)
    largest = float(np.nanmax(mean, initial=0.0))
    columns = (cells.row, cells.col, cells.count, mean, rank)
    return {
        "run": run.name,
        "version": run.number,
        "layer": layer,
        "grid": grid,
        "class": index,
        "name": class_name(run, index),
        "cells": [
            {
                "row": row,
                "col": col,
                "count": count,
                "mean": value,
                "relative": value / largest if largest > 0 else 0.0,
                "rank": place,
            }
            for row, col, count, value, place in zip(*(column.tolist() for column in columns), strict=True)
            if np.isfinite(value)
        ],
    }


def influence(run: Run, layer: str, unit: int, k: int = 16) -> dict[str, Any]:
    """Return the units of the next layer that a unit excites and inhibits most, the strongest `k` of each."""
    rows = [row for row in run.influence(layer, unit).to_pylist() if row["rank"] < k]
    told = json.loads(run.result("influence", layer).file("influence.json").read_bytes())
    return {
        "run": run.name,
        "version": run.number,
        "layer": layer,
        "unit": unit,
        "later_layer": told["later"],
        "note": told["note"] or (None if rows else "no patch excites it, so that nothing is known of what it drives"),
        "patches": rows[0]["patches"] if rows else 0,
        **{
            effect: [
                {"unit": row["later_unit"], "influence": row["influence"], "agreement": round(row["agreement"], 4)}
                for row in rows
                if row["effect"] == effect
            ]
            for effect in ("exciting", "inhibiting")
        },
    }
