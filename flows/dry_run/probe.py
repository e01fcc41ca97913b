"""What a run would take on this machine: 64 images go through its stages in a folder of their own, and are scaled up."""

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
import pyarrow.compute as pc
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
from flows.stages import listing, reading
from flows.stages.execute import execute
from flows.stages.writing import drafting, outcome
from storage.artefacts import receptive_fields
from storage.images import loader
from storage.store.store import Store

IMAGES = 64
GRID = 1
"""The probe's grid: one icon is drawn, in the time of a full batch."""


def probe(config: RunConfig, subj: PreparedModel, table: pa.Table, missing: set[str], layers: Sequence[str]) -> Probe:
    """Run the stages up to the last of `missing` on the first images, for the layers named, and measure them."""
    started = time.monotonic()
    rows = _first(table, config)
    images = len(rows.filter(pc.invert(rows["removed"])))
    with (
        progress.current().bar(f"probe of {images} images", images, "images") as advance,
        tempfile.TemporaryDirectory(prefix="actlas-probe-") as folder,
    ):
        decode = _decode(config, subj, rows) / images
        costs = _run(_small(config, folder), subj, rows, missing, layers)
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
    """Return the rows of the first images that are still there, and none after."""
    live = table.slice(0, config.limit).filter(pc.invert(pc.field("removed")))
    return table.slice(0, int(live["image_id"][min(IMAGES, len(live)) - 1].as_py()) + 1)


def _small(config: RunConfig, folder: str) -> RunConfig:
    """Return the run's configuration, made small. Layouts are drawn by PCA: what the others take is known elsewhere."""
    small = {"store": folder, "limit": None, "shard_size": 1 << 30, "layout": "pca", "extras": ()}
    return config.model_copy(update=small | {"grids": (GRID,), "min_count": 1, "icon_tries": 1})


def _decode(config: RunConfig, subj: PreparedModel, rows: pa.Table) -> float:
    """Return the seconds that reading and decoding the images takes; and warm the model, whose first pass is slow."""
    source, started = reading.source_of(config.images), time.monotonic()
    pixels = []
    batches = loader.load(source, rows, subj.model.preprocess, batch=prepared.batch_of(config), threads=cores())
    for batch in batches:
        pixels = [batch.pixels]
    took = time.monotonic() - started
    subj.visit(torch.from_numpy(pixels[0]), list(subj.layers), lambda name, activation: None)
    return took


def _run(
    config: RunConfig, subj: PreparedModel, rows: pa.Table, missing: set[str], layers: Sequence[str]
) -> dict[tuple[str, str | None], Cost]:
    store, output = Store(Path(config.store)), Output(stage="listing", key="0" * 32)
    listing.write(store, output, rows, reading.source_of(config.images))
    costs = {}
    for step in _needed(Planner(config, subj, output.key, rows).steps(), missing):
        for task in step.tasks:
            outputs = tuple(output for output in task.outputs if output.layer is None or output.layer in layers)
            outputs = outputs[:1] if task.stage == "patches" else outputs  # they differ in their number of units only
            outputs = outputs if not registry.stage(task.stage).slow or task.outputs[0].layer == layers[-1] else ()
            for made in _made(store, replace(task, outputs=outputs), subj) if outputs else ():
                costs[made.output.stage, made.output.layer] = _cost(store, made)
    return costs


def _made(store: Store, task: Task, subj: PreparedModel) -> list[Outcome]:
    """Do one task of the probe. Measuring a field takes as long for 64 images as for any number: one is made up."""
    if task.stage == "field":
        return [_made_up(store, output, subj) for output in task.outputs]
    return execute(task)


def _made_up(store: Store, output: Output, subj: PreparedModel) -> Outcome:
    layer, (height, width) = subj.layers[str(output.layer)], subj.model.preprocess.size
    rows, cols = np.zeros(layer.height, np.int32), np.zeros(layer.width, np.int32)
    reach = Reach(top=rows, bottom=rows + height, left=cols, right=cols + width)
    with drafting(store, output) as page:
        receptive_fields.write(
            page.path, receptive_fields.Field(layer=layer, input_shape=(height, width), reach=reach, focus=height / 4)
        )
    return outcome(page)


def _needed(steps: Sequence[Step], missing: set[str]) -> list[Step]:
    """Return the steps up to the last that makes something missing, without icons and tiles where those are there."""
    wanted = {registry.stage(stage).step or stage for stage in missing}
    last = max((number for number, step in enumerate(steps) if step.stage in wanted), default=-1)
    return [step for step in steps[: last + 1] if step.stage in wanted or not registry.stage(step.stage).slow]


def _cost(store: Store, made: Outcome) -> Cost:
    manifest = store.get(made.output.stage, made.output.key).manifest
    sizes: Counter[str] = Counter()
    for name, file in manifest["files"].items():
        sizes[name.partition("/")[0]] += int(file["bytes"])
    return Cost(seconds=made.seconds, bytes=dict(sizes), counts=dict(manifest["counts"]))
