"""The samples that a stage reads: those of the shards of a run, or those of a selection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from storage.artefacts import samples
from storage.store.store import Result, Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext

STAGES = ("selection", "collect")
"""The stages whose results hold samples; a task names one of them."""


def of(context: PlanContext, layer: str) -> dict[str, list[str]]:
    """Return the keys of a layer's samples, by their stage."""
    if context.selected is not None:
        return {"selection": [context.selected[layer]]}
    from flows.stages import collect  # loads torch, which comparing layouts does not need

    return {"collect": collect.keys(context, layer)}


def results(store: Store, reads: Mapping[str, Any]) -> list[Result]:
    """Return the results with the samples that a task reads, in the order of its shards."""
    stage = next(name for name in STAGES if name in reads)
    return list(samples.results(store, stage, reads[stage]))
