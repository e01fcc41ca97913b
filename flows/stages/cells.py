"""Cells: the averages of one grid over a layer's layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atlas import cells
from flows.config import RunConfig
from flows.planning.costs import Cost, Estimate, Probe, Size
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import layout
from flows.stages.shared import sample_reads
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import arrays
from storage.artefacts import cells as cell_arrays
from storage.artefacts import samples as sample_arrays
from storage.store.store import Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


def compute(store: Store, task: Task) -> list[Outcome]:
    """Average the samples in each cell of the grid."""
    config, output = RunConfig(**task.settings["config"]), task.outputs[0]
    samples = sample_arrays.read_samples(sample_reads.results(store, task.reads))
    points = arrays.read_array(store.get("layout", task.reads["layout"]).file("layout.zarr"), "points")
    averages = cells.average(points, samples.activations, grid=int(output.grid or 0), min_count=config.min_count)
    places = {name: getattr(samples, name)[averages.members] for name in cell_arrays.PLACES}
    with drafting(store, output) as draft:
        cell_arrays.write(draft.path, averages, places)
        draft.counts = {"cells": len(averages.row), "samples": len(averages.members)}
    return [outcome(draft)]


def plan(context: PlanContext) -> list[Task]:
    """Return one task per layer and grid."""
    return [task(context, layer, grid) for layer in context.layers for grid in context.grids]


def task(context: PlanContext, layer: str, grid: int, *, between: bool = False) -> Task:
    """Return the task of a grid."""
    output = Output(stage="cells", key=key(context, layer, grid), layer=layer, grid=grid)
    return context.task("cells", [output], _reads(context, layer), between=between)


def key(context: PlanContext, layer: str, grid: int) -> str:
    """Return the key of a grid's cells."""
    return context.key("cells", _reads(context, layer), {"grid": grid, "min_count": context.config.min_count})


def _reads(context: PlanContext, layer: str) -> dict[str, Any]:
    return {**sample_reads.of(context, layer), "layout": layout.key(context, layer)}


AVERAGED = 4e-8
"""Seconds to average one number of one sample into its cell."""


def cost(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """Scale by the numbers averaged."""
    return Estimate(
        seconds=probed.seconds + AVERAGED * size.samples * size.units,
        bytes=8 * size.samples + 4 * size.units * size.cells,
    )
