"""Describe a comparison, for the command line, Python and the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NotRequired

import numpy as np
from typing_extensions import TypedDict

from atlas.comparing import motion
from atlas.comparing.drift import Double
from flows.comparing.cell_changes import GridCells, cells_of, plain
from flows.comparing.pairs import version_name
from flows.comparing.steps import Step
from storage.run import Run


class ComparedRun(TypedDict):
    """A version that is compared, its model and the file of its weights, if any."""

    run: str
    version: int
    model: str
    weights: str | None


class LeftOut(TypedDict):
    """A layer that was not compared, and the versions without a layout of it."""

    layer: str
    missing: list[str]


class Quantiles(TypedDict):
    """Median and 95 % quantile of the finite values; None where there are none."""

    median: float | None
    q95: float | None


class Drift(Quantiles):
    """How far units drifted: median and 95 % quantile over the units that are not dead."""

    units: int
    dead: int


class Displacement(Quantiles):
    """How far samples moved on the map, how far noise alone moves them, and the share that moved further."""

    noise_median: float | None
    noise_q95: float | None
    beyond_noise: float | None


class ChangedUnit(TypedDict):
    """A unit: its drift, and how much of its strongest patches and of their labels has stayed."""

    unit: int
    drift: float | None
    overlap: float | None
    label_change: float | None
    old_label: str | None
    new_label: str | None


class LabelShift(TypedDict):
    """A label: the mean motion of its samples, and the mean distance that they moved."""

    label: str
    samples: int
    shift: float
    dx: float
    dy: float
    distance: float


class ComparedLayer(TypedDict):
    """What moved in a layer from one version to the next; the keys of `cells` are grids."""

    layer: str
    samples: int
    same_samples: bool
    same_layout: bool
    same_frame: bool
    drift: Drift
    overlap: float | None
    label_change: float | None
    displacement: Displacement
    cells: dict[str, GridCells]
    units: list[ChangedUnit]
    labels: list[LabelShift]


ComparedStep = TypedDict("ComparedStep", {"from": str, "to": str, "layers": list[ComparedLayer]})
"""What moved from one version to the next."""

Crossing = TypedDict(
    "Crossing", {"rule": str, "from": str, "to": str, "layer": str, "metric": str, "value": float | None}
)
"""A threshold that a layer crosses, and its value, None where it is not known."""


class Comparison(TypedDict):
    """What moved from version to version; `crossed` are the thresholds that were crossed, where some were set."""

    runs: list[ComparedRun]
    left_out: list[LeftOut]
    steps: list[ComparedStep]
    crossed: NotRequired[list[Crossing]]


def describe(steps: Sequence[Sequence[Step]], *, chosen: Sequence[str] = ()) -> Comparison:
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


def _left_out(runs: Sequence[Run], compared: set[str]) -> list[LeftOut]:
    """Return the layers that were not compared but that some run has a layout of, with the runs that lack one."""
    laid = {version_name(run): [layer for layer in run.layers if run.has("layout", layer)] for run in runs}
    layers = dict.fromkeys(layer for have in laid.values() for layer in have if layer not in compared)
    return [
        {"layer": layer, "missing": [title for title, have in laid.items() if layer not in have]} for layer in layers
    ]


def _run(run: Run) -> ComparedRun:
    about = run.version.about
    return {"run": run.name, "version": run.number, "model": about["model"], "weights": about["config"].get("weights")}


def _layer(step: Step) -> ComparedLayer:
    units = step.units
    return {
        "layer": step.layer,
        "samples": len(step.moved),
        "same_samples": step.same_samples,
        "same_layout": step.same_layout,
        "same_frame": step.pair.one_frame,
        "drift": {
            **_quantiles(units.drift),
            "units": len(units.drift),
            "dead": int(np.isnan(units.drift).sum()),
        },
        "overlap": _quantiles(units.overlap)["median"],
        "label_change": _quantiles(units.mix)["median"],
        "displacement": _displacement(step),
        "cells": {str(grid): cells_of(change) for grid, change in step.grids.items()},
        "units": _units(step),
        "labels": _labels(step),
    }


def _displacement(step: Step) -> Displacement:
    """Return the quantiles of motion and of noise, both zero where the two runs share one layout."""
    noise = np.zeros(len(step.moved)) if step.same_layout else step.noise
    return {
        **_quantiles(step.moved),
        "noise_median": None if noise is None else _quantiles(noise)["median"],
        "noise_q95": None if noise is None else _quantiles(noise)["q95"],
        "beyond_noise": None if noise is None else motion.share_beyond(step.moved, noise),
    }


def _units(step: Step) -> list[ChangedUnit]:
    """Return the units, largest drift first, dead units last."""
    units, names = step.units, step.pair.images.names
    order = np.lexsort((np.arange(len(units.drift)), -np.nan_to_num(units.drift, nan=-1)))
    columns = [plain(column) for column in (units.drift, units.overlap, units.mix)]
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


def _labels(step: Step) -> list[LabelShift]:
    """Return the labels, largest common shift of their samples first."""
    shifts = step.shifts
    shift = np.linalg.norm(shifts.mean, axis=1)
    return [
        {
            "label": step.pair.images.names[int(shifts.label[i])],
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


def _quantiles(values: Double) -> Quantiles:
    """Return the median and 95 % quantile of the finite values, None where there are none."""
    known = values[np.isfinite(values)]
    if not len(known):
        return {"median": None, "q95": None}
    return {"median": float(np.median(known)), "q95": float(np.quantile(known, 0.95))}
