"""Prefect's folder and database, checked before a server starts; and the setting to name where one of them is at fault."""

from __future__ import annotations

import os

from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, PREFECT_HOME

from flows.scheduling import databases
from flows.scheduling.states import ServerUnreachable
from storage import masking

ADDRESS = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
"""The variables with the database's address, first the one that Prefect prefers."""

PARTS = ("PREFECT_SERVER_DATABASE_", "PREFECT_API_DATABASE_")
"""The start of the variables with the parts of that address."""


def check() -> None:
    """Raise ServerUnreachable, in one line that names the setting at fault, if the folder or the database cannot be used."""
    home = PREFECT_HOME.value()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _error(f"{error.filename or home}: {error.strerror}", _home()) from None
    address = _address()
    given = address != _default()
    if problem := databases.problem_of_address(address) if given else databases.problem_of_file(f"{home}/prefect.db"):
        raise unusable(problem)


def unusable(reason: str) -> ServerUnreachable:
    """Return the error of a server that did not start for its database, with the setting to check."""
    return _error(reason, _home() if _address() == _default() else _setting())


def _error(reason: str, setting: str) -> ServerUnreachable:
    return ServerUnreachable(
        f"Prefect's server did not start ({masking.masked(reason)}); check {setting}, or use `actlas run --engine "
        "inline`, which needs none"
    )


def _home() -> str:
    return f"PREFECT_HOME ({PREFECT_HOME.value()})"


def _setting() -> str:
    """Return the names of what gives the database's address: of variables, or Prefect's own command for its files."""
    for name in ADDRESS:
        if os.environ.get(name):
            return name
    return ", ".join(sorted(name for name in os.environ if name.startswith(PARTS))) or "`prefect config view`"


def _address() -> str:
    """Return the database's address, which may have a password in it."""
    url = PREFECT_API_DATABASE_CONNECTION_URL.value()
    return str(url.get_secret_value() if hasattr(url, "get_secret_value") else url or _default())


def _default() -> str:
    return f"sqlite+aiosqlite:///{PREFECT_HOME.value()}/prefect.db"
