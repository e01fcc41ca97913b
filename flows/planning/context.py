"""The context of a plan: the run's shards, layers and grids, and the keys of its results.

A key is a hash of all that a result depends on: the stage's code version, the keys that it reads, the fingerprints of the
model, and the settings. So the plan of a changed run differs from the old one exactly where the change reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar

import pyarrow as pa

from atlas import cells
from flows import registry
from flows.config import RunConfig
from flows.planning.tasks import Output, Task
from storage.errors import UsageError
from storage.images.listing import about
from storage.images.shards import Ids, Shard, chosen_shards, living, rows_key, shards
from storage.store.store import stage_key

if TYPE_CHECKING:
    import torch

    from atlas.arrays import Layer
    from flows.model.prepared import PreparedModel
    from storage import models

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
    samples: str = "collect"
    """The stage of the keys `collect`: another one where that version is a selection."""

    def about(self) -> FrameRecord:
        """Return the record of it in a version."""
        return {"layout": self.layout, "version": self.version}

    def reads(self) -> dict[str, Any]:
        """Return the keys that laying out in this frame reads."""
        return {"layout": self.layout, self.samples: list(self.collect), "listing": self.listing}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The images of a subset: the key of its result, and their ids in ascending order."""

    key: str
    ids: Ids


class PlannedModel(Protocol):
    """What a plan knows of its model: the prepared one, or one that a version recorded."""

    @property
    def layers(self) -> Mapping[str, Layer]: ...
    @property
    def fingerprints(self) -> Mapping[str, str]: ...
    @property
    def whole(self) -> str: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def model(self) -> models.Model: ...
    @property
    def loaded(self) -> PreparedModel: ...
    @property
    def note(self) -> str: ...
    @property
    def varying(self) -> str: ...


class PlanContext:
    """A run to plan. `listing` is the key of its listing, `table` the rows, `chosen` the subset that it uses; `frames` are the
    earlier layouts to align with; `selected` are the keys of a selection's samples by layer, None for a run of its own."""

    selected: Mapping[str, str] | None = None

    def __init__(
        self, config: RunConfig, model: PlannedModel, listing: str, table: pa.Table, chosen: Chosen | None = None
    ) -> None:
        self.config, self.listing, self.table, self.chosen = config, listing, table, chosen
        self.model: PlannedModel = model
        self.shards: list[Shard] = self._shards()
        self.about = about(table)
        self.live = living(table, None if chosen else config.limit)
        if not len(self.live):
            raise UsageError(f"--images {config.images}: all images listed before are gone from there")
        self.images = len(chosen.ids) if chosen else len(self.live)
        self.layers = list(config.chosen_layers)
        self.samples = self.images * config.samples_per_image
        """Samples of a layer, if all images give theirs."""
        self.grids = grids_of(self.samples, config)
        self.frames: dict[str, Frame] = {}
        self._settings = {"config": config.model_dump(mode="json"), **self._expected()}
        self._cache: dict[Hashable, Any] = {}

    def _expected(self) -> dict[str, Any]:
        """Return what a task compares its model with: one may have changed while the run went on."""
        return {"model": self.model.whole}

    def frame_records(self) -> dict[str, dict[str, FrameRecord]]:
        """Return what a version records of the frames, nothing where there are none."""
        return {"frames": {layer: frame.about() for layer, frame in self.frames.items()}} if self.frames else {}

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
        self,
        stage: str,
        outputs: Sequence[Output],
        reads: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
        *,
        between: bool = False,
    ) -> Task:
        """Return a task of this run; `settings` are added to those of the run."""
        return Task(
            stage=stage,
            store=self.config.store,
            outputs=tuple(outputs),
            reads=reads,
            settings={**self._settings, **(settings or {})},
            between=between,
        )


def grids_of(samples: int, config: RunConfig) -> list[int]:
    """Return the configured grids that the samples can fill, or the finest they can fill if that is none of them.

    Too few samples for a single cell fill none.
    """
    filled = [grid for grid in config.grids if cells.can_fill(samples, grid, config.min_count)]
    finest = cells.finest_grid(samples, config.min_count)
    return filled or ([finest] if finest else [])
