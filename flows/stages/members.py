"""Members: cut thumbnails of some of the real patches behind each cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas import sampling
from atlas.boxes import SIDES
from flows import progress
from flows.config import RunConfig
from flows.cores import cores
from flows.planning import costs
from flows.planning.costs import Cost, Estimate, Probe, Size
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import cells, collect, field, image_listing
from flows.stages.patches import SIZE
from flows.stages.shared import reading, sample_reads
from flows.stages.shared.patch_boxes import PatchBoxes
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import cells as cell_arrays
from storage.artefacts import receptive_fields, tables
from storage.images import crops
from storage.store.store import Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


PER_CELL = 16
"""Members of a cell that get a thumbnail."""


def compute(store: Store, task: Task) -> list[Outcome]:
    """Cut up to sixteen members of each cell, chosen by a hash of the sample and not by how well they fit."""
    config, output = RunConfig(**task.settings["config"]), task.outputs[0]
    names = ("row", "col", "offsets", "members", *cell_arrays.PLACES)
    group = cell_arrays.read_columns(store.get("cells", task.reads["cells"]), names)
    cell, chosen = _choose(group["offsets"], group["members"])
    columns = {"row": group["row"][cell], "col": group["col"][cell], "sample": group["members"][chosen]}
    columns |= {name: group[name][chosen] for name in cell_arrays.PLACES}
    field = receptive_fields.read(store.get("field", task.reads["field"]))
    boxes = PatchBoxes(store, task.reads["images"], config).boxes(
        field, columns["image_id"], columns["y"], columns["x"]
    )
    focus = np.stack([boxes[f"focus_{side}"] for side in SIDES], axis=1)
    rows = image_listing.read(store, task.reads["listing"])
    source, ids = reading.source_of(config), columns["image_id"]
    with progress.current().bar(f"members {output.layer} {output.grid}", len(np.unique(ids)), "images") as advance:
        thumbnails = crops.crops(source, rows, ids, focus, SIZE, threads=cores(), advance=advance)
    table = pa.table(columns | boxes).append_column("picture", pa.array(thumbnails, pa.large_binary()))
    with drafting(store, output) as draft:
        tables.write_table(draft.path / "members.parquet", table, row_group_size=PER_CELL * 16)
        draft.counts = {"members": len(table)}
    return [outcome(draft)]


def _choose(offsets: NDArray[np.int64], members: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return cell numbers and indices of members, `m` each: per cell the sixteen whose sample number hashes lowest."""
    cell = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.lexsort((sampling.mix(members.astype(np.uint64)), cell))
    rank = np.arange(len(members)) - offsets[cell]
    keep = order[rank < PER_CELL]
    return cell[keep], keep


def plan(context: PlanContext) -> list[Task]:
    """Return one task per layer and grid."""
    return [_task(context, layer, grid) for layer in context.layers for grid in context.grids]


def _task(context: PlanContext, layer: str, grid: int) -> Task:
    reads: dict[str, Any] = {
        **sample_reads.of(context, layer),
        "cells": cells.key(context, layer, grid),
        "field": field.key(context, layer),
        "images": collect.image_keys(context),
    }
    key = context.key("members", reads, {"per_cell": PER_CELL, "size": SIZE})
    output = Output(stage="members", key=key, layer=layer, grid=grid)
    return context.task("members", [output], reads | {"listing": context.listing})


def cost(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """Scale by the members."""
    return costs.scale(probed, min(size.samples, PER_CELL * size.cells), probed.counts.get("members", 0))
