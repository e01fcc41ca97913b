"""Collect: one pass over a shard's images for all missing layers, and the facts of each image."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.collect import BLOCK, LayerReduction, Part, TooManyCandidates
from atlas.first_choices import FirstChoices
from flows import progress
from flows.config import RunConfig
from flows.cores import cores
from flows.model import fused_pass, prepared
from flows.planning import libraries
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import choices, image_listing, peaks, subset
from flows.stages import model as model_stage
from flows.stages.shared import contents, reading, stored_parts, uploads
from flows.stages.shared.stored_parts import ShardParts
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import samples, tables
from storage.errors import UsageError
from storage.images import loader
from storage.images.shards import chosen_rows
from storage.store.store import Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext
    from storage.images.shards import Shard


TRIED = 8
"""Images of the run that the whole model is tried on: a pass ends at the last layer, and misses what is called again."""


def compute(store: Store, task: Task) -> list[Outcome]:
    """Make the shard's `images` and `choices` results, and the `collect` and `peaks` results of the outputs' layers."""
    config = RunConfig(**task.settings["config"])
    model = reading.prepared_model(task)
    rows = _read_rows(store, task)
    of_layers = [output for output in task.outputs if output.layer is not None]
    layers = list(dict.fromkeys(str(output.layer) for output in of_layers))
    kept = {str(output.layer) for output in of_layers if output.stage == "peaks"}
    happened: dict[str, Any] = {"batch": prepared.batch_of(config)}
    of_classes = [output for output in task.outputs if output.stage == "choices"]
    shard = stored_parts.find(store, task.reads.get("wholes", ()), layers, rows["image_id"].to_numpy())
    if shard is None:
        reductions = {layer: _start_reduction(model, layer, rows, config, layer in kept) for layer in layers}
        first = FirstChoices(len(rows), model.device) if of_classes else None
        begins = any(output.shard == 0 for output in task.outputs)
        facts, happened = _pass(model, rows, Reductions(layers=reductions, choices=first, begins=begins), config)
        shard = ShardParts(
            facts=facts,
            parts={layer: reduction.finish() for layer, reduction in reductions.items()},
            choices=None if first is None else choices.to_table(first.finish(), rows["image_id"].to_numpy()),
        )
    outcomes = [_write_images(store, output, shard.facts) for output in task.outputs if output.stage == "images"]
    outcomes += [choices.write(store, output, shard) for output in of_classes]
    return outcomes + [
        _write(store, output, model, shard.parts[layer], happened)
        for layer in layers
        for output in of_layers
        if output.layer == layer
    ]


def _read_rows(store: Store, task: Task) -> pa.Table:
    rows = image_listing.read(store, task.reads["listing"], task.settings["first"], task.settings["stop"])
    chosen = task.reads.get("subset")
    return chosen_rows(rows, subset.read(store, chosen)) if chosen else rows


def _start_reduction(
    model: prepared.PreparedModel, layer: str, rows: pa.Table, config: RunConfig, keep_peaks: bool
) -> LayerReduction:
    batch = prepared.batch_of(config)
    try:
        return LayerReduction(
            model.layers[layer],
            rows["image_id"].to_numpy(),
            rows["key_hash"].to_numpy(),
            seed=config.seed,
            samples_per_image=config.samples_per_image,
            patches_per_image=config.patches_per_image,
            block=batch * -(-BLOCK // batch),
            keep_peaks=keep_peaks,
            device=model.device,
        )
    except TooManyCandidates as error:
        raise UsageError(
            f"--shard-size {config.shard_size}: {error} in a shard, at most 2^31 patches fit; use a smaller one"
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reductions:
    """What a pass reduces: the activations of each layer, and the class scores where they are wanted."""

    layers: dict[str, LayerReduction]
    choices: FirstChoices | None
    begins: bool = False
    """Whether the images are the run's first, on which the whole model is tried."""

    def __bool__(self) -> bool:
        return bool(self.layers) or self.choices is not None


def _pass(
    model: prepared.PreparedModel, rows: pa.Table, reductions: Reductions, config: RunConfig
) -> tuple[pa.Table, dict[str, Any]]:
    """Run the model over the rows; return the images' facts, and the way and the batch size in which the model ran."""
    facts, size = [], prepared.batch_of(config)
    effective = size
    ways = fused_pass.of(model, reductions.layers, scored=reductions.choices is not None, batch=size)
    ways.expect(len(rows))
    source = reading.source_of(config)
    batches = loader.load(source, rows, model.model.preprocess, batch=size, threads=cores())
    with progress.current().bar(f"images {rows['image_id'][0]}…", len(rows), "images") as advance:
        for batch, pixels in uploads.uploaded(batches, model.device):
            if reductions:
                effective = _run_batch(ways, batch, pixels, reductions, effective)
            facts += batch.facts
            advance(batch.first + len(batch.facts))
    return pa.Table.from_pylist(facts, schema=loader.FACTS), {"batch": effective, "pass": ways.way}


def _run_batch(
    ways: fused_pass.Pass,
    batch: loader.Batch,
    pixels: Tensor,
    reductions: Reductions,
    size: int,
) -> int:
    """Run one batch, `size` images at a time; halve that while the device runs out of memory. Return the size that fitted."""
    while True:
        if _try_batch(ways, batch, pixels, reductions, size):
            return size
        # Outside the except clause: while it runs, the traceback still holds the tensors that did not fit.
        torch.cuda.empty_cache()
        size //= 2


