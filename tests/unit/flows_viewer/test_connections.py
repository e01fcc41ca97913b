"""Requests that are sent by halves are closed in time; those that are slow to be answered are not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from support import viewing

from flows.viewer import connections

HALVES = {
    "nothing": b"",
    "half a line": b"GET / HT",
    "half a head": b"GET / HTTP/1.1\r\nHost: a\r\n",
    "half a second request": b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n",
    "a body that is not read": b"POST /fast HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
    "a chunk that is not read": b"POST /fast HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
}


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once, after the body, or after longer than a request may take to arrive."""
    path = scope["path"]
    body = await Request(scope, receive).body() if path == "/body" else b""
    if path == "/slow":
        await asyncio.sleep(1.2)
    await PlainTextResponse(f"{path} {len(body)}")(scope, receive, send)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "ARRIVES", 0.5)
        with viewing.running(answer) as address:
            yield int(address.rpartition(":")[2])


def closes(port: int, sent: bytes, *, drip: bytes = b"") -> bool:
    """Tell whether the server closes the connection within a few times its limit, however often a byte comes."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(sent)
        connection.settimeout(0.1)
        for _ in range(30):
            try:
                if not connection.recv(65536):
                    return True
            except TimeoutError:
                with contextlib.suppress(OSError):
                    connection.sendall(drip)
            except ConnectionError:
                return True
    return False


@pytest.mark.parametrize("drip", [b"", b"x"], ids=["silent", "dripping"])
@pytest.mark.parametrize("half", HALVES)
def test_half_a_request_is_closed(port: int, half: str, drip: bytes) -> None:
    if drip and half == "a chunk that is not read":
        drip = b""  # after three more bytes it is whole
    assert closes(port, HALVES[half], drip=drip)


@pytest.mark.parametrize(
    ("head", "body", "expected"), [("GET /slow", b"", "/slow 0"), ("POST /body", b"x" * 100_000, "/body 100000")]
)
def test_a_whole_request_is_answered_however_long_it_takes(port: int, head: str, body: bytes, expected: str) -> None:
    """The route, which reads the body, has its own limit of time."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"{head} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        for start in range(0, len(body), 20_000):
            time.sleep(0.15)
            connection.sendall(body[start : start + 20_000])
        text = ""
        while not text.endswith(expected) and (part := connection.recv(65536)):
            text += part.decode()
        assert text.endswith(expected)


def test_mutant_without_the_limit_half_a_request_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ARRIVES", 60.0)
    with viewing.running(answer) as address:
        assert not closes(int(address.rpartition(":")[2]), HALVES["half a head"])
