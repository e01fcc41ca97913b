"""What moved in a layer since an earlier version, or another run: what the map draws over itself, and Compare shows."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from flows.viewer.answers.errors import Full
from flows.viewer.answers.open_runs import OpenVersion
from flows.viewer.answers.rounding import plain, rounded
from storage.errors import ActlasError, NotFound
from storage.run import Run

if TYPE_CHECKING:
    from flows.comparing.steps import Step

SINCE = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9_.-]{0,63})@([1-9][0-9]{0,8})-([0-9a-f]{8})", re.ASCII)
ONE_AT_A_TIME = threading.Lock()
"""A comparison reads the activations of both: two at once would take twice the memory, and be no sooner done."""

WAITING = threading.BoundedSemaphore(5)
"""Who may wait for it: the rest are told so at once, or they would hold every thread of the server."""

BEHIND = 4
"""Samples that an arrow stands for, at least."""

STATES = ("kept", "changed", "appeared", "emptied")


def answer(version: OpenVersion, layer: str, since: str) -> dict[str, Any]:
    """Return cells, arrows, units and labels by how they moved since `since`, which is NAME@TAG. Raises NotFound, Full."""
    version.layer(layer)
    before = _before(version, since)
    known = _noise_known(before, version.run, layer)
    if not WAITING.acquire(blocking=False):
        raise Full("too many comparisons at once; try again in a moment")
    try:
        with ONE_AT_A_TIME:
            return version.recent(
                ("moved", layer, since, known), lambda: _measured(version, before, layer, since, known)
            )
    finally:
        WAITING.release()


def _before(version: OpenVersion, since: str) -> Run:
    """Open the version that is compared with: by its hash too, so that the answer never means another."""
    named = SINCE.fullmatch(since)
    if not named:
        raise NotFound(
            f"{since!r} is no version to compare with: write NAME@TAG, as in {version.run.name}@{version.tag}"
        )
    store, name, number = version.run.store, named[1], int(named[2])
    try:
        earlier = store.version(name, number)
    except ActlasError:
        raise NotFound(f"there is no {name}@{number} in this store") from None
    if earlier.sha256[:8] != named[3]:
        raise NotFound(f"{name}@{number} is no longer the one of {named[3]}; it is {earlier.sha256[:8]}")
    return Run(store, earlier)


def _measured(version: OpenVersion, before: Run, layer: str, since: str, known: bool) -> dict[str, Any]:
    from flows.comparing import answer as comparison_answer
    from flows.comparing import measure

    names = [f"{run.name}@{run.number}" for run in (before, version.run)]
    [[step]] = measure.measure(str(version.run.store.root), names, layers=[layer], noisy=known)
    told = comparison_answer.describe([[step]])["steps"][0]["layers"][0]
    kept = ("layer", "samples", "same_layout", "same_frame", "drift", "overlap", "label_change", "displacement")
    return {
        **{name: told[name] for name in kept},
        "since": since,
        "cells": [_cells(int(grid), cells) for grid, cells in told["cells"].items()],
        "arrows": [_arrows(step, grid) for grid in step.grids],
        "units": _units(told["units"]),
        "labels": [
            {name: plain(row[name], 4) if name in ("shift", "dx", "dy") else row[name] for name in LABEL}
            for row in told["labels"]
        ],
    }


LABEL = ("label", "samples", "shift", "dx", "dy")


def _noise_known(before: Run, after: Run, layer: str) -> bool:
    """Tell whether the noise was measured by somebody who may write: the viewer only reads."""
    from flows.comparing import layout_noise, pairs

    if not (before.has("layout", layer) and after.has("layout", layer)):
        return False
    framed = pairs.frame_of(before, layer) == pairs.frame_of(after, layer)
    return layout_noise.stored_points(before, layer, framed=framed) is not None


def _cells(grid: int, told: dict[str, Any]) -> dict[str, Any]:
    """Return a grid's cells as columns."""
    cells = told["cells"]
    counted = {state: told[state] for state in STATES}
    whole = ("row", "col", "old_samples", "new_samples")
    return {
        "grid": grid,
        **counted,
        **{name: [cell[name] for cell in cells] for name in whole},
        "state": [STATES.index(cell["state"]) for cell in cells],
        **{
            name: [None if cell[name] is None else plain(cell[name], 3) for cell in cells]
            for name in ("stayed", "cosine", "label_change")
        },
    }


def _arrows(step: Step, grid: int) -> dict[str, Any]:
    """Return the motion, thinned to an arrow a cell: old and new mean places, and which go further than the noise."""
    from atlas.comparing import motion

    old, new = step.pair.points
    start, end, samples = motion.arrows(old, new, grid=grid, least=min(BEHIND, max(1, len(old) // grid**2)))
    far = np.linalg.norm(end - start, axis=1)
    bar = motion.FINEST if step.noise is None else motion.bar(step.noise)
    return {
        "grid": grid,
        "start": [rounded(point, 4) for point in start],
        "end": [rounded(point, 4) for point in end],
        "samples": samples.tolist(),
        "beyond": (far > bar).astype(int).tolist(),
    }


def _units(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the units as columns, by their number."""
    ordered = sorted(rows, key=lambda row: int(row["unit"]))
    digits = {
        name: [None if row[name] is None else plain(row[name], 3) for row in ordered]
        for name in ("drift", "overlap", "label_change")
    }
    return digits | {name: [row[name] for row in ordered] for name in ("old_label", "new_label")}
