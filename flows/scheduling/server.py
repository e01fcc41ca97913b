"""Find or run the Prefect server: the configured one, or one of this process on the loopback address."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_API_AUTH_STRING,
    PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE,
    PREFECT_SERVER_LOGGING_LEVEL,
    temporary_settings,
)

from flows import progress
from flows.scheduling import prefect_home, without_proxy
from flows.scheduling.states import ServerUnreachable
from storage.errors import UsageError

HOST = "127.0.0.1"
LOOPBACK = (HOST, "localhost", "::1")
PORT = 4200
PATIENCE = 120.0
"""Seconds that our own server may take to start: the first time it creates its database."""

SETTINGS = {
    PREFECT_SERVER_LOGGING_LEVEL: "ERROR",
    # in memory, a restart would lose the leases of slots, and Prefect cancels a run whose lease it does not know
    PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE: "prefect.server.concurrency.lease_storage.filesystem",
}
"""Settings of our own server, unless the environment or a profile overrides them."""


@contextmanager
def known(port: int = PORT) -> Iterator[str]:
    """Direct clients to the configured server, or else to one at `port` of this machine; yield its address."""
    address = PREFECT_API_URL.value() or _local(port)
    with without_proxy.to(address):
        yield address


def check(port: int) -> None:
    """Raise ServerUnreachable if a server is to be started and cannot be, for Prefect's folder or database."""
    if not PREFECT_API_URL.value() and not without_proxy.is_well(_local(port), timeout=1):
        prefect_home.check()


def _local(port: int) -> str:
    return f"http://{HOST}:{port}/api"


@contextmanager
def server(host: str, port: int) -> Iterator[str]:
    """Yield the address of the configured server, of one that answers at `port`, or else of one in this process.

    Raises UsageError for one that others can reach without a password: starting a run means running code.
    """
    if host not in LOOPBACK and not PREFECT_SERVER_API_AUTH_STRING.value():
        raise UsageError(
            f"--host {host}: others could start runs there; set PREFECT_SERVER_API_AUTH_STRING and PREFECT_API_AUTH_STRING "
            "to the same user:password first"
        )
    with known(port) as address:
        os.environ["PREFECT_API_URL"] = address  # inherited by the processes of the runs
        if without_proxy.is_well(address, timeout=10):
            yield address
        elif address != _local(port):
            raise ServerUnreachable(f"Prefect's server at {address} does not answer; check PREFECT_API_URL")
        else:
            with _own_server(host, port):
                yield address


@contextmanager
def _own_server(host: str, port: int) -> Iterator[None]:
    """Run a Prefect server in a thread, with its services."""
    prefect_home.check()
    progress.current().say(f"starting Prefect's server at http://{host}:{port}")
    config = uvicorn.Config(_app, factory=True, host=host, port=port, log_level="warning")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=_serve, args=[running], name="prefect-server", daemon=True)
    thread.start()
    try:
        _wait(running, thread, port)
        yield
    finally:
        running.should_exit = True
        thread.join(timeout=15)


def _wait(server: uvicorn.Server, thread: threading.Thread, port: int) -> None:
    """Wait until the server has started. Raises ServerUnreachable once it has ended, or takes too long."""
    started = time.monotonic()
    while not server.started:
        if not thread.is_alive() or time.monotonic() - started > PATIENCE:
            raise ServerUnreachable(
                f"Prefect's server did not start at port {port}; is the port taken? --port names another"
            )
        time.sleep(0.1)


def _serve(server: uvicorn.Server) -> None:
    """Run the server with our settings: each thread starts with those that Prefect had when it was imported."""
    from flows.scheduling import sqlite_locks  # loads the models of Prefect's server

    with temporary_settings(set_defaults=SETTINGS), sqlite_locks.taken_at_once():
        server.run()


def _app() -> Any:
    from prefect.server.api.server import create_app

    return create_app(final=True)
