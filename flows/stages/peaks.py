"""Peaks: keep the best value of each unit in each image, which the pass of collect holds anyway."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from atlas.arrays import Layer, Peaks
from flows.model import prepared
from flows.planning import libraries
from flows.planning.tasks import Outcome, Output
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import peaks as peak_arrays
from storage.store.store import Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


def write(store: Store, output: Output, layer: Layer, peaks: Peaks) -> Outcome:
    """Write a layer's peaks in one shard."""
    with drafting(store, output) as draft:
        peak_arrays.write(draft.path, peaks, layer.width)
        draft.counts = {"images": len(peaks.image_id), "units": layer.units, "width": layer.width}
    return outcome(draft)


def outputs(context: PlanContext, shard: int, index: int) -> list[Output]:
    """Return the outputs of a shard, the plan's number `index`, for the layers whose peaks the run keeps."""
    layers = context.config.peak_layers
    return [Output(stage="peaks", key=keys(context, layer)[index], layer=layer, shard=shard) for layer in layers]


def keys(context: PlanContext, layer: str) -> list[str]:
    """Return the keys of a layer's peaks, in shard order."""

    def make() -> list[str]:
        settings = context.model_settings() | {
            "layer": asdict(context.model.layers[layer]),
            "batch": prepared.batch_of(context.config),
            **libraries.of_key("peaks"),
        }
        fingerprint = context.model.fingerprints[layer]
        shards = [{"fingerprint": fingerprint, "rows": shard.rows_key} for shard in context.shards]
        return [context.key("peaks", reads, settings) for reads in shards]

    return context.cached(("peaks", layer), make)
