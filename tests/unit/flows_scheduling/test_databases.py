"""A database that Prefect's server cannot use is found at once, and the setting at fault is the one that is named."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from prefect.settings import PREFECT_HOME, PREFECT_SERVER_DATABASE_CONNECTION_URL, temporary_settings

from flows.scheduling import databases, prefect_home
from flows.scheduling.states import ServerUnreachable

ROOT = Path(__file__).parents[3]
KNOWN = "9725c1cbee35"
"""The first revision of Prefect's database on SQLite."""


def made(path: Path, revision: str, rows: int = 0) -> Path:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", [revision])
        connection.execute("CREATE TABLE log (line TEXT)")
        connection.executemany("INSERT INTO log VALUES (?)", [[f"line {n}"] for n in range(rows)])
    connection.close()
    return path


def spoil(path: Path) -> Path:
    """Overwrite a page in the middle of a database."""
    data = bytearray(made(path, KNOWN, 5000).read_bytes())
    data[3 * 4096 : 4 * 4096] = b"x" * 4096
    path.write_bytes(data)
    return path


BROKEN: dict[str, tuple[Callable[[Path], str], str]] = {
    "no folder": (lambda tmp: f"sqlite+aiosqlite:///{tmp}/none/x.db", "there is no folder"),
    "garbage": (lambda tmp: f"sqlite+aiosqlite:///{_write(tmp / 'g.db')}", "not a database"),
    "damaged": (lambda tmp: f"sqlite+aiosqlite:///{spoil(tmp / 'd.db')}", "damaged|malformed"),
    "a later Prefect's": (lambda tmp: f"sqlite+aiosqlite:///{made(tmp / 'n.db', 'ffffffffffff')}", "another version"),
    "nobody listens": (lambda tmp: "postgresql+asyncpg://me:s3cret@127.0.0.1:1/x", "127.0.0.1:1/x: .*Connect"),
    "a driver that waits": (lambda tmp: "postgresql://me:s3cret@127.0.0.1:1/x", "starts with postgresql, "),
    "no driver": (lambda tmp: "foo://me:s3cret@127.0.0.1:1/x", "none of a database"),
    "no address": (lambda tmp: "me:s3cret", "none of a database"),
}


def _write(path: Path) -> Path:
    path.write_text("garbage" * 100)
    return path


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with temporary_settings({PREFECT_HOME: tmp_path / "home"}):
        yield tmp_path


@pytest.mark.parametrize("variable", prefect_home.ADDRESS)
@pytest.mark.parametrize("kind", BROKEN)
def test_the_address_is_named_and_not_the_home(
    kind: str, variable: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, words = BROKEN[kind][0](home), BROKEN[kind][1]
    monkeypatch.setenv(variable, address)
    with (
        temporary_settings({PREFECT_SERVER_DATABASE_CONNECTION_URL: address}),
        pytest.raises(
            ServerUnreachable, match=f"({words}).*check {variable}, or use `actlas run --engine inline`"
        ) as refused,
    ):
        prefect_home.check()
    assert "PREFECT_HOME" not in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_a_database_that_can_be_used_is_no_problem(tmp_path: Path) -> None:
    assert databases.problem_of_file(str(tmp_path / "new.db")) == ""
    assert databases.problem_of_file(str(made(tmp_path / "known.db", KNOWN))) == ""
    assert databases.problem_of_address("sqlite+aiosqlite:///file::memory:?cache=shared&uri=true") == ""
    assert databases.problem_of_address(f"sqlite+aiosqlite:///{tmp_path}/known.db") == ""


def test_a_large_database_is_looked_at_for_half_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr(databases, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    path = made(tmp_path / "large.db", KNOWN, 20_000)
    assert databases.problem_of_file(str(path)) == ""
    assert next(clock) >= 2  # it was asked, and ended the search


LOADS = """
import sys
from storage.errors import UsageError
try:
    import flows.scheduling.named_server
except UsageError as error:
    print(error)
"""


@pytest.mark.parametrize(
    "wrong",
    [{"PREFECT_SERVER_DATABASE_PORT": "s3cret", "PREFECT_CLIENT_CUSTOM_HEADERS": "{}"}],
)
def test_a_setting_that_prefect_refuses_is_named_without_its_value(wrong: dict[str, str], tmp_path: Path) -> None:
    """Prefect prints it twice, with value and traceback."""
    environment = os.environ | wrong | {"PREFECT_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", LOADS], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Prefect refuses PREFECT_SERVER_DATABASE_PORT (Input should be a valid integer")
    assert "s3cret" not in done.stdout
