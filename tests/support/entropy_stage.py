"""A stage for tests of the registry: how widely the patches of each unit are spread over the grid, in bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from flows.planning import libraries
from flows.planning.costs import Cost, Estimate, Probe, Size
from flows.planning.tasks import Outcome, Output, Task
from flows.registry import Stage
from flows.stages import patches
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import tables
from storage.store.store import Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext

ROW = Stage(
    name="entropy",
    code=1,
    module="support.entropy_stage",
    per="layer",
    extra=True,
    needs="patches",
    libraries=("pyarrow",),
    tables={"entropy": "entropy.parquet"},
    cost="cost",
)


def compute(store: Store, task: Task) -> list[Outcome]:
    """Compute the entropy of the positions of each unit's patches, of both signs."""
    output, result = task.outputs[0], store.get("patches", task.reads["patches"])
    table = tables.read_table(result.file("patches.parquet"), ["unit", "y", "x"])
    unit, positions = table["unit"].to_numpy(), np.stack([table["y"].to_numpy(), table["x"].to_numpy()], axis=1)
    units = np.unique(unit)
    bits = [_entropy(positions[unit == number]) for number in units]
    with drafting(store, output) as draft:
        tables.write_table(draft.path / "entropy.parquet", pa.table({"unit": units, "bits": bits}))
        draft.counts = {"units": len(units)}
    return [outcome(draft)]


def _entropy(positions: np.ndarray) -> float:
    """Return the entropy in bits of positions `n 2`: 0 if all are the same."""
    _, counts = np.unique(positions, axis=0, return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def plan(context: PlanContext) -> list[Task]:
    """Return one task per layer."""
    return [_task(context, layer) for layer in context.layers]


def _task(context: PlanContext, layer: str) -> Task:
    reads = {"patches": patches.key(context, layer)}
    key = context.key("entropy", reads, libraries.of_key("entropy"))
    return context.task("entropy", [Output(stage="entropy", key=key, layer=layer)], reads)


def cost(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """Count a row per unit."""
    return Estimate(seconds=1e-5 * size.units, bytes=12 * size.units)
