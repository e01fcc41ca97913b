"""Measure what a model update moved: versions that share images and layers, step by step in one frame."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from atlas.comparing import motion
from flows import progress
from flows.comparing import layout_noise, pairs, unit_changes
from flows.comparing.pairs import Common, Pair
from flows.comparing.steps import GridChange, Step
from storage.errors import NotFound, UsageError
from storage.run import Run, open_run


def measure(store: str, names: Sequence[str], *, layers: Sequence[str] = (), noisy: bool = True) -> list[list[Step]]:
    """Return the steps from each run to the next, each a list of layers."""
    if len(names) < 2:
        raise UsageError("compare takes two runs or more, as in `actlas compare photos@1 photos`")
    runs = [open_run(store, name) for name in names]
    chosen = _shared_layers(runs, layers)
    shared = [pairs.common(*both) for both in pairwise([pairs.images(run) for run in runs])]
    by_layer = [_layer(runs, layer, shared, noisy) for layer in chosen]
    return [list(steps) for steps in zip(*by_layer, strict=True)]


def _shared_layers(runs: Sequence[Run], chosen: Sequence[str]) -> list[str]:
    """Return the layers to compare: those that every run has a layout of, in the order of the first run."""
    laid = [[layer for layer in run.layers if run.has("layout", layer)] for run in runs]
    for run, have in zip(runs, laid, strict=True):
        for layer in chosen:
            if layer not in have:
                there = ", ".join(have) or "none"
                raise NotFound(f"{run.name}@{run.number} has no layout of {layer!r}; of its layers it has {there}")
    layers = [layer for layer in chosen or laid[0] if all(layer in have for have in laid)]
    if not layers:
        named = "; ".join(
            f"{run.name}@{run.number} has {', '.join(have) or 'none'}" for run, have in zip(runs, laid, strict=True)
        )
        raise UsageError(f"no layer was laid out in all of these runs: {named}")
    return layers


def _layer(runs: Sequence[Run], layer: str, shared: Sequence[Common], noisy: bool) -> list[Step]:
    """Compare one layer from run to run, with all positions in the frame of the first."""
    progress.current().say(f"compare {layer}")
    steps = []
    before = pairs.first(runs[0], layer)
    for run, images in zip(runs[1:], shared, strict=True):
        pair = pairs.pair(before, run, layer, images)
        steps.append(_step(pair, layer, noisy))
        before = pair.after
    return steps


def _step(pair: Pair, layer: str, noisy: bool) -> Step:
    a, b = pair.before.run, pair.after.run
    same_layout = a.result("layout", layer).key == b.result("layout", layer).key
    points = pair.points
    still = _seed_noise(pair, layer) if noisy and not same_layout else None
    values = pair.activations
    return Step(
        layer=layer,
        pair=pair,
        units=unit_changes.changes(pair, layer),
        moved=motion.displacement(*points),
        noise=None if still is None else motion.displacement(points[0], still),
        shifts=motion.shifts(*points, pair.label),
        grids={grid: _grid(pair, values, still, grid) for grid in _shared_grids(a, b)},
        same_samples=_keys(a, layer) == _keys(b, layer),
        same_layout=same_layout,
    )


def _seed_noise(pair: Pair, layer: str) -> np.ndarray:
    """Return where another seed puts the shared samples of the older run, `n 2`, in the frame of its positions."""
    before = pair.before
    points = layout_noise.lay_out_again(before.run, layer, before.samples, framed=pair.one_frame)
    drawn = before.run.layout(layer)
    if not np.array_equal(drawn, before.points):  # later in a series, the older layout was itself aligned
        points = motion.align(drawn, before.points, points)
    return points[pair.rows[0]]


def _keys(run: Run, layer: str) -> list[str]:
    return [result.key for result in run.sample_results(layer)]


def _shared_grids(a: Run, b: Run) -> list[int]:
    return [grid for grid in a.grids if grid in b.grids] or a.grids


def _grid(pair: Pair, values: tuple[np.ndarray, np.ndarray], still: np.ndarray | None, grid: int) -> GridChange:
    least = int(pair.after.run.version.about["config"]["min_count"])
    old, new = pair.points
    first, second = (old, values[0]), (new, values[1])
    changes = motion.cell_changes(first, second, pair.label, grid=grid, min_count=least)
    if still is None:
        return GridChange(changes=changes, changed=motion.changed_cells(changes, None), noise=None, noise_changed=None)
    by_seed = motion.cell_changes(first, (still, values[0]), pair.label, grid=grid, min_count=least)
    return GridChange(
        changes=changes,
        changed=motion.changed_cells(changes, by_seed),
        noise=by_seed,
        noise_changed=motion.changed_cells(by_seed, by_seed),
    )
