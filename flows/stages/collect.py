"""Collect: one pass over a shard's images for all layers that are missing, and what was learnt about each image."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.collect import BLOCK, LayerReduction, Part
from flows import progress
from flows.config import RunConfig
from flows.cores import cores
from flows.model import prepared
from flows.planning import libraries
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import listing, model, reading
from flows.stages.writing import drafting, outcome
from storage.artefacts import samples, tables
from storage.images import loader
from storage.images.shards import Shard
from storage.store.store import Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


def compute(store: Store, task: Task) -> list[Outcome]:
    """Make the shard's `images` result and the `collect` results of the layers named."""
    config = RunConfig(**task.how["config"])
    subj = reading.prepared_model(task)
    rows = listing.read(store, task.reads["listing"], task.how["first"], task.how["stop"])
    todo = [output for output in task.outputs if output.stage == "collect"]
    reductions = {str(output.layer): _reduction(subj, str(output.layer), rows, config) for output in todo}
    facts, effective = _pass(subj, rows, reductions, config)
    done = [_write_images(store, output, facts) for output in task.outputs if output.stage == "images"]
    return done + [_write_part(store, output, reductions[str(output.layer)].finish(), effective) for output in todo]


def _reduction(subj: prepared.PreparedModel, layer: str, rows: pa.Table, config: RunConfig) -> LayerReduction:
    batch = prepared.batch_of(config)
    return LayerReduction(
        subj.layers[layer],
        rows["image_id"].to_numpy(),
        rows["key_hash"].to_numpy(),
        seed=config.seed,
        samples_per_image=config.samples_per_image,
        patches_per_image=config.patches_per_image,
        block=batch * -(-BLOCK // batch),
    )


def _pass(
    subj: prepared.PreparedModel, rows: pa.Table, reductions: dict[str, LayerReduction], config: RunConfig
) -> tuple[pa.Table, int]:
    """Run the model over the rows; return the facts, and the batch size that fitted into memory."""
    facts, size = [], prepared.batch_of(config)
    effective = size
    source = reading.source_of(config.images)
    batches = loader.load(source, rows, subj.model.preprocess, batch=size, threads=cores())
    with progress.current().bar(f"images {rows['image_id'][0]}…", len(rows), "images") as advance:
        for batch in batches:
            if reductions:
                effective = _through(subj, batch, reductions, effective)
            facts += batch.facts
            advance(batch.first + len(batch.facts))
    return pa.Table.from_pylist(facts, schema=loader.FACTS), effective


def _through(
    subj: prepared.PreparedModel, batch: loader.Batch, reductions: dict[str, LayerReduction], size: int
) -> int:
    """Run one batch, `size` images at a time; halve it while the device has too little memory. Return what fitted."""
    while True:
        if _fits(subj, batch, reductions, size):
            return size
        # Outside the except clause: while it runs, the traceback still holds the tensors that did not fit.
        torch.cuda.empty_cache()
        size //= 2


def _fits(subj: prepared.PreparedModel, batch: loader.Batch, reductions: dict[str, LayerReduction], size: int) -> bool:
    try:
        for start in range(0, len(batch.pixels), size):
            _piece(subj, batch, reductions, start, size)
    except torch.OutOfMemoryError:
        if size == 1:
            raise
        return False
    return True


def _piece(
    subj: prepared.PreparedModel, batch: loader.Batch, reductions: dict[str, LayerReduction], start: int, size: int
) -> None:
    valid = batch.valid[start : start + size]

    def visit(name: str, activation: Tensor) -> None:
        reductions[name].add(batch.first + start, activation, valid)

    if valid.any():
        subj.visit(torch.from_numpy(batch.pixels[start : start + size]), list(reductions), visit)


def _write_images(store: Store, output: Output, facts: pa.Table) -> Outcome:
    with drafting(store, output) as page:
        tables.write_table(page.path / "images.parquet", facts)
        page.counts = {"rows": len(facts), "rejected": len(facts) - facts["reason"].null_count}
    return outcome(page)


def _write_part(store: Store, output: Output, part: Part, effective: int) -> Outcome:
    with drafting(store, output) as page:
        samples.write_samples(page.path, part.samples)
        counts: dict[str, NDArray[Any]] = {f"{sign}_extreme": part.extreme[sign] for sign in part.extreme}
        counts |= {f"{sign}_extreme_count": part.extreme_count[sign] for sign in part.extreme_count}
        samples.write_top(page.path, part.top, counts | {"nonfinite": part.nonfinite})
        page.counts = {
            "images": part.images,
            **samples.counts(part.samples),
            "nonfinite": int(part.nonfinite.sum()),
        }
        page.happened = {"batch": effective, "threads": torch.get_num_threads()}
    return outcome(page)


def plan(context: PlanContext) -> list[Task]:
    """Return the task of the model's record, and one for each shard: what its images are, and its part of each layer."""
    tasks = [model.task(context)]
    for shard, facts in zip(context.shards, image_keys(context), strict=True):
        outputs = [Output(stage="images", key=facts, shard=shard.number)]
        outputs += [
            Output(stage="collect", key=keys(context, layer)[shard.number], layer=layer, shard=shard.number)
            for layer in context.layers
        ]
        span = {"first": shard.first, "stop": shard.stop}
        tasks.append(context.task("collect", outputs, {"listing": context.listing}, span))
    return tasks


def image_keys(context: PlanContext) -> list[str]:
    """Return the keys of the shards' `images` results."""
    decode = libraries.of_key("images")

    def hashed() -> list[str]:
        return [context.key("images", {}, {"rows": s.rows_key, "decode": decode}) for s in context.shards]

    return context.cached("images", hashed)


def keys(context: PlanContext, layer: str) -> list[str]:
    """Return the keys of a layer's parts, shard by shard."""
    return context.cached(("collect", layer), lambda: [_key(context, layer, shard) for shard in context.shards])


def _key(context: PlanContext, layer: str, shard: Shard) -> str:
    settings = context.model_settings() | {
        "layer": asdict(context.model.layers[layer]),
        "batch": prepared.batch_of(context.config),
        "seed": context.config.seed,
        "samples": context.config.samples_per_image,
        "patches": context.config.patches_per_image,
        **libraries.of_key("collect"),
    }
    return context.key("collect", {"fingerprint": context.model.fingerprints[layer], "rows": shard.rows_key}, settings)
