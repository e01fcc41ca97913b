"""What is wrong with a database of Prefect's server, found in a second where the server takes ten and prints a traceback."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.errors import first_line

FORMS = "write sqlite+aiosqlite:////PATH or postgresql+asyncpg://HOST/NAME"
LOOKS = 0.5
"""Seconds that may be spent on looking for damage in a file."""

CONNECTS = 5.0
"""Seconds that PostgreSQL may take to answer."""


def problem_of_address(address: str) -> str:
    """Return what is wrong with the database at an address as SQLAlchemy takes it; an empty text if nothing is seen."""
    import sqlalchemy

    try:
        url = sqlalchemy.make_url(address)
        dialect = url.get_dialect()()
        places, options = dialect.create_connect_args(url)
    except (sqlalchemy.exc.ArgumentError, ImportError, TypeError, ValueError):
        return f"its address is none of a database; {FORMS}"
    if not dialect.is_async:
        return f"its address starts with {url.drivername}, which Prefect does not take; {FORMS}"
    if url.get_backend_name() == "postgresql":
        return _problem_of_postgres(f"{url.host}:{url.port or 5432}/{url.database}", options)
    if ":memory:" in str(places[0]):
        return ""
    return problem_of_file(str(places[0]), uri=bool(options.get("uri")))


def problem_of_file(path: str, *, uri: bool = False) -> str:
    """Return what is wrong with an SQLite database, or the place of a new one; an empty text if nothing is seen."""
    folder = Path(path).parent
    if not uri and not folder.is_dir():
        return f"{path}: there is no folder {folder}"
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=1, uri=uri)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
            problem = _foreign(connection) or _damage(connection)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):  # another server uses it
            return ""
        problem = str(error)
    except (OSError, sqlite3.Error) as error:
        problem = getattr(error, "strerror", None) or str(error)
    return problem and f"{path}: {problem}"


def _foreign(connection: sqlite3.Connection) -> str:
    """Return the problem of a database that another version of Prefect has changed to a form which this one does not know."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        return ""
    prefect = importlib.util.find_spec("prefect")
    places = (prefect.submodule_search_locations if prefect else None) or []
    known = [Path(place, "server/database/_migrations/versions/sqlite") for place in places]
    (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
    if not revision or all(not folder.is_dir() or any(folder.glob(f"*_{revision}_*.py")) for folder in known):
        return ""
    return f"made by another version of Prefect (revision {revision})"


def _damage(connection: sqlite3.Connection) -> str:
    """Return the first damage that SQLite finds in half a second; an empty text if there is none."""
    ends = time.monotonic() + LOOKS
    connection.set_progress_handler(lambda: time.monotonic() > ends, 10_000)
    try:
        answer = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return ""
        raise
    return "" if answer == "ok" else f"damaged ({' '.join(answer.split())})"


def _problem_of_postgres(place: str, options: Mapping[str, Any]) -> str:
    """Return why PostgreSQL does not let its client in; an empty text if it does, or if only the server can tell."""
    import asyncpg  # type: ignore[import-untyped]

    known = {name: value for name, value in options.items() if not name.startswith("prepared_statement")}

    async def connect() -> None:
        await (await asyncpg.connect(**known, timeout=CONNECTS)).close()

    try:
        asyncio.run(connect())
    except asyncpg.InvalidAuthorizationSpecificationError:  # its message has the user
        return f"{place}: user or password are refused"
    except TimeoutError:
        return f"{place}: no answer within {CONNECTS:.0f} s"
    except (OSError, asyncpg.InvalidCatalogNameError) as error:
        return f"{place}: {first_line(error)}"
    except Exception:  # what our plain connection lacks, such as Prefect's settings of TLS
        return ""
    return ""
