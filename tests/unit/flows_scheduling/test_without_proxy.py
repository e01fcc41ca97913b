"""Requests of ours to this machine take no proxy, whatever the environment names; downloads of users keep theirs."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from prefect._internal.websockets import websocket_connect
from prefect.client.orchestration import get_client

from flows.scheduling import without_proxy
from storage.errors import UsageError

ODD = {
    "HTTP_PROXY": "foo://me:s3cret@host",
    "HTTPS_PROXY": ":",
    "ALL_PROXY": "socks5://me:s3cret@host:1",
    "all_proxy": "http://me:s3cret@host:port",
}
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@contextmanager
def answering() -> Iterator[tuple[str, list[str]]]:
    """A server that answers everything; yield its address, and the targets that it has been asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def ask(address: str) -> None:
    """Ask a server in all ways that we have: a look whether it is well, and Prefect's clients."""
    assert without_proxy.is_well(address, timeout=5)
    with without_proxy.to(address), get_client(sync_client=True) as client:
        assert client.api_healthcheck() is None


def test_a_server_here_is_asked_without_the_proxy_that_downloads_take(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering() as (server, asked), answering() as (proxy, handed_on):
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        ask(f"{server}/api")
        assert set(asked) == {"/api/health"}
        assert handed_on == []
        with without_proxy.to(f"{server}/api"):
            httpx.get(f"{server}/photo.jpg")
            httpx.get("http://photos.invalid/photo.jpg")
        assert handed_on == [f"{server}/photo.jpg", "http://photos.invalid/photo.jpg"]


@pytest.mark.parametrize(("variable", "proxy"), ODD.items())
def test_an_odd_proxy_matters_to_no_server_here_and_is_named_for_another(
    variable: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, proxy)
    with answering() as (server, _):
        ask(server)
    with (
        pytest.raises(UsageError, match=rf"^{variable} .*--engine inline") as refused,
        without_proxy.to("http://server:1/api"),
    ):
        pass
    assert "me" not in str(refused.value).split()
    assert "s3cret" not in str(refused.value)


def test_an_odd_list_of_hosts_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    without_proxy.check_proxies()
    monkeypatch.setenv("NO_PROXY", "localhost,[::1]:80:80")
    with pytest.raises(UsageError, match=r"^NO_PROXY "):
        without_proxy.check_proxies()


def test_events_and_logs_take_no_proxy_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    without_proxy.make_direct()
    ways = {address: websocket_connect(f"ws://{address}/api").proxy for address in ("127.0.0.1:1", "[::1]:1", "host:1")}
    assert ways == {"127.0.0.1:1": None, "[::1]:1": None, "host:1": True}


def test_mutant_a_client_of_httpx_takes_the_proxy_and_fails_with_an_odd_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "foo://me:s3cret@host")
    with pytest.raises(ValueError, match="Unknown scheme"), answering() as (server, _):
        httpx.get(server)
