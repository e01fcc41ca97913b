"""The plan of a run: every stage result by its key, known before anything is computed.

A key is the hash of what a result is made from: the code version, the keys it reads, the fingerprints of the model, and
what was asked. So the plan of a changed run differs from the old one exactly where the change reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from atlas import cells as cells_maths
from atlas.inversion import recipes
from flows.config import EXTRAS, STAGES, RunConfig
from flows.model import prepared
from flows.model.prepared import PreparedModel
from flows.pipeline import plan_extras
from flows.pipeline.layout_frames import Frame, Frames
from flows.stages import CODE, field, icons, libraries, members, patches
from flows.stages.tasks import Output, Task
from storage.errors import UsageError
from storage.images.listing import about
from storage.images.shards import Shard, rows_key, shards
from storage.store.store import stage_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The tasks of one stage; they do not read each other."""

    stage: str
    tasks: tuple[Task, ...]


class Planner:
    """Name all results of a run. `listing` is the key of the listing, `table` its rows, `earlier` its layouts before."""

    def __init__(
        self, config: RunConfig, subj: PreparedModel, listing: str, table: pa.Table, earlier: Frames | None = None
    ) -> None:
        self.config, self.subject, self.listing, self.table = config, subj, listing, table
        self.shards: list[Shard] = shards(table, config.limit, config.shard_size)
        self.about = about(table)
        live = table.slice(0, config.limit).filter(pc.invert(pc.field("removed")))
        if not len(live):
            raise UsageError(f"--images {config.images}: all images listed before are gone from there")
        self.images = len(live)
        self.layers = list(config.chosen_layers)
        self.grids = _grids(self.images * config.samples_per_image, config)
        self._how = {"config": config.model_dump(mode="json"), "model": subj.whole}
        self.facts = [
            self.key("images", {}, {"rows": s.rows_key, "decode": libraries.of_key("images")}) for s in self.shards
        ]
        self.parts = {layer: [self._part(layer, s) for s in self.shards] for layer in self.layers}
        first = live.slice(0, field.LISTED)
        self._first, self._first_key = int(first["image_id"][-1].as_py()) + 1, rows_key(first)
        self._fields = {layer: self._field(layer) for layer in self.layers}
        self.frames = {layer: frame for layer in self.layers if (frame := self._frame(layer, earlier)) is not None}

    def steps(self) -> list[Step]:
        """Return the stages in their order, up to the one the configuration stops after; then the extras asked for."""
        return self._steps(lambda stage: STAGES.index(stage) <= self._last())

    def further(self) -> list[Step]:
        """Return the stages and extras behind the one the configuration stops after."""
        return self._steps(lambda stage: STAGES.index(stage) > self._last())

    def _last(self) -> int:
        return STAGES.index(self.config.until or STAGES[-1])

    def _steps(self, wanted: Callable[[str], bool]) -> list[Step]:
        makers = {
            "collect": self._collect,
            "field": self._measure,
            "patches": self._patches,
            "layout": self._layouts,
            "cells": self._cells,
            "members": self._members,
            "icons": self._icons,
            "tiles": self._tiles,
        }
        steps = [Step(stage=stage, tasks=tuple(output())) for stage, output in makers.items() if wanted(stage)]
        extras = [stage for stage, needs in EXTRAS.items() if stage in self.config.extras and wanted(needs)]
        return steps + [Step(stage=stage, tasks=tuple(plan_extras.MAKERS[stage](self))) for stage in extras]

    # One method per stage: which keys it reads, and what was asked.

    def _collect(self) -> list[Task]:
        tasks = [self.task("model", [Output(stage="model", key=self._model())], {})]
        for shard, facts in zip(self.shards, self.facts, strict=True):
            made = [Output(stage="images", key=facts, shard=shard.number)]
            made += [
                Output(stage="collect", key=self.parts[layer][shard.number], layer=layer, shard=shard.number)
                for layer in self.layers
            ]
            span = {"first": shard.first, "stop": shard.stop}
            tasks.append(self.task("collect", made, {"listing": self.listing}, span))
        return tasks

    def _measure(self) -> list[Task]:
        made = [Output(stage="field", key=self._fields[layer], layer=layer) for layer in self.layers]
        return [self.task("field", made, {"listing": self.listing}, {"stop": self._first})]

    def _patches(self) -> list[Task]:
        made = [Output(stage="patches", key=self.patch_key(layer), layer=layer) for layer in self.layers]
        reads = {"listing": self.listing, "collect": self.parts, "images": self.facts, "field": self._fields}
        return [self.task("patches", made, reads)]

    def _layouts(self) -> list[Task]:
        tasks = []
        for layer in self.layers:
            reads: dict[str, Any] = {"collect": self.parts[layer]}
            if layer in self.frames:
                reads["frame"] = self.frames[layer].reads()
            made = [
                Output(stage="layout", key=self._layout(layer), layer=layer),
                Output(stage="moment", key=self._moment(layer), layer=layer),
            ]
            tasks.append(self.task("layout", made, reads | {"listing": self.listing}))
        return tasks

    def _cells(self) -> list[Task]:
        return [
            self.task(
                "cells",
                [Output(stage="cells", key=self.cell_key(layer, grid), layer=layer, grid=grid)],
                {"collect": self.parts[layer], "layout": self._layout(layer)},
            )
            for layer in self.layers
            for grid in self.grids
        ]

    def _members(self) -> list[Task]:
        tasks = []
        for layer in self.layers:
            for grid in self.grids:
                reads = {
                    "collect": self.parts[layer],
                    "cells": self.cell_key(layer, grid),
                    "field": self._fields[layer],
                    "images": self.facts,
                }
                key = self.key("members", reads, {"per_cell": members.PER_CELL, "size": patches.SIZE})
                tasks.append(
                    self.task(
                        "members",
                        [Output(stage="members", key=key, layer=layer, grid=grid)],
                        reads | {"listing": self.listing},
                    )
                )
        return tasks

    def _icons(self) -> list[Task]:
        return [
            self.task(
                "icons",
                [Output(stage="icons", key=self._icon_key(layer, grid), layer=layer, grid=grid)],
                {"cells": self.cell_key(layer, grid), "moment": self._moment(layer)},
            )
            for layer in self.layers
            for grid in self.grids
        ]

    def _tiles(self) -> list[Task]:
        tasks = []
        for layer in self.layers:
            for grid in self.grids:
                reads = {"cells": self.cell_key(layer, grid), "icons": self._icon_key(layer, grid)}
                key = self.key("tiles", reads, libraries.of_key("tiles"))
                tasks.append(self.task("tiles", [Output(stage="tiles", key=key, layer=layer, grid=grid)], reads))
        return tasks

    # Keys.

    def key(self, stage: str, reads: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
        return stage_key(stage, CODE[stage], reads, asked)

    def _model(self) -> str:
        asked = {
            "spec": self.subject.model.spec,
            "classes": list(self.subject.model.classes),
            "layers": self.layers,
            "found": [asdict(layer) for layer in self.subject.layers.values()],
        }
        return self.key("model", {"fingerprints": self.subject.fingerprints}, asked)

    def asked_of_model(self) -> dict[str, Any]:
        """What decides the model's numbers beside its fingerprint and the libraries of the stage."""
        return {
            "device": self.subject.device.type,
            "precision": self.config.precision,
            "memory": "channels_last",
            "folded": True,
        }

    def _part(self, layer: str, shard: Shard) -> str:
        asked = self.asked_of_model() | {
            "layer": asdict(self.subject.layers[layer]),
            "batch": prepared.batch_of(self.config),
            "seed": self.config.seed,
            "samples": self.config.samples_per_image,
            "patches": self.config.patches_per_image,
            **libraries.of_key("collect"),
        }
        reads = {"fingerprint": self.subject.fingerprints[layer], "rows": shard.rows_key}
        return self.key("collect", reads, asked)

    def _field(self, layer: str) -> str:
        reads = {"fingerprint": self.subject.fingerprints[layer], "rows": self._first_key}
        asked = {
            "layer": asdict(self.subject.layers[layer]),
            "seed": self.config.seed,
            "images": [field.IMAGES, field.LISTED],
        }
        return self.key("field", reads, asked | libraries.of_key("field"))

    def patch_key(self, layer: str) -> str:
        reads = {"collect": self.parts[layer], "images": self.facts, "field": self._fields[layer]}
        return self.key("patches", reads, {"thumbnails": patches.THUMBNAILS, "size": patches.SIZE})

    def _frame(self, layer: str, earlier: Frames | None) -> Frame | None:
        if earlier is None:
            return None
        return earlier.choose(layer, self.parts[layer], lambda frame: self._layout_in(layer, frame))

    def _layout(self, layer: str) -> str:
        return self._layout_in(layer, self.frames.get(layer))

    def _layout_in(self, layer: str, frame: Frame | None) -> str:
        reads: dict[str, Any] = {"collect": self.parts[layer]} | ({"frame": frame.layout} if frame else {})
        asked = {"method": self.config.layout, "seed": self.config.seed}
        return self.key("layout", reads, asked | libraries.of_key(f"layout {self.config.layout}"))

    def _moment(self, layer: str) -> str:
        return self.key("moment", {"collect": self.parts[layer]}, libraries.of_key("moment"))

    def cell_key(self, layer: str, grid: int) -> str:
        reads = {"collect": self.parts[layer], "layout": self._layout(layer)}
        return self.key("cells", reads, {"grid": grid, "min_count": self.config.min_count})

    def _icon_key(self, layer: str, grid: int) -> str:
        reads = {
            "cells": self.cell_key(layer, grid),
            "moment": self._moment(layer),
            "fingerprint": self.subject.fingerprints[layer],
        }
        asked = self.asked_of_model() | {
            "precision": "fp32",
            "layer": asdict(self.subject.layers[layer]),
            "recipe": asdict(recipes.ICON_RECIPES[self.config.recipe]),
            "size": self.config.icon_size,
            "seed": self.config.seed,
            "tries": self.config.icon_tries,
            "batch": icons.BATCH,
            "grid": grid,
            **libraries.of_key("icons"),
        }
        return self.key("icons", reads, asked)

    def task(
        self, stage: str, made: list[Output], reads: Mapping[str, Any], how: Mapping[str, Any] | None = None
    ) -> Task:
        return Task(
            stage=stage, store=self.config.store, outputs=tuple(made), reads=reads, how={**self._how, **(how or {})}
        )


def _grids(samples: int, config: RunConfig) -> list[int]:
    """Return the grids that the samples can fill, or the finest they can if they fill none of those asked for.

    Too few samples for a single cell fill none.
    """
    filled = [grid for grid in config.grids if cells_maths.can_fill(samples, grid, config.min_count)]
    finest = cells_maths.finest_grid(samples, config.min_count)
    return filled or ([finest] if finest else [])
