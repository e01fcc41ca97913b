"""A Prefect server for one run: a process on a free loopback port that ends with this one, however that ends.

Prefect would start one as well, but waits two minutes for a server that has ended, several times, and prints its traceback.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import uvicorn
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import get_current_settings

from flows import progress
from flows.scheduling import prefect_home, without_proxy
from storage import masking

HOST = "127.0.0.1"
PATIENCE = 120.0
"""Seconds that it may take to start: the first time it creates its database."""

ENDS = 10.0
"""Seconds that the last events, and then the server, may take to end."""

SETTINGS = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
COMMAND = [sys.executable, "-P", "-m", "flows.scheduling.temporary_server"]
_ERROR = re.compile(r"[\w.]*(?:Error|Exception)\b: .+")


@contextmanager
def running() -> Iterator[str]:
    """Run a server for the length of the block, direct Prefect's clients to it, and yield its address.

    Raises ServerUnreachable in one line as soon as its process has ended.
    """
    prefect_home.check()
    progress.current().say("Prefect: starting a server for this run (set PREFECT_API_URL to use one that is running)")
    with tempfile.TemporaryFile("w+") as log:
        process = _start(log)
        try:
            address = _wait(process, log)
            with without_proxy.to(address):
                try:
                    yield address
                finally:
                    _drain()
        finally:
            _stop(process)


def _start(log: IO[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, **SETTINGS, **get_current_settings().to_environment_variables(exclude_unset=True)}
    return subprocess.Popen(  # noqa: S603, of this module itself
        COMMAND,
        env=environment,
        stdin=subprocess.PIPE,  # closed when this process ends: then the server does, too
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,  # Ctrl-C is for this process, which still reports how the run ended
    )


def _wait(process: subprocess.Popen[str], log: IO[str]) -> str:
    """Return the address once the server answers."""
    assert process.stdout is not None
    port = process.stdout.readline().strip()  # empty if the process has ended
    if not port:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ENDS)
    address, deadline = f"http://{HOST}:{port}/api", time.monotonic() + PATIENCE
    while process.poll() is None and port and time.monotonic() < deadline:
        if without_proxy.is_well(address, timeout=5):
            return address
        time.sleep(0.1)
    raise prefect_home.unusable(_reason(process, log))


def _reason(process: subprocess.Popen[str], log: IO[str]) -> str:
    """Return the last error that the server's process printed, or how it ended."""
    log.seek(0)
    lines = [line.strip() for line in log.read().splitlines()]
    errors = [line for line in lines if _ERROR.match(line)]
    if errors:
        return masking.masked(errors[-1][:300])
    if process.poll() is None:
        return f"no answer within {PATIENCE:.0f} s"
    return f"its process ended with code {process.wait()}" + (f": {lines[-1][:300]}" if lines else "")


def _drain() -> None:
    """Send the last events and log lines while the server is there, so that nothing waits for it afterwards."""
    for worker in (EventsWorker, APILogWorker):
        worker.drain_all(timeout=ENDS, at_exit=False)


def _stop(process: subprocess.Popen[str]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    try:
        process.wait(ENDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _serve() -> None:
    """Serve on a free port, print it, and end when the standard input does."""
    config = uvicorn.Config(
        "prefect.server.api.server:create_app",
        factory=True,
        host=HOST,
        port=0,
        log_level="error",
        timeout_graceful_shutdown=1,  # clients keep connections for events, which have arrived by then
    )
    server = uvicorn.Server(config)
    sock = config.bind_socket()
    print(sock.getsockname()[1], flush=True)
    threading.Thread(target=_end_with_input, args=[server], daemon=True).start()
    server.run(sockets=[sock])
    sys.exit(0 if server.started else 3)


def _end_with_input(server: uvicorn.Server) -> None:
    sys.stdin.read()
    server.should_exit = True


if __name__ == "__main__":
    _serve()
