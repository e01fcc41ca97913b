"""Layout: place a layer's samples on the unit square; and compute the second moment of the same samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from atlas import sampling
from atlas.arrays import Float, Samples
from atlas.comparing import pairing
from atlas.comparing.pairing import Places
from atlas.layout import layout as layouts
from atlas.layout.methods import MIN_DISTINCT
from atlas.layout.neighbours import one_thread
from flows import progress
from flows.config import RunConfig
from flows.planning import costs, libraries
from flows.planning.costs import Cost, Estimate, Probe, Size
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import image_listing
from flows.stages.shared import sample_reads
from flows.stages.shared.writing import ResultDraft, drafting, outcome
from storage.artefacts import arrays, selections
from storage.artefacts import samples as sample_arrays
from storage.errors import Incomplete
from storage.store.store import Result, Store

if TYPE_CHECKING:
    from flows.planning.context import Frame, PlanContext


def compute(store: Store, task: Task) -> list[Outcome]:
    """Compute one layer's layout, its second moment, or both from one reading of the samples."""
    config = RunConfig(**task.settings["config"])
    collected = sample_reads.results(store, task.reads)
    samples = sample_arrays.read_samples(collected)
    if not len(samples.activations):
        raise Incomplete(f"{task.outputs[0].layer}: {_why_none(collected)}")
    outcomes = []
    for output in task.outputs:
        with drafting(store, output) as draft:
            if output.stage == "moment":
                _moment(draft, samples.activations)
            else:
                keys = image_listing.key_hashes(store, task.reads["listing"], samples.image_id)
                start = _start(store, task.reads.get("frame"), Places(key_hash=keys, y=samples.y, x=samples.x))
                across = selections.across(collected[0]) if "selection" in task.reads else None
                _layout(draft, samples, sample_names(keys), config, start, across)
        outcomes.append(outcome(draft))
    return outcomes


def _why_none(collected: list[Result]) -> str:
    """Explain why a layer has no samples to lay out."""
    left_out = sample_arrays.total_counts(collected)["not_finite"]
    if left_out == 0:
        return "no image gave a sample; run it with --until collect, and its rejects say why"
    many = "" if left_out is None else f"{left_out} "
    return (
        f"all {many}samples are NaN or infinite, so there is nothing to lay out; leave the layer out of --layers, "
        "or fix what the model computes there (its weights, or --precision fp32)"
    )


def _moment(draft: ResultDraft, activations: np.ndarray) -> None:
    from atlas.inversion import whitening  # loads torch, which comparing layouts does not need

    with one_thread():  # on several, the last bits depend on their number
        moment = whitening.second_moment(whitening.blocks(activations), activations.shape[1])
    arrays.write_group(draft.path / "moment.zarr", {"moment": moment})
    draft.counts = {"samples": len(activations)}


def _layout(
    draft: ResultDraft,
    samples: Samples,
    keys: NDArray[np.uint64],
    config: RunConfig,
    start: Float | None,
    across: Float | None,
) -> None:
    activations = samples.activations
    with progress.current().bar(f"layout {draft.output.layer}", len(activations), "samples") as advance:
        result = layouts.layout(
            activations, method=config.layout, seed=config.seed, keys=keys, start=start, across=across
        )
        advance(len(activations))
    arrays.write_group(draft.path / "layout.zarr", {"points": result.points})
    draft.json(
        "layout.json",
        {
            "method": config.layout,
            "trustworthiness": result.trustworthiness,
            "anchors": len(result.anchors),
            "reproducible": True,  # seeded and on one thread, all three methods
            "notes": list(result.notes),
        }
        | ({} if start is None else {"kept": int(np.isfinite(start).all(axis=1).sum())}),
    )
    draft.counts = {"samples": len(activations)}


def _start(store: Store, frame: dict[str, Any] | None, now: Places) -> Float | None:
    """Return the samples' points in the earlier layout, `n 2`, NaN for new ones; None if it has too few of them."""
    if frame is None:
        return None
    before = sample_arrays.read_positions(sample_reads.results(store, frame))
    keys = image_listing.key_hashes(store, frame["listing"], before["image_id"])
    rows, old = pairing.shared_rows(now, Places(key_hash=keys, y=before["y"], x=before["x"]))
    if len(rows) < MIN_DISTINCT:
        return None
    start = np.full((len(now), 2), np.nan, np.float32)
    start[rows] = arrays.read_array(store.get("layout", frame["layout"]).file("layout.zarr"), "points")[old]
    return start


def sample_names(key_hash: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Name each sample by its image's key and its number there, so that new images do not change which are anchors.

    Samples of one image follow each other.
    """
    first = np.flatnonzero(np.append(True, key_hash[1:] != key_hash[:-1]))[: len(key_hash)]
    number = np.arange(len(key_hash)) - np.repeat(first, np.diff(np.append(first, len(key_hash))))
    return sampling.mix(key_hash ^ number.astype(np.uint64))


def plan(context: PlanContext) -> list[Task]:
    """Return one task per layer: its layout and its second moment from one reading of the samples."""
    return [_task(context, layer) for layer in context.layers]


def _task(context: PlanContext, layer: str) -> Task:
    reads: dict[str, Any] = {**sample_reads.of(context, layer)}
    if layer in context.frames:
        reads["frame"] = context.frames[layer].reads()
    outputs = [
        Output(stage="layout", key=key(context, layer), layer=layer),
        Output(stage="moment", key=moment_key(context, layer), layer=layer),
    ]
    return context.task("layout", outputs, reads | {"listing": context.listing})


def key(context: PlanContext, layer: str) -> str:
    """Return the key of a layer's layout, in its frame if it has one."""
    return key_in(context, layer, context.frames.get(layer))


def key_in(context: PlanContext, layer: str, frame: Frame | None) -> str:
    """Return the key of a layer's layout in this frame."""
    reads: dict[str, Any] = {**sample_reads.of(context, layer)} | ({"frame": frame.layout} if frame else {})
    method = context.config.layout
    settings = {"method": method, "seed": context.config.seed}
    return context.key("layout", reads, settings | libraries.of_key("layout", method))


def moment_key(context: PlanContext, layer: str) -> str:
    """Return the key of a layer's second moment."""
    return context.key("moment", sample_reads.of(context, layer), libraries.of_key("moment"))


RATES = {"umap": (6.0, 6e-4, 1.1e-4), "tsne": (2.0, 4e-3, 1.1e-4), "pca": (0.0, 1e-5, 1e-5)}
"""Seconds of a layout: to start, per anchor, and per sample beyond the anchors, on two busy cores."""

MULTIPLIED = 3.5e-11
"""Seconds to add the product of two units of one sample to the second moment."""


def cost(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """Apply the method's own rates: the probe lays out by PCA."""
    start, anchor, beyond = RATES[size.method]
    seconds = start + anchor * min(size.samples, layouts.ANCHORS) + beyond * max(0, size.samples - layouts.ANCHORS)
    growth = size.samples / max(1, probed.counts.get("samples", probe.images))
    return Estimate(seconds=seconds, bytes=costs.scale_bytes(probed, growth))


def moment_cost(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """Scale by the squared units; the file's size does not depend on the samples."""
    seconds = probed.seconds + MULTIPLIED * size.samples * size.units**2
    return Estimate(seconds=seconds, bytes=sum(probed.bytes.values()))
