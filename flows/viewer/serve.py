"""Serve the viewer: find a port, report the address, and answer until interrupted."""

from __future__ import annotations

import html
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn
from starlette.types import ASGIApp

from flows.viewer import access_token, app, assets
from flows.viewer.answers.open_runs import OpenRuns
from flows.viewer.connections import Connection
from flows.viewer.model.worker import ModelWorker
from flows.viewer.security import Rules
from storage import addresses
from storage.errors import UsageError

LOOPBACK = "127.0.0.1"
ANY = ("0.0.0.0", "::")  # noqa: S104, asked for by --host
STOPS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where to listen, and what to allow; `seconds` is the time limit of a model request.

    The token is the user's lasting one unless another is given, or none is asked for.
    """

    host: str = LOOPBACK
    port: int | None = None
    token: str | None = None
    token_file: str | None = None
    asks_token: bool = True
    uploads: bool = True
    seconds: float = 60.0


def serve(store: str, name: str | None, options: Options, opened: Callable[[str], None]) -> None:
    """Answer until interrupted; call `opened` with the address once the server is up."""
    runs = OpenRuns(store)
    if name:
        run, _, version = name.partition("@")
        runs.version(run, version or "current")
    page, rules = assets.load(), rules_of(options)
    worker = ModelWorker(store, options.seconds) if options.uploads else None
    with listening(options) as sock:
        port = sock.getsockname()[1]
        application = app.make(runs, page, rules, worker)
        server = uvicorn.Server(config_of(application))
        threading.Thread(
            target=_report, args=(server, address(options.host, port, name, rules.token), opened), daemon=True
        ).start()
        try:
            server.run(sockets=[sock])
        finally:
            if worker is not None:
                worker.close()


def config_of(application: ASGIApp, **settings: Any) -> uvicorn.Config:
    """Return the settings of the web server."""
    return uvicorn.Config(
        application,
        http=Connection,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOPS,
        **settings,
    )


def _report(server: uvicorn.Server, url: str, opened: Callable[[str], None]) -> None:
    """Wait for the server to start, then call `opened`."""
    pause = threading.Event()
    while not server.started and not server.should_exit:
        pause.wait(0.02)
    if server.started:
        opened(url)


def rules_of(options: Options) -> Rules:
    """Return the access rules. A token is asked on this machine, too, as other users of it can reach the address."""
    token = token_of(options)
    if addresses.is_loopback(options.host):
        return Rules(hosts=("127.0.0.1", "localhost", "::1", options.host.lower()), token=token)
    named = ("localhost", socket.gethostname().lower(), socket.getfqdn().lower())
    hosts = None if options.host in ANY else (options.host.lower(),)
    return Rules(hosts=hosts, named=named, token=token)


def token_of(options: Options) -> str | None:
    """Return the token to ask for: that of the options, or the user's lasting one; None with --no-token."""
    if options.asks_token:
        if options.token is not None:
            return access_token.checked(options.token, "--token", "leave it out, and the user's lasting one is taken")
        return access_token.read(Path(options.token_file)) if options.token_file else access_token.lasting()
    if options.token is not None or options.token_file:
        raise UsageError("--no-token excludes a token: drop --token, --token-file and ACTLAS_TOKEN")
    if not addresses.is_loopback(options.host):
        raise UsageError(f"--no-token with --host {options.host}: anyone could read it; drop one of the two")
    return None


def listening(options: Options) -> socket.socket:
    """Listen on the given port, or a free one. Raises UsageError where it is taken."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # Without the protocol, asyncio does not recognise TCP and leaves Nagle's algorithm on: 40 ms per answer.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((options.host, options.port or 0))
        sock.listen(128)
    except OSError as error:
        sock.close()
        if options.port and not isinstance(error, socket.gaierror):
            message = f"--port {options.port}: {error.strerror}; leave --port out and a free one is taken"
        else:
            message = (
                f"--host {options.host}: {error.strerror}; name an address of this machine, or 0.0.0.0 for all of them"
            )
        raise UsageError(message) from None
    return sock


def address(host: str, port: int, name: str | None, token: str | None) -> str:
    """Return the address that opens the page."""
    name_or_ip = LOOPBACK if host in ANY else host
    base = f"http://{f'[{name_or_ip}]' if ':' in name_or_ip else name_or_ip}:{port}/"
    return base + (name or "") + (f"?token={quote(token, safe='')}" if token else "")


def elsewhere(url: str) -> str:
    """Return a loopback address with this machine's host name, for use from other machines."""
    return url.replace(f"//{LOOPBACK}:", f"//{socket.gethostname()}:", 1)


def open_browser(url: str) -> None:
    """Open the address in a browser, if there is one; by a file, since all users can read a browser's command line."""
    if sys.platform.startswith("linux") and not _has_display():
        return
    webbrowser.open(_private_way(url) if "token=" in url else url)


def _private_way(url: str) -> str:
    """Write a page that leads to an address, readable by this user alone, and return its own address."""
    place = access_token.folder() / "viewer-opens.html"
    page = f'<!doctype html><meta http-equiv="refresh" content="0; url={html.escape(url)}"><title>actlas</title>\n'
    access_token.write_private(place, page, replace=True)
    return place.as_uri()


def _has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
