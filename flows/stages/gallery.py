"""Gallery: draw what every unit of a layer responds to most, and compare it with the unit's strongest patch."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from atlas import seeds
from atlas.inversion import objectives
from atlas.inversion.recipes import PICTURE_RECIPES
from atlas.inversion.visualise import Visualised, visualise
from atlas.model.gradient_flow import why_no_gradient
from flows import progress
from flows.config import RunConfig
from flows.model import prepared
from flows.planning import libraries
from flows.planning.costs import Cost, Estimate, Probe, Size
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import icons, patches
from flows.stages.shared import reading
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import arrays, galleries, tables
from storage.errors import ModelError
from storage.store.store import Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


BATCH, TRIES = 16, 3
GREY = 128


def compute(store: Store, task: Task) -> list[Outcome]:
    """Draw the units of one layer."""
    config, output = RunConfig(**task.settings["config"]), task.outputs[0]
    drawn = _draw(reading.prepared_model(task), config, str(output.layer))
    patch = galleries.strongest(store.get("patches", task.reads["patches"]))
    pictures = drawn.pictures.copy()
    pictures[drawn.dead] = GREY
    with drafting(store, output) as draft:
        facts = {"value": drawn.value, "best": drawn.best, "patch": patch, "dead": drawn.dead}
        arrays.write_group(draft.path / "gallery.zarr", {"pictures": pictures, **facts}, chunk_rows=64)
        unit, ratio = np.arange(len(patch), dtype=np.int32), galleries.ratio(drawn.best, patch)
        tables.write_table(draft.path / "gallery.parquet", pa.table({"unit": unit, **facts, "ratio": ratio}))
        draft.json("gallery.json", {"recipe": asdict(PICTURE_RECIPES[config.recipe])})
        draft.counts = {"units": len(patch), "dead": int(drawn.dead.sum())}
    return [outcome(draft)]


def _draw(model: prepared.PreparedModel, config: RunConfig, name: str) -> Visualised:
    layer, side = model.layers[name], config.icon_size
    if why := why_no_gradient(model.model.module, layer, prepared.example(model.model)[None]):
        raise ModelError(f"--with gallery: {name} can't be drawn: {why}")
    with progress.current().bar(f"gallery {name}", layer.units, "pictures") as advance:
        return visualise(
            model.drawing(),
            lambda rows: objectives.channel(name, rows.tolist()),
            [layer],
            recipe=PICTURE_RECIPES[config.recipe],
            seeds=seeds.seeds(config.seed, [f"{name}:{unit}" for unit in range(layer.units)]),
            mean=model.model.mean,
            std=model.model.std,
            size=(side, side),
            own_size=model.model.preprocess.size,
            judge=lambda rows: objectives.peak(name, rows.tolist()),
            batch=BATCH,
            tries=TRIES,
            progress=lambda done, total: advance(done),
        )


def plan(context: PlanContext) -> list[Task]:
    """Return one task per layer."""
    return [_task(context, layer) for layer in context.layers]


def _task(context: PlanContext, layer: str) -> Task:
    reads = {"patches": patches.key(context, layer)}
    settings = context.model_settings() | {
        "precision": "fp32",
        "layer": asdict(context.model.layers[layer]),
        "recipe": asdict(PICTURE_RECIPES[context.config.recipe]),
        "size": context.config.icon_size,
        "seed": context.config.seed,
        "batch": BATCH,
        "tries": TRIES,
        **libraries.of_key("gallery"),
    }
    key = context.key("gallery", reads | {"fingerprint": context.model.fingerprints[layer]}, settings)
    return context.task("gallery", [Output(stage="gallery", key=key, layer=layer)], reads)


def cost(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """Count an icon for the picture of each unit."""
    return icons.full_batches(probed, size.units)
