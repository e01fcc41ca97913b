"""Run SQL over a run's tables.

Storage reads the tables and verifies their checksums. DuckDB's own Parquet reader verifies none, and a folder opened to
it could also be written to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from flows import guarded_sql, registry
from flows.guarded_sql import DEFAULTS, Limits
from flows.metrics import tables as metric_tables
from flows.questions import accuracy, samples
from storage.artefacts import cells, tables
from storage.run import Run


def ask(run: Run, query: str, limits: Limits = DEFAULTS) -> list[dict[str, Any]]:
    """Answer one SELECT over the run's tables: images, samples, rejects, classes, choices, label_classes, and those of its stages.

    Raises UsageError as `guarded_sql.ask` does.
    """
    return guarded_sql.ask(_readers(run, query), query, limits)


def _readers(run: Run, query: str) -> dict[str, Callable[[], pa.Table]]:
    """Return a reader for each table that the run has."""
    every = guarded_sql.mentioned(query).every
    readers: dict[str, Callable[[], pa.Table]] = {"images": run.images}
    if run.has("images"):
        readers["rejects"] = run.rejects
    if run.has("model"):
        readers["classes"] = lambda: _classes(run)
    if run.has("choices"):
        readers["choices"] = run.choices
        readers["label_classes"] = lambda: accuracy.label_classes(run)
    if any(run.has_samples(layer) for layer in run.layers):
        readers["samples"] = lambda: samples.all_layers(run, query)
    if any(entry.stage == "cells" for entry in run.version.stages):
        readers["cell_metrics"] = lambda: metric_tables.of_cells(run, query, every=every)
    if any(entry.stage == "patches" for entry in run.version.stages):
        readers["unit_metrics"] = lambda: metric_tables.of_units(run, query, every=every)
    for name, (stage, file) in registry.tables().items():
        places = [(layer, grid) for layer in run.layers for grid in (None, *run.grids) if run.has(stage, layer, grid)]
        if places:
            readers[name] = lambda stage=stage, file=file, places=places: _joined(run, stage, file, places)  # type: ignore[misc]
    return readers


def _classes(run: Run) -> pa.Table:
    names = run.model["classes"]
    return pa.table({"class": pa.array(range(len(names)), pa.int32()), "name": pa.array(names, pa.large_string())})


def _joined(run: Run, stage: str, file: str, places: list[tuple[str, int | None]]) -> pa.Table:
    """Concatenate the tables of all layers and grids, adding columns for layer and grid."""
    parts = []
    for layer, grid in places:
        part = tables.read_table(run.result(stage, layer, grid).file(file)).replace_schema_metadata(None)
        if grid is not None:
            part = part.add_column(0, "grid", pa.array([grid] * len(part), pa.int32()))
        if "layer" not in part.column_names:
            part = part.add_column(0, "layer", pa.array([layer] * len(part), pa.large_string()))
        parts.append(part)
    joined = pa.concat_tables(parts)
    return cells.rename_stored(joined) if stage == "cells" else joined
