"""Prefect's folder and its SQLite database, checked before a server starts: it would fail late, with pages of traceback."""

from __future__ import annotations

import contextlib
import re
import sqlite3

from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, PREFECT_HOME

from flows.scheduling.states import ServerUnreachable
from storage import masking


def check() -> None:
    """Raise ServerUnreachable, in one line, if the folder or the database cannot be used."""
    home, database = PREFECT_HOME.value(), _database()
    try:
        home.mkdir(parents=True, exist_ok=True)
        if database:
            with contextlib.closing(sqlite3.connect(database, timeout=1)) as connection:
                connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):  # another server uses it
            raise unusable(f"{database}: {error}") from None
    except (OSError, sqlite3.Error) as error:
        raise unusable(f"{database or home}: {getattr(error, 'strerror', None) or error}") from None


def _database() -> str | None:
    """Return the path of the server's SQLite database, None if it has another one."""
    url = PREFECT_API_DATABASE_CONNECTION_URL.value()
    text = url.get_secret_value() if hasattr(url, "get_secret_value") else str(url or "")
    path = re.sub(r"^sqlite(\+\w+)?:///", "", text)
    return None if path in ("", text) or ":memory:" in path else path.partition("?")[0]


def unusable(reason: str) -> ServerUnreachable:
    """Return the error of a server that did not start, with what would do."""
    return ServerUnreachable(
        f"Prefect's server did not start ({masking.masked(reason)}); check PREFECT_HOME ({PREFECT_HOME.value()}), or run "
        "with --engine inline, which needs none"
    )
