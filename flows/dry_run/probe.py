"""Probe a run on this machine: pass 64 images through its stages, in a temporary store, and measure them."""

from __future__ import annotations

import resource
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from atlas.arrays import Reach
from flows import progress, registry
from flows.config import RunConfig
from flows.cores import cores
from flows.model import prepared
from flows.model.prepared import PreparedModel
from flows.pipeline.plan import Planner, Step
from flows.planning.costs import Cost, Probe
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import image_listing
from flows.stages.shared import reading
from flows.stages.shared.execute import execute
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import receptive_fields
from storage.images import loader
from storage.images.shards import living
from storage.store.store import Store

IMAGES = 64
"""Images of the probe."""
GRID = 1
"""The probe's grid: it has one cell, whose icon takes the time of a full batch."""


def probe(config: RunConfig, model: PreparedModel, table: pa.Table, missing: set[str], layers: Sequence[str]) -> Probe:
    """Run the stages up to the last of `missing` on the first images, for these layers, and measure them."""
    started = time.monotonic()
    rows = _first(table, config)
    images = len(living(rows))
    with (
        progress.current().bar(f"probe of {images} images", images, "images") as advance,
        tempfile.TemporaryDirectory(prefix="actlas-probe-") as folder,
    ):
        decode = _decode(config, model, rows) / images
        costs = _run(_small(config, folder), model, rows, missing, layers)
        advance(images)
    return Probe(
        images=images,
        costs=costs,
        decode=decode,
        collect=sum(cost.seconds for (stage, _), cost in costs.items() if stage in ("images", "collect")) / images,
        memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        seconds=time.monotonic() - started,
    )


def _first(table: pa.Table, config: RunConfig) -> pa.Table:
    """Return the rows up to the last of the first images that are still in the source."""
    live = living(table, config.limit)
    return table.slice(0, int(live["image_id"][min(IMAGES, len(live)) - 1].as_py()) + 1)


def _small(config: RunConfig, folder: str) -> RunConfig:
    """Return the run's configuration, made small. Layouts use PCA: the cost laws know the rates of the others."""
    small = {"store": folder, "limit": None, "shard_size": 1 << 30, "layout": "pca", "extras": ()}
    return config.model_copy(update=small | {"grids": (GRID,), "min_count": 1, "icon_tries": 1})


def _decode(config: RunConfig, model: PreparedModel, rows: pa.Table) -> float:
    """Return the seconds to read and decode the images; and warm up the model, whose first pass is slow."""
    source, started = reading.source_of(config), time.monotonic()
    pixels = []
    batches = loader.load(source, rows, model.model.preprocess, batch=prepared.batch_of(config), threads=cores())
    for batch in batches:
        pixels = [batch.pixels]
    took = time.monotonic() - started
    model.visit(torch.from_numpy(pixels[0]), list(model.layers), lambda name, activation: None)
    return took


def _run(
    config: RunConfig, model: PreparedModel, rows: pa.Table, missing: set[str], layers: Sequence[str]
) -> dict[tuple[str, str | None], Cost]:
    store, output = Store(Path(config.store)), Output(stage="listing", key="0" * 32)
    image_listing.write(store, output, rows, reading.source_of(config))
    costs = {}
    for step in _needed(Planner(config, model, output.key, rows).steps(), missing):
        for task in step.tasks:
            outputs = tuple(output for output in task.outputs if output.layer is None or output.layer in layers)
            outputs = outputs[:1] if task.stage == "patches" else outputs  # they differ in their number of units only
            outputs = outputs if not registry.stage(task.stage).slow or task.outputs[0].layer == layers[-1] else ()
            for measured in _measure(store, replace(task, outputs=outputs), model) if outputs else ():
                costs[measured.output.stage, measured.output.layer] = _cost(store, measured)
    return costs


def _measure(store: Store, task: Task, model: PreparedModel) -> list[Outcome]:
    """Run one task of the probe; a field takes as long for any number of images, so a placeholder stands for it."""
    if task.stage == "field":
        return [_placeholder_field(store, output, model) for output in task.outputs]
    return execute(task)


def _placeholder_field(store: Store, output: Output, model: PreparedModel) -> Outcome:
    """Write a field whose reach is the whole input."""
    layer, (height, width) = model.layers[str(output.layer)], model.model.preprocess.size
    rows, cols = np.zeros(layer.height, np.int32), np.zeros(layer.width, np.int32)
    reach = Reach(top=rows, bottom=rows + height, left=cols, right=cols + width)
    with drafting(store, output) as draft:
        receptive_fields.write(
            draft.path, receptive_fields.Field(layer=layer, input_shape=(height, width), reach=reach, focus=height / 4)
        )
    return outcome(draft)


def _needed(steps: Sequence[Step], missing: set[str]) -> list[Step]:
    """Return the steps up to the last that is missing; the slow ones (icons, tiles) only if they are missing."""
    needed = {registry.stage(stage).step or stage for stage in missing}
    last = max((number for number, step in enumerate(steps) if step.stage in needed), default=-1)
    return [step for step in steps[: last + 1] if step.stage in needed or not registry.stage(step.stage).slow]


def _cost(store: Store, measured: Outcome) -> Cost:
    manifest = store.get(measured.output.stage, measured.output.key).manifest
    sizes: Counter[str] = Counter()
    for name, file in manifest["files"].items():
        sizes[name.partition("/")[0]] += int(file["bytes"])
    return Cost(seconds=measured.seconds, bytes=dict(sizes), counts=dict(manifest["counts"]))
