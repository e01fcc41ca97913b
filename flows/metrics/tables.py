"""The tables `cell_metrics` and `unit_metrics` of SQL: a row per cell or unit, a column per metric."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from flows.metrics import metrics
from flows.metrics import values as metric_values
from flows.metrics.metrics import Metric
from storage.artefacts import cells
from storage.run import Run

TYPES = {"number": pa.float64(), "count": pa.int64(), "flag": pa.bool_()}


def of_cells(run: Run, query: str, *, every: bool) -> pa.Table:
    """Return the cells of all layers and grids with the metrics that a query names; of all where it asks for `every`."""
    rows = _named(metrics.CELL, query, every)
    parts = []
    for layer, grid in [(layer, grid) for layer in run.layers for grid in run.grids if run.has("cells", layer, grid)]:
        place = {name: cells.array(run.result("cells", layer, grid), name) for name in ("row", "col")}
        values = {row: metric_values.of_cells(run, layer, grid, row) for row in rows}
        parts.append(_table({"layer": layer, "grid": grid}, place, values))
    return pa.concat_tables(parts)


def of_units(run: Run, query: str, *, every: bool) -> pa.Table:
    """Return the units of all layers with the metrics that a query names; of all where it asks for `every`."""
    rows = _named(metrics.UNIT, query, every)
    parts = []
    for layer in [layer for layer in run.layers if run.has("patches", layer)]:
        place = {"unit": np.arange(run.result("patches", layer).counts["units"], dtype=np.int32)}
        parts.append(_table({"layer": layer}, place, {row: metric_values.of_units(run, layer, row) for row in rows}))
    return pa.concat_tables(parts)


def _named(rows: tuple[Metric, ...], query: str, every: bool) -> list[Metric]:
    """Return the metrics that a query needs: reading all of them decodes every patch of every cell."""
    return [row for row in rows if every or re.search(rf"\b{row.name}\b", query, re.IGNORECASE)]


def _table(
    constant: Mapping[str, str | int], place: Mapping[str, np.ndarray], values: Mapping[Metric, np.ndarray | None]
) -> pa.Table:
    """Return the rows of one layer (and grid); a metric that the run lacks is null."""
    length = len(next(iter(place.values())))
    return pa.table(
        {name: pa.array([value] * length, _constant_type(value)) for name, value in constant.items()}
        | {name: pa.array(column) for name, column in place.items()}
        | {row.name: _column(row, column, length) for row, column in values.items()}
    )


def _constant_type(value: str | int) -> pa.DataType:
    return pa.large_string() if isinstance(value, str) else pa.int32()


def _column(row: Metric, values: np.ndarray | None, length: int) -> pa.Array:
    """Return a metric as a column, with null for NaN."""
    if values is None:
        return pa.nulls(length, TYPES[row.kind])
    return pa.array(values, from_pandas=True).cast(TYPES[row.kind])
