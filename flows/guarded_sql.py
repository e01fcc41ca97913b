"""Run one SELECT over Arrow tables, in an in-memory DuckDB that can open no file and nothing can be written to.

A query has a limit of time and memory.
"""

from __future__ import annotations

import contextlib
import re
import resource
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from storage.errors import UsageError, first_line

ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a query may take: seconds, and GiB of memory for DuckDB, and as much again for its answer.

    `options` are those of a command that sets them, and that a message can name.
    """

    seconds: float = 60.0
    memory: float = 2.0
    options: bool = False


DEFAULTS = Limits()


def ask(tables: Mapping[str, Callable[[], pa.Table]], query: str, limits: Limits = DEFAULTS) -> list[dict[str, Any]]:
    """Answer one SELECT over tables, of which those that the query names are read.

    Raises UsageError with DuckDB's own first line if the query is wrong, is anything but one SELECT, or exceeds a limit.
    """
    deadline = time.monotonic() + limits.seconds
    with duckdb.connect(":memory:") as base:
        try:
            _prepare(base, tables, query, limits)
            with _interrupted_after(base, limits.seconds), _bounded_memory(2 * limits.memory):
                return _rows_beside(base, query, deadline)
        except (duckdb.InterruptException, TimeoutError):
            if time.monotonic() < deadline:  # Ctrl-C, of which DuckDB knew first
                raise KeyboardInterrupt from None
            remedy = ", or raise --time-limit" if limits.options else ""
            raise UsageError(f"the query took longer than {limits.seconds:g} s; narrow it{remedy}") from None
        except (duckdb.OutOfMemoryException, MemoryError):
            remedy = ", count instead of listing, or raise --memory-limit" if limits.options else ""
            raise UsageError(f"the query needs more than {limits.memory:g} GiB of memory; narrow it{remedy}") from None
        except duckdb.Error as error:
            raise UsageError(f"{first_line(error)} (tables: {', '.join(sorted(tables))})") from None


def _prepare(
    base: duckdb.DuckDBPyConnection, tables: Mapping[str, Callable[[], pa.Table]], query: str, limits: Limits
) -> None:
    """Give a database the tables that a query names, and shut it off from everything else."""
    base.execute("SET autoinstall_known_extensions = false")
    base.execute(f"SET memory_limit = '{limits.memory * 1024:.0f}MiB'")
    base.execute("SET temp_directory = ''")
    for name, read in tables.items():
        if re.search(rf"\b{name}\b", query, re.IGNORECASE):
            base.register(name, read())
    base.execute("SET enable_external_access = false")
    base.execute("SET lock_configuration = true")


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
        raise UsageError("a query is a single SELECT; nothing can be changed")
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
