"""How a layer's cells, units and labels moved since another version: for the map's arrows and the comparison."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, cast

import numpy as np
from typing_extensions import TypedDict

from flows.comparing import answers as comparison_answer
from flows.comparing.answers import ChangedUnit, Displacement, Drift, LabelShift
from flows.comparing.cell_changes import GridCells
from flows.viewer.answers import sizes
from flows.viewer.answers.errors import Full
from flows.viewer.answers.open_runs import OpenVersion
from flows.viewer.answers.rounding import Number, plain, rounded
from storage.errors import NotFound, UsageError
from storage.run import Run

if TYPE_CHECKING:
    from flows.comparing.steps import Step

SINCE = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9_.-]{0,63})@([1-9][0-9]{0,8})-([0-9a-f]{8})", re.ASCII)
ONE_AT_A_TIME = threading.Lock()
"""A comparison reads the activations of both versions: two at once take twice the memory and finish no sooner."""

WAITING = threading.BoundedSemaphore(5)
"""Comparisons running or waiting; further ones are refused, or they would hold every thread of the server."""

BEHIND = 4
"""Samples an arrow stands for, at least."""

STATES = ("kept", "changed", "appeared", "emptied")


class MovedCells(TypedDict):
    """A grid's cells as columns, counted by state; a `state` is an index into kept, changed, appeared, emptied."""

    grid: int
    kept: int
    changed: int
    appeared: int
    emptied: int
    row: list[int]
    col: list[int]
    old_samples: list[int]
    new_samples: list[int]
    state: list[int]
    stayed: list[Number]
    cosine: list[Number]
    label_change: list[Number]


class Arrows(TypedDict):
    """The motion as one arrow per cell of a grid, in the unit square; `beyond` marks those longer than the noise."""

    grid: int
    start: list[list[float]]
    end: list[list[float]]
    samples: list[int]
    beyond: list[int]


class MovedUnits(TypedDict):
    """The units as columns, by number."""

    drift: list[Number]
    overlap: list[Number]
    label_change: list[Number]
    old_label: list[str | None]
    new_label: list[str | None]


class MovedLabel(TypedDict):
    """A label, and the mean motion of its samples."""

    label: str
    samples: int
    shift: Number
    dx: Number
    dy: Number


class Moved(TypedDict):
    """What moved in a layer since `since`, which is NAME@TAG."""

    layer: str
    since: str
    samples: int
    same_layout: bool
    same_frame: bool
    drift: Drift
    overlap: Number
    label_change: Number
    displacement: Displacement
    cells: list[MovedCells]
    arrows: list[Arrows]
    units: MovedUnits
    labels: list[MovedLabel]


def answer(version: OpenVersion, layer: str, since: str) -> Moved:
    """Return how cells, units and labels moved since `since` (NAME@TAG). Raises NotFound, Full, UsageError."""
    version.layer(layer)
    before = _before(version, since)
    noisy = _has_noise(before, version.run, layer)
    if not WAITING.acquire(blocking=False):
        raise Full("too many comparisons at once; try again in a moment")
    try:
        with ONE_AT_A_TIME:
            return version.recent(
                ("moved", layer, since, noisy), lambda: _measure(version, before, layer, since, noisy)
            )
    finally:
        WAITING.release()


def _before(version: OpenVersion, since: str) -> Run:
    """Open the version to compare with; its hash is checked, so that the answer never means another version."""
    named = SINCE.fullmatch(since)
    if not named:
        raise NotFound(
            f"{since!r} is not a version to compare with: write NAME@TAG, as in {version.run.name}@{version.tag}"
        )
    store, name, number = version.run.store, named[1], int(named[2])
    try:
        earlier = store.version(name, number)
    except NotFound:
        raise NotFound(f"there is no {name}@{number} in this store") from None
    if earlier.sha256[:8] != named[3]:
        raise NotFound(f"{name}@{number} is no longer the one of {named[3]}; it is {earlier.sha256[:8]}")
    return Run(store, earlier)