def _try_batch(
    ways: fused_pass.Pass,
    batch: loader.Batch,
    pixels: Tensor,
    reductions: Reductions,
    size: int,
) -> bool:
    try:
        for start in range(0, len(pixels), size):
            _run_slice(ways, batch, pixels[start : start + size], reductions, start)
    except torch.OutOfMemoryError:
        if size == 1:
            raise
        return False
    return True


def _run_slice(
    ways: fused_pass.Pass,
    batch: loader.Batch,
    pixels: Tensor,
    reductions: Reductions,
    start: int,
) -> None:
    """Run some images of a batch, from `start` on."""
    valid = batch.valid[start : start + len(pixels)]

    def visit(name: str, activation: Tensor) -> None:
        reductions.layers[name].add(batch.first + start, activation, valid)

    if not valid.any():
        return
    if reductions.choices is None and reductions.begins and batch.first + start == 0:
        ways.try_whole(pixels[:TRIED])
    scores = ways.run(pixels, visit)
    if reductions.choices is not None and scores is not None:
        reductions.choices.add(batch.first + start, scores, valid)


def _write_images(store: Store, output: Output, facts: pa.Table) -> Outcome:
    with drafting(store, output) as draft:
        tables.write_table(draft.path / "images.parquet", facts)
        draft.counts = {"rows": len(facts), "rejected": len(facts) - facts["reason"].null_count}
    return outcome(draft)


def _write(
    store: Store, output: Output, model: prepared.PreparedModel, part: Part, happened: dict[str, Any]
) -> Outcome:
    if output.stage == "collect":
        return _write_part(store, output, part, happened)
    if part.peaks is None:
        raise RuntimeError(f"{output.title} was planned, but not kept")
    return peaks.write(store, output, model.layers[str(output.layer)], part.peaks)


def _write_part(store: Store, output: Output, part: Part, happened: dict[str, Any]) -> Outcome:
    with drafting(store, output) as draft:
        samples.write_samples(draft.path, part.samples)
        counts: dict[str, NDArray[Any]] = {f"{sign}_extreme": part.extreme[sign] for sign in part.extreme}
        counts |= {f"{sign}_extreme_count": part.extreme_count[sign] for sign in part.extreme_count}
        samples.write_top(draft.path, part.top, counts | {"nonfinite": part.nonfinite})
        draft.counts = {
            "images": part.images,
            **samples.counts(part.samples),
            "nonfinite": int(part.nonfinite.sum()),
        }
        draft.happened = happened | {"threads": torch.get_num_threads()}
    return outcome(draft)


def plan(context: PlanContext) -> list[Task]:
    """Return the task of the model's record, and one per shard: the facts of its images, its part and peaks of layers."""
    tasks = [model_stage.task(context)]
    parts = [keys(context, layer) for layer in context.layers]
    for index, (shard, facts) in enumerate(zip(context.shards, image_keys(context), strict=True)):
        outputs = [Output(stage="images", key=facts, shard=shard.number)]
        outputs += [
            Output(stage="collect", key=part[index], layer=layer, shard=shard.number)
            for layer, part in zip(context.layers, parts, strict=True)
        ]
        outputs += peaks.outputs(context, shard.number, index)
        outputs += choices.outputs(context, shard.number, index)
        span = {"first": shard.first, "stop": shard.stop}
        reads: dict[str, Any] = {"listing": context.listing}
        if context.chosen is not None:
            reads |= {"subset": context.chosen.key, "wholes": _wholes(context, shard)}
        tasks.append(context.task("collect", outputs, reads, span))
    return tasks


def _wholes(context: PlanContext, shard: Shard) -> list[list[list[str | None]]]:
    """Return, for each way to cut the whole listing, stage, layer and key of the results that hold all of a shard's images.

    There are none where an image may have several patches among the strongest: peaks have one.
    """
    ways: list[list[list[str | None]]] = []
    if context.config.patches_per_image > 1:
        return ways
    last = int(shard.rows["image_id"][-1].as_py())
    for whole in context.wholes:
        if whole.shards[-1].stop <= last:
            continue
        numbers = [i for i, other in enumerate(whole.shards) if other.first < shard.stop and shard.first < other.stop]
        keyed: list[list[str | None]] = [["images", None, image_keys(whole)[i]] for i in numbers]
        if choices.wanted(whole):
            keyed += [["choices", None, choices.keys(whole)[i]] for i in numbers]
        for layer in whole.layers:
            keyed += [["collect", layer, keys(whole, layer)[i]] for i in numbers]
            keyed += [["peaks", layer, peaks.keys(whole, layer)[i]] for i in numbers]
        ways.append(keyed)
    return ways


def image_keys(context: PlanContext) -> list[str]:
    """Return the keys of the shards' `images` results."""
    return context.cached("images", lambda: contents.images_keys(shard.rows_key for shard in context.shards))


def keys(context: PlanContext, layer: str) -> list[str]:
    """Return the keys of a layer's parts, in shard order."""
    return context.cached(("collect", layer), lambda: _keys(context, layer))


def _keys(context: PlanContext, layer: str) -> list[str]:
    settings = context.model_settings() | {
        "layer": asdict(context.model.layers[layer]),
        "batch": prepared.batch_of(context.config),
        "seed": context.config.seed,
        "samples": context.config.samples_per_image,
        "patches": context.config.patches_per_image,
        **libraries.of_key("collect"),
    }
    reads = {"fingerprint": context.model.fingerprints[layer]}
    return [context.key("collect", reads | {"rows": shard.rows_key}, settings) for shard in context.shards]
