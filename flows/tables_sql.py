"""SQL over a run's Parquet: a DuckDB in memory with one view per table, which can read the store and nothing else."""

from __future__ import annotations

from typing import Any

import duckdb

from storage.errors import UsageError
from storage.run import Run


def ask(run: Run, query: str) -> list[dict[str, Any]]:
    """Answer one SELECT over the views images, patches, units, cells, members and rejects.

    Raises UsageError with DuckDB's own first line if the query is wrong.
    """
    with duckdb.connect(":memory:") as base:
        _views(base, run)
        try:
            answer = base.execute(query)
            names = [column[0] for column in answer.description or []]
            return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
        except duckdb.Error as error:
            views = ", ".join(
                name for (name,) in base.execute("select view_name from duckdb_views() where not internal").fetchall()
            )
            raise UsageError(f"{str(error).splitlines()[0]} (tables: {views})") from None


def _views(base: duckdb.DuckDBPyConnection, run: Run) -> None:
    """Make the views, then shut the door: no other file, no extension, no change of settings."""
    base.execute("SET autoinstall_known_extensions = false")
    base.register("images", run.images())
    if run.has("images"):
        base.register("rejects", run.rejects())
    for view, stage, file in (
        ("patches", "patches", "patches.parquet"),
        ("units", "patches", "units.parquet"),
        ("cells", "cells", "cells.parquet"),
        ("icons", "icons", "icons.parquet"),
        ("members", "members", "members.parquet"),
    ):
        parts = [
            f"SELECT {_text(layer)} AS layer, {_grid(grid)}* FROM read_parquet({_text(str(result.file(file)))})"
            for layer in run.layers
            for grid in ([None] if stage == "patches" else run.grids)
            if run.has(stage, layer, grid)
            for result in run.results(stage, layer, grid)
        ]
        if parts:
            base.execute(f"CREATE VIEW {view} AS " + " UNION ALL ".join(parts))
    base.execute(f"SET allowed_directories = [{_text(str(run.store.places.stages))}]")
    base.execute("SET enable_external_access = false")
    base.execute("SET lock_configuration = true")


def _grid(grid: int | None) -> str:
    return "" if grid is None else f"{grid:d} AS grid, "


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
