"""Parts of the icons of a grid: the cells of some of its rows, drawn by one task.

An icon starts from that of the parent cell, in the grid of half as many cells a side. This chain belongs to the grid
alone, so that its icons do not depend on which other grids a run has.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from atlas import seeds
from atlas.arrays import Icons, Int
from atlas.cells import parent_grid, parent_rows
from atlas.inversion import icons, recipes
from atlas.inversion.pool import Starts
from flows import progress
from flows.config import RunConfig
from flows.planning import libraries
from flows.planning.costs import filled_cells
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import cells, layout
from flows.stages.shared import reading
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import arrays
from storage.artefacts import cells as cell_arrays
from storage.store.store import Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


Cut = dict[str, int]
"""The first place of a part, and the one after its last."""

FIELDS = ("pictures", "cosine", "rank", "tries", "weak")
BATCH = 16
PART = 150
"""Cells that a part is expected to have; a killed run loses at most the icons of one. No bytes depend on it."""


def compute(store: Store, task: Task) -> list[Outcome]:
    """Draw the icons of the cells in some places of a grid."""
    output = task.outputs[0]
    group = cell_arrays.read_columns(store.get("cells", task.reads["cells"]), ("row", "col", "mean"))
    place = group["row"].astype(np.int64) * int(output.grid or 0) + group["col"]
    rows = np.flatnonzero((place >= task.settings["first"]) & (place < task.settings["stop"]))
    with drafting(store, output) as draft:
        drawn = _draw(store, task, group, rows)
        arrays.write_group(draft.path / "icons.zarr", {name: getattr(drawn, name) for name in FIELDS}, chunk_rows=64)
        most = recipes.ICON_RECIPES[task.settings["config"]["recipe"]].steps
        draft.counts = {"icons": len(rows), "steps": drawn.steps, "most": most}
    return [outcome(draft)]


def _draw(store: Store, task: Task, group: cell_arrays.Columns, rows: Int) -> Icons:
    config, output = RunConfig(**task.settings["config"]), task.outputs[0]
    model = reading.prepared_model(task)
    moment = arrays.read_array(store.get("moment", task.reads["moment"]).file("moment.zarr"), "moment")
    with progress.current().bar(output.title, len(rows), "icons") as advance:
        return icons.icons(
            model.drawing(),
            model.layers[str(output.layer)],
            group["mean"],
            moment,
            recipe=recipes.ICON_RECIPES[config.recipe],
            seeds=seeds.seeds(config.seed, _cell_names(output, group["row"].tolist(), group["col"].tolist())),
            mean=model.model.mean,
            std=model.model.std,
            size=config.icon_size,
            own_size=model.model.preprocess.size,
            tries=config.icon_tries,
            batch=BATCH,
            starts=_starts(store, task, group, rows),
            only=rows,
            progress=_advance_with(advance, len(rows)),
        )


def _starts(store: Store, task: Task, group: cell_arrays.Columns, rows: Int) -> Starts | None:
    """Read the icons of the parent cells of some rows; None for a grid without a parent, or where no row has one."""
    grid = int(task.outputs[0].grid or 0)
    coarse = parent_grid(grid)
    if coarse is None:
        return None
    parents = cell_arrays.read_columns(store.get("cells", task.reads["parent_cells"]), ("row", "col"))
    of = np.full(len(group["row"]), -1, dtype=np.int64)
    of[rows] = parent_rows(group["row"][rows], group["col"][rows], grid, parents["row"], parents["col"], coarse)
    used, of[of >= 0] = np.unique(of[of >= 0], return_inverse=True)
    if not len(used):
        return None
    file = store.get("icons", task.reads["parent"]).file("icons.zarr")
    return Starts(arrays.read_array(file, "pictures", used), of)


def _advance_with(advance: progress.Bar, count: int) -> Callable[[int, int], None]:
    """Return a callback that advances a bar; further tries of weak icons add work and never move the bar back."""
    furthest = 0

    def report(done: int, total: int) -> None:
        nonlocal furthest
        furthest = max(furthest, done * count // max(total, 1))
        advance(furthest)

    return report


def _cell_names(output: Output, rows: list[int], cols: list[int]) -> list[str]:
    """Return a name for each cell, to seed its icon."""
    return [f"{output.layer}/{output.grid}/{row},{col}" for row, col in zip(rows, cols, strict=True)]


def tasks(context: PlanContext, layer: str, grid: int) -> list[Task]:
    """Return one task per part."""
    parts = zip(keys(context, layer, grid), places(context.samples, grid), strict=True)
    return [_task(context, layer, grid, part, *cut) for part, cut in enumerate(parts)]


def _task(context: PlanContext, layer: str, grid: int, part: int, key: str, cut: Cut) -> Task:
    output = Output(stage="icon_parts", key=key, layer=layer, grid=grid, part=part)
    return context.task("icon_parts", [output], _reads(context, layer, grid), cut, between=True)


def keys(context: PlanContext, layer: str, grid: int) -> list[str]:
    """Return the keys of a grid's parts, in order."""
    whole = {"icons": grid_key(context, layer, grid)}
    return [context.key("icon_parts", whole, cut) for cut in places(context.samples, grid)]


def places(samples: int, grid: int) -> list[Cut]:
    """Cut the places of a grid, row by row, into parts of about as many: how many cells they have is not known yet."""
    parts = math.ceil(min(grid * grid, filled_cells(samples, grid)) / PART)
    ends = [grid * grid * part // parts for part in range(parts + 1)]
    return [{"first": first, "stop": stop} for first, stop in itertools.pairwise(ends)]


def _reads(context: PlanContext, layer: str, grid: int) -> dict[str, str]:
    reads = {"cells": cells.key(context, layer, grid), "moment": layout.moment_key(context, layer)}
    coarse = parent_grid(grid)
    if coarse is None:
        return reads
    return reads | {"parent": grid_key(context, layer, coarse), "parent_cells": cells.key(context, layer, coarse)}


def grid_key(context: PlanContext, layer: str, grid: int) -> str:
    """Return the key of a grid's icons, which holds those of the icons that they start from."""
    return context.cached(("icons", layer, grid), lambda: _grid_key(context, layer, grid))


def _grid_key(context: PlanContext, layer: str, grid: int) -> str:
    config = context.config
    settings = context.model_settings() | {
        "precision": "fp32",
        "layer": asdict(context.model.layers[layer]),
        "recipe": asdict(recipes.ICON_RECIPES[config.recipe]),
        "size": config.icon_size,
        "seed": config.seed,
        "tries": config.icon_tries,
        "batch": BATCH,
        "grid": grid,
        **libraries.of_key("icons"),
    }
    reads = _reads(context, layer, grid) | {"fingerprint": context.model.fingerprints[layer]}
    return context.key("icons", reads, settings)
