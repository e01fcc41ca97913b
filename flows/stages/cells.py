"""Cells: the averages of one grid over a layer's layout."""

from __future__ import annotations

import pyarrow as pa

from atlas import cells
from flows.config import RunConfig
from flows.stages.tasks import Outcome, Task
from flows.stages.writing import drafting, outcome
from storage.artefacts import arrays, tables
from storage.artefacts import samples as sample_arrays
from storage.store.store import Store

FIELDS = ("row", "col", "count", "mean", "spread", "offsets", "members")
PLACES = ("image_id", "y", "x")
"""Of each member, in the order of `members`, so that readers need not look among the vectors."""


def compute(store: Store, task: Task) -> list[Outcome]:
    """Average the samples in each square of the grid."""
    config, output = RunConfig(**task.how["config"]), task.outputs[0]
    samples = sample_arrays.read_samples(list(sample_arrays.results(store, "collect", task.reads["collect"])))
    points = arrays.read_array(store.get("layout", task.reads["layout"]).path / "layout.zarr", "points")
    found = cells.average(points, samples.activations, grid=int(output.grid or 0), min_count=config.min_count)
    columns = {name: getattr(found, name) for name in FIELDS}
    places = {name: getattr(samples, name)[found.members] for name in PLACES}
    with drafting(store, output) as page:
        arrays.write_group(page.path / "cells.zarr", columns | places)
        table = pa.table({name: getattr(found, name) for name in ("row", "col", "count", "spread")})
        tables.write_table(page.path / "cells.parquet", table)
        page.counts = {"cells": len(found.row), "samples": len(found.members)}
    return [outcome(page)]
