"""Describe the cells of a grid before and after: which have appeared, changed, emptied."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from typing_extensions import TypedDict

from atlas.comparing.drift import Double
from flows.comparing.steps import GridChange


class CellChange(TypedDict):
    """A cell, its samples in both layouts, and how much of them and of what they mean has stayed."""

    row: int
    col: int
    old_samples: int
    new_samples: int
    state: str
    stayed: float | None
    cosine: float | None
    label_change: float | None


class States(TypedDict):
    """The number of cells in each state."""

    kept: int
    changed: int
    appeared: int
    emptied: int


class GridCells(States):
    """The cells of a grid, and the states that another seed of the layout alone would cause."""

    noise: States | None
    cells: list[CellChange]


def cells_of(change: GridChange) -> GridCells:
    """Describe the cells of a grid, with their number in each state."""
    changes = change.changes
    old, new = states(change)
    columns = {
        "row": changes.row.tolist(),
        "col": changes.col.tolist(),
        "old_samples": changes.count[:, 0].tolist(),
        "new_samples": changes.count[:, 1].tolist(),
        "state": np.where(old & new, np.where(change.changed, "changed", "kept"), np.where(new, "appeared", "emptied")),
        "stayed": plain(changes.overlap),
        "cosine": plain(changes.cosine),
        "label_change": plain(changes.mix),
    }
    cells = [dict(zip(columns, map(_python, row), strict=True)) for row in zip(*columns.values(), strict=True)]
    return {**counts(change), "noise": _noise_counts(change), "cells": cast(list[CellChange], cells)}


def states(change: GridChange) -> tuple[np.ndarray, np.ndarray]:
    """Return masks of the cells filled in the old layout, and in the new."""
    filled = change.changes.both
    grew = change.changes.count[:, 1] > change.changes.count[:, 0]
    return filled | ~grew, filled | grew


def counts(change: GridChange) -> States:
    """Count the cells of a grid by their state: kept, changed, appeared, emptied."""
    old, new = states(change)
    return {
        "kept": int((old & new & ~change.changed).sum()),
        "changed": int(change.changed.sum()),
        "appeared": int((new & ~old).sum()),
        "emptied": int((old & ~new).sum()),
    }


def _noise_counts(change: GridChange) -> States | None:
    if change.noise is None or change.noise_changed is None:
        return None
    return counts(GridChange(changes=change.noise, changed=change.noise_changed, noise=None, noise_changed=None))


def plain(values: Double) -> list[float | None]:
    """Return the values with None for those that are not finite."""
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _python(value: Any) -> Any:
    return str(value) if isinstance(value, np.str_) else value
