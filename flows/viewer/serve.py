"""Serve the viewer: find a port, print the address, open the browser, and answer until interrupted."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn

from flows.viewer import app, assets
from flows.viewer.answers.open_runs import OpenRuns
from flows.viewer.model.worker import ModelWorker
from flows.viewer.security import Rules
from storage.errors import UsageError

LOOPBACK = "127.0.0.1"
ANY = ("0.0.0.0", "::")  # noqa: S104, asked for by --host, and only with a token
STOPS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where to listen, and what is allowed."""

    host: str = LOOPBACK
    port: int | None = None
    token: str | None = None
    uploads: bool = True
    seconds: float = 60.0


def serve(store: str, name: str | None, options: Options, opened: Callable[[str], None]) -> None:
    """Answer until interrupted; `opened` is told the address as soon as it answers."""
    runs = OpenRuns(store)
    if name:
        run, _, version = name.partition("@")
        runs.version(run, version or "current")
    page, rules = assets.load(), rules_of(options)
    worker = ModelWorker(store, options.seconds) if options.uploads else None
    with listening(options) as sock:
        port = sock.getsockname()[1]
        application = app.make(runs, page, rules, worker)
        config = uvicorn.Config(
            application, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=STOPS
        )
        server = uvicorn.Server(config)
        threading.Thread(
            target=_tell, args=(server, address(options.host, port, name, rules.token), opened), daemon=True
        ).start()
        try:
            server.run(sockets=[sock])
        finally:
            if worker is not None:
                worker.close()


def _tell(server: uvicorn.Server, where: str, opened: Callable[[str], None]) -> None:
    waiting = threading.Event()
    while not server.started and not server.should_exit:
        waiting.wait(0.02)
    if server.started:
        opened(where)


def rules_of(options: Options) -> Rules:
    """Return who may ask. Beyond this machine only those who have the token may; one is made where none is given."""
    if is_loopback(options.host):
        return Rules(hosts=("127.0.0.1", "localhost", "::1", options.host.lower()), token=options.token)
    token = options.token or secrets.token_urlsafe(24)
    if len(token) < 8:
        raise UsageError("--token is shorter than 8 characters; leave it out and one is made")
    named = ("localhost", socket.gethostname().lower(), socket.getfqdn().lower())
    hosts = None if options.host in ANY else (options.host.lower(),)
    return Rules(hosts=hosts, named=named, token=token)


def is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listening(options: Options) -> socket.socket:
    """Listen on the port asked for, or a free one. Raises UsageError where it is taken."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # Named, or asyncio does not see that it is TCP and leaves Nagle's algorithm on: 40 ms for each answer.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((options.host, options.port or 0))
        sock.listen(128)
    except OSError as error:
        sock.close()
        if options.port and not isinstance(error, socket.gaierror):
            said = f"--port {options.port}: {error.strerror}; leave --port out and a free one is taken"
        else:
            said = (
                f"--host {options.host}: {error.strerror}; name an address of this machine, or 0.0.0.0 for all of them"
            )
        raise UsageError(said) from None
    return sock


def address(host: str, port: int, name: str | None, token: str | None) -> str:
    """Return the address that opens the page."""
    shown = LOOPBACK if host in ANY else host
    where = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
    return where + (name or "") + (f"?token={token}" if token else "")


def elsewhere(where: str) -> str:
    """Return an address of this machine as others name it."""
    return where.replace(f"//{LOOPBACK}:", f"//{socket.gethostname()}:", 1)


def open_browser(where: str) -> None:
    """Open the address in a browser, if there is one."""
    if sys.platform.startswith("linux") and not _has_display():
        return
    webbrowser.open(where)


def _has_display() -> bool:
    import os

    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
