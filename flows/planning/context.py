"""The context of a plan: the run's shards, layers and grids, and the keys of its results.

A key is a hash of all that a result depends on: the stage's code version, the keys that it reads, the fingerprints of the
model, and the settings. So the plan of a changed run differs from the old one exactly where the change reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar

import pyarrow as pa

from atlas import cells
from flows import registry
from flows.config import RunConfig
from flows.model.prepared import PreparedModel
from flows.planning.tasks import Output, Task
from storage.errors import UsageError
from storage.images.listing import about
from storage.images.shards import Ids, Shard, chosen_shards, living, rows_key, shards
from storage.store.store import stage_key

T = TypeVar("T")


class FrameRecord(TypedDict):
    """An earlier layout as a version records it."""

    layout: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """An earlier layout: its key, the version that has it, and the keys that it was computed from (empty if they are gone)."""

    layout: str
    version: int
    collect: tuple[str, ...] = ()
    listing: str = ""

    def about(self) -> FrameRecord:
        """Return the record of it in a version."""
        return {"layout": self.layout, "version": self.version}

    def reads(self) -> dict[str, Any]:
        """Return the keys that laying out in this frame reads."""
        return {"layout": self.layout, "collect": list(self.collect), "listing": self.listing}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The images of a subset: the key of its result, and their ids in ascending order."""

    key: str
    ids: Ids


class PlanContext:
    """A run to plan. `listing` is the key of its listing, `table` the rows, `chosen` the subset that it uses; `frames` are the
    earlier layouts to align with."""

    def __init__(
        self, config: RunConfig, model: PreparedModel, listing: str, table: pa.Table, chosen: Chosen | None = None
    ) -> None:
        self.config, self.model, self.listing, self.table, self.chosen = config, model, listing, table, chosen
        self.shards: list[Shard] = self._shards()
        self.about = about(table)
        self.live = living(table, None if chosen else config.limit)
        if not len(self.live):
            raise UsageError(f"--images {config.images}: all images listed before are gone from there")
        self.images = len(chosen.ids) if chosen else len(self.live)
        self.layers = list(config.chosen_layers)
        self.grids = _grids(self.images * config.samples_per_image, config)
        self.frames: dict[str, Frame] = {}
        self._settings = {"config": config.model_dump(mode="json"), "model": model.whole}
        self._cache: dict[Hashable, Any] = {}

    @property
    def wholes(self) -> Sequence[PlanContext]:
        """Plans of the whole listing, with whose results a subset may do."""
        return ()

    def _shards(self) -> list[Shard]:
        size = self.config.shard_size
        if self.chosen is not None:
            return chosen_shards(self.table, self.chosen.ids, size, self.rows_key)
        return shards(self.table, self.config.limit, size, self.rows_key)

    def cached(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the cached value of this key, or compute it: hashing the keys of many shards takes long."""
        if key not in self._cache:
            self._cache[key] = make()
        value: T = self._cache[key]
        return value

    def rows_key(self, rows: pa.Table) -> str:
        """Return the key of rows of the listing."""
        return rows_key(rows)

    def key(self, stage: str, reads: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
        """Return the key of a stage's result."""
        return stage_key(stage, registry.stage(stage).code, reads, settings)

    def model_settings(self) -> dict[str, Any]:
        """Return the settings that change the model's numbers, beside its fingerprint and the stage's libraries."""
        return {
            "device": self.model.device.type,
            "precision": self.config.precision,
            "memory": "channels_last",
            "folded": True,
        }

    def task(
        self, stage: str, outputs: Sequence[Output], reads: Mapping[str, Any], settings: Mapping[str, Any] | None = None
    ) -> Task:
        """Return a task of this run; `settings` are added to those of the run."""
        return Task(
            stage=stage,
            store=self.config.store,
            outputs=tuple(outputs),
            reads=reads,
            settings={**self._settings, **(settings or {})},
        )


def _grids(samples: int, config: RunConfig) -> list[int]:
    """Return the configured grids that the samples can fill, or the finest they can fill if that is none of them.

    Too few samples for a single cell fill none.
    """
    filled = [grid for grid in config.grids if cells.can_fill(samples, grid, config.min_count)]
    finest = cells.finest_grid(samples, config.min_count)
    return filled or ([finest] if finest else [])
