"""Take over results of format 1, so that nothing is computed again where the old evidence suffices.

The same run is planned under the keys of format 1, and what is stored under an old key is stored again under the new
one; its files are linked, not copied. Old keys know a model by the trace of its operators alone. For models of
libraries, whose versions are in the keys, that suffices; for a user's own it does not (docs/store.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from flows.config import RunConfig
from flows.model.prepared import PreparedModel
from flows.pipeline.layout_frames import Frames
from flows.pipeline.plan import Planner
from flows.planning.tasks import Output
from flows.stages import layout, subset
from storage.images.shards import rows_key_1
from storage.store import takeover
from storage.store.store import Store, stage_key

CODES = {"listing": 2, "collect": 1, "field": 1, "cells": 2}
"""The last code versions that wrote format 1, where they were others."""

WRITTEN_AGAIN = ("listing", "labels", "model")
"""Results written again: they take no time, and hold what changed with the format."""


class Format1Planner(Planner):
    """A plan whose keys are those of format 1."""

    def __init__(self, config: RunConfig, model: PreparedModel, listing: str, table: pa.Table, earlier: Frames) -> None:
        traced = replace(model, fingerprints=model.traces, whole=model.traces[""])
        super().__init__(config, traced, listing, table, earlier)

    def rows_key(self, rows: pa.Table) -> str:
        """Return the key that format 1 gave these rows."""
        return rows_key_1(rows)

    def key(self, stage: str, reads: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
        """Return the key that format 1 gave a stage's result."""
        if stage in CODES:
            return stage_key(stage, CODES[stage], reads, settings)
        return super().key(stage, reads, settings)


def plan(store: Store, config: RunConfig, model: PreparedModel, listing: str, table: pa.Table) -> Format1Planner | None:
    """Return the plan under old keys; None where the run's current version is not of format 1, or the model is the user's."""
    if (
        model.own
        or subset.is_asked_for(config)
        or not store.versions(config.run_name)
        or store.version(config.run_name).format != 1
    ):
        return None
    return Format1Planner(config, model, listing, table, Frames(store, config))


def adopt_frames(store: Store, planner: Planner, old: Format1Planner) -> None:
    """Lay out in the same frames as the old plan where its layout is stored, so that the atlas stays put."""
    for layer in planner.layers:
        if store.find("layout", layout.key(old, layer)) is not None:
            planner.frames.pop(layer, None)
            planner.frames |= {layer: old.frames[layer]} if layer in old.frames else {}


def old_keys(planner: Planner, old: Format1Planner) -> dict[Output, str]:
    """Return the old key of each of the plan's results."""
    pairs = zip(_outputs(planner), _outputs(old), strict=True)
    return {new: before.key for new, before in pairs if new.stage not in WRITTEN_AGAIN}


def take_over(store: Store, keys: Mapping[Output, str]) -> int:
    """Store what is stored under old keys under the new ones as well; return how many results that was."""
    missing = {new: key for new, key in keys.items() if store.find(new.stage, new.key) is None}
    return sum(takeover.take_over(store, new.stage, key, new.key) for new, key in missing.items())


def _outputs(planner: Planner) -> list[Output]:
    steps = [*planner.steps(), *planner.later_steps()]
    return [output for step in steps for output in step.outputs]
