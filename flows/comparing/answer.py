"""Describe a comparison as a plain dict, for the command line, Python and the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from atlas.comparing import motion
from atlas.comparing.drift import Double
from flows.comparing.pairs import version_name
from flows.comparing.steps import GridChange, Step
from storage.run import Run


def describe(steps: Sequence[Sequence[Step]], *, chosen: Sequence[str] = ()) -> dict[str, Any]:
    """Return `runs`, `steps` and `left_out`; a step has its layers, with units, cells and labels, most changed first.

    `left_out` are the layers that only some of the runs have a layout of; none where the layers were `chosen`.
    """
    first = [step[0].pair.before.run for step in steps[:1]]
    runs = [*first, *(step[0].pair.after.run for step in steps)]
    return {
        "runs": [_run(run) for run in runs],
        "left_out": [] if chosen else _left_out(runs, {step.layer for step in steps[0]}),
        "steps": [
            {
                "from": version_name(step[0].pair.before.run),
                "to": version_name(step[0].pair.after.run),
                "layers": [_layer(layer) for layer in step],
            }
            for step in steps
        ],
    }


def _left_out(runs: Sequence[Run], compared: set[str]) -> list[dict[str, Any]]:
    """Return the layers that were not compared but that some run has a layout of, with the runs that lack one."""
    laid = {version_name(run): [layer for layer in run.layers if run.has("layout", layer)] for run in runs}
    layers = dict.fromkeys(layer for have in laid.values() for layer in have if layer not in compared)
    return [
        {"layer": layer, "missing": [title for title, have in laid.items() if layer not in have]} for layer in layers
    ]


def _run(run: Run) -> dict[str, Any]:
    about = run.version.about
    return {"run": run.name, "version": run.number, "model": about["model"], "weights": about["config"].get("weights")}


def _layer(step: Step) -> dict[str, Any]:
    units = step.units
    return {
        "layer": step.layer,
        "samples": len(step.moved),
        "same_samples": step.same_samples,
        "same_layout": step.same_layout,
        "same_frame": step.pair.one_frame,
        "drift": _quantiles(units.drift) | {"units": len(units.drift), "dead": int(np.isnan(units.drift).sum())},
        "overlap": _quantiles(units.overlap)["median"],
        "label_change": _quantiles(units.mix)["median"],
        "displacement": _displacement(step),
        "cells": {str(grid): _grid(change) for grid, change in step.grids.items()},
        "units": _units(step),
        "labels": _labels(step),
    }


def _displacement(step: Step) -> dict[str, Any]:
    """Return the quantiles of motion and of noise, both zero where the two runs share one layout."""
    noise = np.zeros(len(step.moved)) if step.same_layout else step.noise
    return {
        **_quantiles(step.moved),
        "noise_median": None if noise is None else _quantiles(noise)["median"],
        "noise_q95": None if noise is None else _quantiles(noise)["q95"],
        "beyond_noise": None if noise is None else motion.share_beyond(step.moved, noise),
    }


def _grid(change: GridChange) -> dict[str, Any]:
    changes = change.changes
    old, new = states(change)
    columns = {
        "row": changes.row.tolist(),
        "col": changes.col.tolist(),
        "old_samples": changes.count[:, 0].tolist(),
        "new_samples": changes.count[:, 1].tolist(),
        "state": np.where(old & new, np.where(change.changed, "changed", "kept"), np.where(new, "appeared", "emptied")),
        "stayed": _plain(changes.overlap),
        "cosine": _plain(changes.cosine),
        "label_change": _plain(changes.mix),
    }
    cells = [dict(zip(columns, map(_python, row), strict=True)) for row in zip(*columns.values(), strict=True)]
    return {**counts(change), "noise": _noise_counts(change), "cells": cells}


def states(change: GridChange) -> tuple[np.ndarray, np.ndarray]:
    """Return masks of the cells filled in the old layout, and in the new."""
    filled = change.changes.both
    grew = change.changes.count[:, 1] > change.changes.count[:, 0]
    return filled | ~grew, filled | grew


def counts(change: GridChange) -> dict[str, int]:
    """Count the cells of a grid by their state: kept, changed, appeared, emptied."""
    old, new = states(change)
    return {
        "kept": int((old & new & ~change.changed).sum()),
        "changed": int(change.changed.sum()),
        "appeared": int((new & ~old).sum()),
        "emptied": int((old & ~new).sum()),
    }


def _noise_counts(change: GridChange) -> dict[str, int] | None:
    if change.noise is None or change.noise_changed is None:
        return None
    return counts(GridChange(changes=change.noise, changed=change.noise_changed, noise=None, noise_changed=None))


def _units(step: Step) -> list[dict[str, Any]]:
    """Return the units, largest drift first, dead units last."""
    units, names = step.units, step.pair.images.names
    order = np.lexsort((np.arange(len(units.drift)), -np.nan_to_num(units.drift, nan=-1)))
    columns = [_plain(column) for column in (units.drift, units.overlap, units.mix)]
    return [
        {
            "unit": unit,
            "drift": columns[0][unit],
            "overlap": columns[1][unit],
            "label_change": columns[2][unit],
            "old_label": _label_name(names, units.top[unit, 0]),
            "new_label": _label_name(names, units.top[unit, 1]),
        }
        for unit in order.tolist()
    ]


def _labels(step: Step) -> list[dict[str, Any]]:
    """Return the labels, largest common shift of their samples first."""
    shifts = step.shifts
    shift = np.linalg.norm(shifts.mean, axis=1)
    return [
        {
            "label": _label_name(step.pair.images.names, shifts.label[i]),
            "samples": int(shifts.count[i]),
            "shift": float(shift[i]),
            "dx": float(shifts.mean[i, 0]),
            "dy": float(shifts.mean[i, 1]),
            "distance": float(shifts.distance[i]),
        }
        for i in np.argsort(-shift, kind="stable").tolist()
    ]


def _label_name(names: Sequence[str], number: Any) -> str | None:
    return names[int(number)] if number >= 0 else None


def _quantiles(values: Double) -> dict[str, float | None]:
    """Return the median and 95 % quantile of the finite values, None where there are none."""
    known = values[np.isfinite(values)]
    if not len(known):
        return {"median": None, "q95": None}
    return {"median": float(np.median(known)), "q95": float(np.quantile(known, 0.95))}


def _plain(values: Double) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _python(value: Any) -> Any:
    return str(value) if isinstance(value, np.str_) else value
