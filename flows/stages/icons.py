"""Icons: draw a picture of each cell's average, with the fidelity that it reaches; here its parts are put together."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from atlas.cells import parent_grid
from atlas.inversion import recipes, visualise
from flows.config import RunConfig
from flows.planning.costs import Cost, Estimate, Probe, Size
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import cells, icon_parts
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import arrays, tables
from storage.artefacts import cells as cell_arrays
from storage.errors import UsageError
from storage.store.store import Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


def compute(store: Store, task: Task) -> list[Outcome]:
    """Put the icons of one grid together."""
    places = cell_arrays.read_columns(store.get("cells", task.reads["cells"]), ("row", "col"))
    parts = [arrays.read_group(store.get("icon_parts", key).file("icons.zarr")) for key in task.reads["parts"]]
    drawn = {name: np.concatenate([part[name] for part in parts]) for name in icon_parts.FIELDS}
    with drafting(store, task.outputs[0]) as draft:
        arrays.write_group(draft.path / "icons.zarr", drawn, chunk_rows=64)
        scores = {name: drawn[name] for name in ("cosine", "rank", "tries", "weak")}
        tables.write_table(draft.path / "icons.parquet", pa.table({**places, **scores}))
        draft.counts = {"icons": len(drawn["rank"]), "weak": int(drawn["weak"].sum())}
    return [outcome(draft)]


def check_size(config: RunConfig) -> None:
    """Raise UsageError if icons are too small for the recipe, naming the smallest that are not."""
    recipe = recipes.ICON_RECIPES[config.recipe]
    try:
        visualise.transform_grey(recipe, torch.full((2, 3, config.icon_size, config.icon_size), 0.5))
    except ValueError as error:
        message = f"--icon-size {config.icon_size}: {error}; give at least {_smallest(recipe, config.icon_size)}"
        raise UsageError(message) from None


def _smallest(recipe: recipes.IconRecipe, size: int) -> int:
    while True:
        size += 1
        with contextlib.suppress(ValueError):
            visualise.transform_grey(recipe, torch.full((2, 3, size, size), 0.5))
            return size


def plan(context: PlanContext) -> list[Task]:
    """Return one task per layer and grid, after those of its parts and of the grids whose icons it starts from."""
    return [task for layer in context.layers for grid in chains(context.grids) for task in _tasks(context, layer, grid)]


def chains(grids: Iterable[int]) -> list[int]:
    """Return the grids and all that their icons start from, coarse ones first."""
    chain: set[int] = set()
    for grid in grids:
        coarser: int | None = grid
        while coarser is not None:
            chain.add(coarser)
            coarser = parent_grid(coarser)
    return sorted(chain)


def _tasks(context: PlanContext, layer: str, grid: int) -> list[Task]:
    between = grid not in context.grids
    averages = [cells.task(context, layer, grid, between=True)] if between else []
    reads = {"cells": cells.key(context, layer, grid), "parts": icon_parts.keys(context, layer, grid)}
    output = Output(stage="icons", key=key(context, layer, grid), layer=layer, grid=grid)
    joined = context.task("icons", [output], reads, between=between)
    return [*averages, *icon_parts.tasks(context, layer, grid), joined]


def key(context: PlanContext, layer: str, grid: int) -> str:
    """Return the key of a grid's icons."""
    return icon_parts.grid_key(context, layer, grid)


NEEDED = 0.6
"""Share of the time of all steps that icons from a parent take: 0.56 for 64 of `_blocks.10`; those of a root take all."""


def cost(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """Scale by the batches that it would take; those that a grid starts from, where they are not asked for, are left out."""
    whole = full_batches(probed, size.cells)
    return replace(whole, seconds=whole.seconds * NEEDED)


def full_batches(probed: Cost, count: float) -> Estimate:
    """Return what pictures of all steps take: the one icon of the probe took a whole batch, for the steps it needed."""
    each = probed.seconds * probed.counts.get("most", 1) / max(1, probed.counts.get("steps", 1))
    seconds = each * math.ceil(count / icon_parts.BATCH)
    return Estimate(seconds=seconds, bytes=sum(probed.bytes.values()) * count)
