"""Icons: draw a picture of each cell's average, with the fidelity that it reaches."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import pyarrow as pa
import torch

from atlas import seeds
from atlas.inversion import icons, recipes, visualise
from flows import progress
from flows.config import RunConfig
from flows.planning import libraries
from flows.planning.costs import Cost, Estimate, Probe, Size
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import cells, layout
from flows.stages.shared import reading
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import arrays, tables
from storage.artefacts import cells as cell_arrays
from storage.errors import UsageError
from storage.store.store import Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


FIELDS = ("pictures", "cosine", "rank", "tries", "weak")
BATCH = 16


def compute(store: Store, task: Task) -> list[Outcome]:
    """Render the icons of one grid."""
    config, output = RunConfig(**task.settings["config"]), task.outputs[0]
    model = reading.prepared_model(task)
    group = cell_arrays.read_columns(store.get("cells", task.reads["cells"]), ("row", "col", "mean"))
    moment = arrays.read_array(store.get("moment", task.reads["moment"]).file("moment.zarr"), "moment")
    with progress.current().bar(f"icons {output.layer} {output.grid}", len(group["row"]), "icons") as advance:
        drawn = icons.icons(
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
            progress=_advance_with(advance, len(group["row"])),
        )
    with drafting(store, output) as draft:
        arrays.write_group(draft.path / "icons.zarr", {name: getattr(drawn, name) for name in FIELDS}, chunk_rows=64)
        scores = {name: getattr(drawn, name) for name in ("cosine", "rank", "tries", "weak")}
        tables.write_table(draft.path / "icons.parquet", pa.table({"row": group["row"], "col": group["col"], **scores}))
        draft.counts = {"icons": len(drawn.rank), "weak": int(drawn.weak.sum())}
    return [outcome(draft)]


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
    """Return one task per layer and grid."""
    return [_task(context, layer, grid) for layer in context.layers for grid in context.grids]


def _task(context: PlanContext, layer: str, grid: int) -> Task:
    output = Output(stage="icons", key=key(context, layer, grid), layer=layer, grid=grid)
    return context.task("icons", [output], _reads(context, layer, grid))


def _reads(context: PlanContext, layer: str, grid: int) -> dict[str, str]:
    return {"cells": cells.key(context, layer, grid), "moment": layout.moment_key(context, layer)}


def key(context: PlanContext, layer: str, grid: int) -> str:
    """Return the key of a grid's icons."""
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


def cost(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """Scale by full batches, as the last is padded: the one icon of the probe took a whole one."""
    seconds = probed.seconds * math.ceil(size.cells / BATCH)
    return Estimate(seconds=seconds, bytes=sum(probed.bytes.values()) * size.cells)
