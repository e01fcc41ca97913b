"""A comparison as a plain dict, for the command line, Python and the viewer alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from atlas.comparing import motion
from atlas.comparing.drift import Double
from flows.comparing.steps import GridChange, Step
from storage.run import Run


def describe(steps: Sequence[Sequence[Step]], *, asked: Sequence[str] = ()) -> dict[str, Any]:
    """Return `runs`, `steps` and `left_out`; a step has its layers, with units, cells and labels, most changed first.

    `left_out` are layers that only some of the runs were laid out for, unless the layers to compare were `asked` for.
    """
    first = [step[0].pair.before.run for step in steps[:1]]
    runs = [*first, *(step[0].pair.after.run for step in steps)]
    return {
        "runs": [_run(run) for run in runs],
        "left_out": [] if asked else _left_out(runs, {step.layer for step in steps[0]}),
        "steps": [
            {
                "from": name(step[0].pair.before.run),
                "to": name(step[0].pair.after.run),
                "layers": [_layer(found) for found in step],
            }
            for step in steps
        ],
    }


def _left_out(runs: Sequence[Run], compared: set[str]) -> list[dict[str, Any]]:
    """Return the layers not compared that some run was laid out for, and the runs that were not."""
    laid = {name(run): [layer for layer in run.layers if run.has("layout", layer)] for run in runs}
    layers = dict.fromkeys(layer for have in laid.values() for layer in have if layer not in compared)
    return [
        {"layer": layer, "missing": [title for title, have in laid.items() if layer not in have]} for layer in layers
    ]


def name(run: Run) -> str:
    """Return NAME@VERSION."""
    return f"{run.name}@{run.number}"


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
    """Return the motion and the noise; where the layout is the same there is neither."""
    noise = np.zeros(len(step.moved)) if step.same_layout else step.noise
    return {
        **_quantiles(step.moved),
        "noise_median": None if noise is None else _quantiles(noise)["median"],
        "noise_q95": None if noise is None else _quantiles(noise)["q95"],
        "beyond_noise": None if noise is None else motion.share_beyond(step.moved, noise),
    }


def _grid(change: GridChange) -> dict[str, Any]:
    made = change.changes
    old, new = states(change)
    columns = {
        "row": made.row.tolist(),
        "col": made.col.tolist(),
        "old_samples": made.count[:, 0].tolist(),
        "new_samples": made.count[:, 1].tolist(),
        "state": np.where(old & new, np.where(change.changed, "changed", "kept"), np.where(new, "appeared", "emptied")),
        "stayed": _plain(made.overlap),
        "cosine": _plain(made.cosine),
        "label_change": _plain(made.mix),
    }
    cells = [dict(zip(columns, map(_python, row), strict=True)) for row in zip(*columns.values(), strict=True)]
    return {**counts(change), "noise": _noise(change), "cells": cells}


def states(change: GridChange) -> tuple[np.ndarray, np.ndarray]:
    """Tell which cells are filled in the old layout, and which in the new."""
    filled = change.changes.both
    grew = change.changes.count[:, 1] > change.changes.count[:, 0]
    return filled | ~grew, filled | grew


def counts(change: GridChange) -> dict[str, int]:
    """Count a grid's cells by what became of them."""
    old, new = states(change)
    return {
        "kept": int((old & new & ~change.changed).sum()),
        "changed": int(change.changed.sum()),
        "appeared": int((new & ~old).sum()),
        "emptied": int((old & ~new).sum()),
    }


def _noise(change: GridChange) -> dict[str, int] | None:
    if change.noise is None or change.noise_changed is None:
        return None
    return counts(GridChange(changes=change.noise, changed=change.noise_changed, noise=None, noise_changed=None))


def _units(step: Step) -> list[dict[str, Any]]:
    """Return the units, those that drifted most first; the dead ones last."""
    units, names = step.units, step.pair.images.names
    order = np.lexsort((np.arange(len(units.drift)), -np.nan_to_num(units.drift, nan=-1)))
    columns = [_plain(column) for column in (units.drift, units.overlap, units.mix)]
    return [
        {
            "unit": unit,
            "drift": columns[0][unit],
            "overlap": columns[1][unit],
            "label_change": columns[2][unit],
            "old_label": _name(names, units.top[unit, 0]),
            "new_label": _name(names, units.top[unit, 1]),
        }
        for unit in order.tolist()
    ]


def _labels(step: Step) -> list[dict[str, Any]]:
    """Return the labels whose samples moved together furthest first."""
    found = step.shifts
    shift = np.linalg.norm(found.mean, axis=1)
    return [
        {
            "label": _name(step.pair.images.names, found.label[i]),
            "samples": int(found.count[i]),
            "shift": float(shift[i]),
            "dx": float(found.mean[i, 0]),
            "dy": float(found.mean[i, 1]),
            "distance": float(found.distance[i]),
        }
        for i in np.argsort(-shift, kind="stable").tolist()
    ]


def _name(names: Sequence[str], number: Any) -> str | None:
    return names[int(number)] if number >= 0 else None


def _quantiles(values: Double) -> dict[str, float | None]:
    """Return median and 95 % quantile of what is known, None where nothing is."""
    known = values[np.isfinite(values)]
    if not len(known):
        return {"median": None, "q95": None}
    return {"median": float(np.median(known)), "q95": float(np.quantile(known, 0.95))}


def _plain(values: Double) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _python(value: Any) -> Any:
    return str(value) if isinstance(value, np.str_) else value
