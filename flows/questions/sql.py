"""SQL over a run's tables: a DuckDB in memory that is given the tables a query names, and can reach no file at all.

The tables are read by storage, which checks their checksums; DuckDB's own Parquet reader checks none, and with a folder
allowed to it, it could also write there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa

from flows.questions import metric_tables
from storage.artefacts import cells, tables
from storage.errors import UsageError
from storage.run import Run

FILES = {
    "patches": ("patches", "patches.parquet"),
    "units": ("patches", "units.parquet"),
    "cells": ("cells", "cells.parquet"),
    "icons": ("icons", "icons.parquet"),
    "members": ("members", "members.parquet"),
    "attribution": ("attribution", "attribution.parquet"),
    "influence": ("influence", "influence.parquet"),
    "gallery": ("gallery", "gallery.parquet"),
}
"""The tables that stages wrote: the stage, and its file."""


def ask(run: Run, query: str) -> list[dict[str, Any]]:
    """Answer one SELECT over the run's tables: images, rejects, classes, and those of `FILES` that the run has.

    Raises UsageError with DuckDB's own first line if the query is wrong, or is anything but one SELECT.
    """
    makers = _makers(run, query)
    with duckdb.connect(":memory:") as base:
        base.execute("SET autoinstall_known_extensions = false")
        for name in makers:
            if re.search(rf"\b{name}\b", query, re.IGNORECASE):
                base.register(name, makers[name]())
        base.execute("SET enable_external_access = false")
        base.execute("SET lock_configuration = true")
        try:
            return _rows(base, query)
        except duckdb.Error as error:
            raise UsageError(f"{str(error).splitlines()[0]} (tables: {', '.join(sorted(makers))})") from None


def _rows(base: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    statements = base.extract_statements(query)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise UsageError("a question is one SELECT; nothing can be changed")
    answer = base.execute(statements[0])
    names = _distinct([column[0] for column in answer.description or []])
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def _distinct(names: list[str]) -> list[str]:
    """Number the names that come again, so that no value is lost."""
    return [name if name not in names[:i] else f"{name}_{names[:i].count(name) + 1}" for i, name in enumerate(names)]


def _makers(run: Run, query: str) -> dict[str, Callable[[], pa.Table]]:
    """Return, for each table the run has, how it is read."""
    makers: dict[str, Callable[[], pa.Table]] = {"images": run.images}
    if run.has("images"):
        makers["rejects"] = run.rejects
    if run.has("model"):
        makers["classes"] = lambda: _classes(run)
    if any(entry.stage == "cells" for entry in run.version.stages):
        makers["cell_metrics"] = lambda: metric_tables.of_cells(run, query)
    if any(entry.stage == "patches" for entry in run.version.stages):
        makers["unit_metrics"] = lambda: metric_tables.of_units(run, query)
    for name, (stage, file) in FILES.items():
        places = [(layer, grid) for layer in run.layers for grid in (None, *run.grids) if run.has(stage, layer, grid)]
        if places:
            makers[name] = lambda stage=stage, file=file, places=places: _joined(run, stage, file, places)  # type: ignore[misc]
    return makers


def _classes(run: Run) -> pa.Table:
    names = run.model["classes"]
    return pa.table({"class": pa.array(range(len(names)), pa.int32()), "name": pa.array(names, pa.large_string())})


def _joined(run: Run, stage: str, file: str, places: list[tuple[str, int | None]]) -> pa.Table:
    """Return the tables of all layers and grids as one, with columns that say which."""
    parts = []
    for layer, grid in places:
        part = tables.read_table(run.result(stage, layer, grid).file(file)).replace_schema_metadata(None)
        if grid is not None:
            part = part.add_column(0, "grid", pa.array([grid] * len(part), pa.int32()))
        if "layer" not in part.column_names:
            part = part.add_column(0, "layer", pa.array([layer] * len(part), pa.large_string()))
        parts.append(part)
    joined = pa.concat_tables(parts)
    return cells.renamed(joined) if stage == "cells" else joined
