"""Run SQL over a run's tables in an in-memory DuckDB that holds only the tables a query names and can open no file.

Storage reads the tables and verifies their checksums. DuckDB's own Parquet reader verifies none, and a folder opened to
it could also be written to. A query has a limit of time and memory.
"""

from __future__ import annotations

import contextlib
import re
import resource
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from flows import registry
from flows.metrics import tables as metric_tables
from storage.artefacts import cells, tables
from storage.errors import UsageError, first_line
from storage.run import Run

ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a query may take: seconds, and GiB of memory for DuckDB, and as much again for its answer."""

    seconds: float = 60.0
    memory: float = 2.0


DEFAULTS = Limits()


def ask(run: Run, query: str, limits: Limits = DEFAULTS) -> list[dict[str, Any]]:
    """Answer one SELECT over the run's tables: images, rejects, classes, and those of the stages that the run has.

    Raises UsageError with DuckDB's own first line if the query is wrong, is anything but one SELECT, or exceeds a limit.
    """
    readers = _readers(run, query)
    with duckdb.connect(":memory:") as base:
        base.execute("SET autoinstall_known_extensions = false")
        base.execute(f"SET memory_limit = '{limits.memory * 1024:.0f}MiB'")
        base.execute("SET temp_directory = ''")
        for name in readers:
            if re.search(rf"\b{name}\b", query, re.IGNORECASE):
                base.register(name, readers[name]())
        base.execute("SET enable_external_access = false")
        base.execute("SET lock_configuration = true")
        try:
            with _interrupted_after(base, limits.seconds), _bounded_memory(2 * limits.memory):
                return _rows_beside(base, query, time.monotonic() + limits.seconds)
        except (duckdb.InterruptException, TimeoutError):
            message = f"the query took longer than {limits.seconds:g} s; narrow it, or raise --time-limit"
            raise UsageError(message) from None
        except (duckdb.OutOfMemoryException, MemoryError):
            message = (
                f"the query needs more than {limits.memory:g} GiB of memory; narrow it, count instead of listing, or raise "
                "--memory-limit"
            )
            raise UsageError(message) from None
        except duckdb.Error as error:
            raise UsageError(f"{first_line(error)} (tables: {', '.join(sorted(readers))})") from None


@contextlib.contextmanager
def _interrupted_after(base: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """Interrupt the connection's query after some seconds."""

    def interrupt() -> None:
        with contextlib.suppress(duckdb.Error):
            base.interrupt()

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def _bounded_memory(gib: float) -> Iterator[None]:
    """Let this process take some more memory and not all: DuckDB's own limit counts neither long values nor our rows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    status = Path("/proc/self/status").read_text()
    most = (int(re.findall(r"VmData:\s+(\d+)", status)[0]) << 10) + int(gib * 2**30)
    if soft == resource.RLIM_INFINITY or most < soft:
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _rows_beside(base: duckdb.DuckDBPyConnection, query: str, deadline: float) -> list[dict[str, Any]]:
    """Ask in another thread: in the one that Ctrl-C is for, DuckDB notices it at the end of a step only, if at all."""
    with ThreadPoolExecutor(1) as pool:
        rows = pool.submit(_rows, base, query, deadline)
        try:
            return rows.result()
        except KeyboardInterrupt:
            base.interrupt()
            raise


def _rows(base: duckdb.DuckDBPyConnection, query: str, deadline: float) -> list[dict[str, Any]]:
    statements = base.extract_statements(query)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise UsageError("a question is one SELECT; nothing can be changed")
    answer = base.execute(statements[0])
    names = _distinct([column[0] for column in answer.description or []])
    rows: list[dict[str, Any]] = []
    while part := answer.fetchmany(ROWS_AT_ONCE):
        rows += [dict(zip(names, row, strict=True)) for row in part]
        if time.monotonic() > deadline:
            raise TimeoutError
    return rows


def _distinct(names: list[str]) -> list[str]:
    """Number repeated column names, so that no value is lost."""
    return [name if name not in names[:i] else f"{name}_{names[:i].count(name) + 1}" for i, name in enumerate(names)]


def _readers(run: Run, query: str) -> dict[str, Callable[[], pa.Table]]:
    """Return a reader for each table that the run has."""
    readers: dict[str, Callable[[], pa.Table]] = {"images": run.images}
    if run.has("images"):
        readers["rejects"] = run.rejects
    if run.has("model"):
        readers["classes"] = lambda: _classes(run)
    if any(entry.stage == "cells" for entry in run.version.stages):
        readers["cell_metrics"] = lambda: metric_tables.of_cells(run, query)
    if any(entry.stage == "patches" for entry in run.version.stages):
        readers["unit_metrics"] = lambda: metric_tables.of_units(run, query)
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
