"""Run one SELECT over Arrow tables, in an in-memory DuckDB that can open no file and nothing can be written to.

A query has a limit of time and memory.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import resource
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from storage.errors import UsageError, first_line

ROWS_AT_ONCE = 10_000
VALUES_AT_ONCE = 1_000_000

T = TypeVar("T")


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
    return _answer(tables, query, limits, _rows)


def column(tables: Mapping[str, Callable[[], pa.Table]], query: str, limits: Limits = DEFAULTS) -> pa.ChunkedArray:
    """Return the first column of an answer as Arrow has it, for answers of many rows. Raises UsageError as `ask` does."""
    return _answer(tables, query, limits, _column)


def _answer(
    tables: Mapping[str, Callable[[], pa.Table]],
    query: str,
    limits: Limits,
    fetch: Callable[[duckdb.DuckDBPyConnection, str, float], T],
) -> T:
    deadline = time.monotonic() + limits.seconds
    with duckdb.connect(":memory:") as base:
        try:
            _prepare(base, tables, query, limits)
            with _interrupted_after(base, limits.seconds), _bounded_memory(2 * limits.memory):
                return _beside(fetch, base, query, deadline)
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
    names = mentioned(query).tables
    for name, read in tables.items():
        if _is_named(name, query) if names is None else name in names:
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


def _beside(
    fetch: Callable[[duckdb.DuckDBPyConnection, str, float], T],
    base: duckdb.DuckDBPyConnection,
    query: str,
    deadline: float,
) -> T:
    """Ask in another thread: in the one that Ctrl-C is for, DuckDB notices it at the end of a step only, if at all."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(fetch, base, query, deadline)
        try:
            return answer.result()
        except KeyboardInterrupt:
            base.interrupt()
            raise


def _rows(base: duckdb.DuckDBPyConnection, query: str, deadline: float) -> list[dict[str, Any]]:
    answer = base.execute(_single_select(base, query))
    names = _distinct([column[0] for column in answer.description or []])
    rows: list[dict[str, Any]] = []
    while part := answer.fetchmany(ROWS_AT_ONCE):
        rows += [dict(zip(names, row, strict=True)) for row in part]
        if time.monotonic() > deadline:
            raise TimeoutError
    return rows


def _column(base: duckdb.DuckDBPyConnection, query: str, deadline: float) -> pa.ChunkedArray:
    _single_select(base, query)
    answer: Any = base.sql(query)
    as_arrow = getattr(answer, "to_arrow_reader", None) or answer.fetch_arrow_reader  # its older name
    reader, parts = as_arrow(VALUES_AT_ONCE), []
    for batch in reader:
        parts.append(batch.column(0))
        if time.monotonic() > deadline:
            raise TimeoutError
    return pa.chunked_array(parts, reader.schema.field(0).type)


def _single_select(base: duckdb.DuckDBPyConnection, query: str) -> duckdb.Statement:
    statements = base.extract_statements(query)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise UsageError("a query is a single SELECT; nothing can be changed")
    return statements[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mentioned:
    """The tables that a query names, in lower case (None where that is not known), and whether it asks for `*` of one."""

    tables: Set[str] | None
    every: bool


@functools.lru_cache(maxsize=16)
def mentioned(query: str) -> Mentioned:
    """Return what a query names, as DuckDB reads it: words of a text or a comment, and `count(*)`, are something else."""
    try:
        with duckdb.connect(":memory:") as base:
            rows = base.execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchall()
        nodes = list(_nodes(json.loads(rows[0][0])))
    except (duckdb.Error, RecursionError):
        return Mentioned(tables=None, every=True)
    if any(str(node.get("function_name")).lower() in ("query", "query_table") for node in nodes):
        return Mentioned(tables=None, every=True)  # their tables stand in a text
    return Mentioned(
        tables={node["table_name"].lower() for node in nodes if node.get("type") == "BASE_TABLE"},
        every=any(node.get("class") == "STAR" or node.get("ref_type") == "NATURAL" for node in nodes),
    )


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield the nodes of a query's syntax tree; those of a wrong query name nothing."""
    left: list[Any] = [tree]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            yield node
            left.extend(node.values())
        elif isinstance(node, list):
            left.extend(node)


def _is_named(name: str, query: str) -> bool:
    return re.search(rf"\b{name}\b", query, re.IGNORECASE) is not None


def _distinct(names: list[str]) -> list[str]:
    """Number repeated column names, so that no value is lost."""
    return [name if name not in names[:i] else f"{name}_{names[:i].count(name) + 1}" for i, name in enumerate(names)]
