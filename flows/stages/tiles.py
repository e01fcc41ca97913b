"""Tiles: draw one grid's icons as a Deep Zoom pyramid, and as one overview picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atlas import tiles
from atlas.arrays import Cells, Icons
from flows.planning import libraries
from flows.planning.costs import Cost, Estimate, Probe, Size
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import cells, icon_parts, icons
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import arrays, pictures
from storage.artefacts import cells as cell_arrays
from storage.store.store import Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


OVERVIEW = "overview.png"


def compute(store: Store, task: Task) -> list[Outcome]:
    """Draw the grid, each icon sized by its cell's density."""
    output = task.outputs[0]
    averages = cell_arrays.read_columns(store.get("cells", task.reads["cells"]), cell_arrays.AVERAGES)
    grid_cells = Cells(grid=int(output.grid or 0), **averages)
    group: dict[str, Any] = arrays.read_group(store.get("icons", task.reads["icons"]).file("icons.zarr"))
    grid_icons = Icons(**{name: group[name] for name in icon_parts.FIELDS})
    with drafting(store, output) as draft:
        side = grid_cells.grid * (grid_icons.pictures.shape[1] + tiles.GAP)
        pictures.write_pyramid(tiles.strips(grid_cells, grid_icons), draft.path / "atlas", size=(side, side))
        pictures.write_png(tiles.overview(grid_cells, grid_icons), draft.path / OVERVIEW)
        draft.counts = {"cells": len(grid_cells.row)}
    return [outcome(draft)]


def plan(context: PlanContext) -> list[Task]:
    """Return one task per layer and grid."""
    return [_task(context, layer, grid) for layer in context.layers for grid in context.grids]


def _task(context: PlanContext, layer: str, grid: int) -> Task:
    reads = {"cells": cells.key(context, layer, grid), "icons": icons.key(context, layer, grid)}
    key = context.key("tiles", reads, libraries.of_key("tiles"))
    return context.task("tiles", [Output(stage="tiles", key=key, layer=layer, grid=grid)], reads)


def cost(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """Scale the pyramid by the cells; the overview has one size."""
    pyramid = sum(count for name, count in probed.bytes.items() if name != OVERVIEW)
    return Estimate(seconds=probed.seconds, bytes=probed.bytes.get(OVERVIEW, 0) + pyramid * size.cells)