def _measure(version: OpenVersion, before: Run, layer: str, since: str, noisy: bool) -> Moved:
    from flows.comparing import measure
    from flows.comparing.datasets import pair

    names = [f"{run.name}@{run.number}" for run in (before, version.run)]
    if not pair.share_images(before, version.run):
        raise UsageError(
            f"{names[0]} and {names[1]} are of different images, so nothing moved from one to the other: "
            f"`actlas compare {' '.join(names)} --datasets` holds one set against the other"
        )
    [[step]] = measure.measure(str(version.run.store.root), names, layers=[layer], noisy=noisy)
    answer = _moved(step, since)
    del step  # it holds both versions' samples
    sizes.release()
    return answer


def _moved(step: Step, since: str) -> Moved:
    facts = comparison_answer.describe([[step]])["steps"][0]["layers"][0]
    return {
        "layer": facts["layer"],
        "samples": facts["samples"],
        "same_layout": facts["same_layout"],
        "same_frame": facts["same_frame"],
        "drift": facts["drift"],
        "overlap": facts["overlap"],
        "label_change": facts["label_change"],
        "displacement": facts["displacement"],
        "since": since,
        "cells": [_cells(int(grid), cells) for grid, cells in facts["cells"].items()],
        "arrows": [_arrows(step, grid) for grid in step.grids],
        "units": _units(facts["units"]),
        "labels": [_label(row) for row in facts["labels"]],
    }


def _label(row: LabelShift) -> MovedLabel:
    shift, dx, dy = (plain(value, 4) for value in (row["shift"], row["dx"], row["dy"]))
    return {"label": row["label"], "samples": row["samples"], "shift": shift, "dx": dx, "dy": dy}


def _has_noise(before: Run, after: Run, layer: str) -> bool:
    """Tell whether the layout noise is stored; the viewer never writes, so it cannot measure it."""
    from flows.comparing import layout_noise, pairs

    if not (before.has("layout", layer) and after.has("layout", layer)):
        return False
    framed = pairs.frame_of(before, layer) == pairs.frame_of(after, layer)
    return layout_noise.stored_points(before, layer, framed=framed) is not None


def _cells(grid: int, facts: GridCells) -> MovedCells:
    """Return a grid's cells as columns."""
    cells = facts["cells"]
    return {
        "grid": grid,
        "kept": facts["kept"],
        "changed": facts["changed"],
        "appeared": facts["appeared"],
        "emptied": facts["emptied"],
        "row": [cell["row"] for cell in cells],
        "col": [cell["col"] for cell in cells],
        "old_samples": [cell["old_samples"] for cell in cells],
        "new_samples": [cell["new_samples"] for cell in cells],
        "state": [STATES.index(cell["state"]) for cell in cells],
        "stayed": [_short(cell["stayed"]) for cell in cells],
        "cosine": [_short(cell["cosine"]) for cell in cells],
        "label_change": [_short(cell["label_change"]) for cell in cells],
    }


def _short(value: Number) -> Number:
    return None if value is None else plain(value, 3)


def _arrows(step: Step, grid: int) -> Arrows:
    """Return the motion thinned to one arrow per cell, between the mean positions before and after."""
    from atlas.comparing import motion

    old, new = step.pair.points
    start, end, samples = motion.arrows(old, new, grid=grid, min_count=min(BEHIND, max(1, len(old) // grid**2)))
    length = np.linalg.norm(end - start, axis=1)
    bar = motion.MIN_DISPLACEMENT if step.noise is None else motion.threshold(step.noise)
    arrows = {
        "grid": grid,
        "start": [rounded(point, 4) for point in start],
        "end": [rounded(point, 4) for point in end],
        "samples": samples.tolist(),
        "beyond": (length > bar).astype(int).tolist(),
    }
    return cast(Arrows, arrows)  # positions are finite


def _units(rows: list[ChangedUnit]) -> MovedUnits:
    """Return the units as columns, by number."""
    ordered = sorted(rows, key=lambda row: row["unit"])
    return {
        "drift": [_short(row["drift"]) for row in ordered],
        "overlap": [_short(row["overlap"]) for row in ordered],
        "label_change": [_short(row["label_change"]) for row in ordered],
        "old_label": [row["old_label"] for row in ordered],
        "new_label": [row["new_label"] for row in ordered],
    }
