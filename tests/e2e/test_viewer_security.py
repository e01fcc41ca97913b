"""What the server of the page refuses: foreign paths, methods, hosts and uploads, and whoever lacks the token."""

from __future__ import annotations

import http.client
import io
import random
import socket
import string
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from PIL import Image
from support import viewing

from flows.viewer import security, serve
from flows.viewer.model import limits
from storage.errors import UsageError

LAYER = "features.5"
API = "/api/1/runs/small/current"


def raw(
    served: viewing.Served, target: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    """Ask for a target as it is written: clients tidy it."""
    host, port = served.address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.putrequest(method, target, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
    for name, value in (headers or {}).items():
        connection.putheader(name, value)
    return _answer(connection, body)


def _answer(connection: http.client.HTTPConnection, body: bytes) -> tuple[int, dict[str, str], bytes]:
    connection.endheaders(body or None)
    answer = connection.getresponse()
    found = (answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    connection.close()
    return found


def traversals() -> list[str]:
    """Three hundred ways to ask for a file that is not ours, wherever a word of ours is expected."""
    steps = [
        "../",
        "..%2f",
        "%2e%2e/",
        "%2e%2e%2f",
        "..%5c",
        "..\\",
        "....//",
        "..%252f",
        "%c0%ae%c0%ae/",
        "..;/",
        "/%2e%2e/",
        "%00../",
    ]
    files = ["etc/passwd", "etc%2fpasswd", "proc/self/environ", "manifest.json", "runs/small/1.json"]
    places = [
        "/{}",
        "/assets/{}",
        "/small/atlas/{}",
        "/small/image/{}",
        f"{API}/{{}}",
        "/pictures/small/current/{}",
        "/api/1/runs/{}",
        "/api/1/runs/small/{}",
        f"{API}/cells?layer={{}}&grid=4",
        "/pictures/small/{}/tile?layer=features.5&grid=4&level=8&x=0&y=0",
        f"/pictures/small/current/tile?layer={LAYER}&grid=4&level=8&x={{}}&y=0",
        f"/pictures/small/current/patch?layer={LAYER}&unit=3&sign={{}}&rank=0",
    ]
    made = [place.format(step * deep + file) for place in places for step in steps for file in files for deep in (1, 4)]
    return random.Random(0).sample(sorted({target for target in made if not set(target) & set(string.whitespace)}), 300)


def test_no_parameter_reaches_a_path(served: viewing.Served) -> None:
    for target in traversals():
        status, _, body = raw(served, target)
        assert status in (400, 404), target
        assert b"root:" not in body, target


def test_mutant_a_path_from_a_parameter_is_seen(tmp_path: Path) -> None:
    """A server that joins what it is asked for to a folder gives away files to these payloads."""
    (tmp_path / "open" / "deep").mkdir(parents=True)
    (tmp_path / "manifest.json").write_text("root:")

    async def careless(scope: Any, receive: Any, send: Any) -> None:
        asked = tmp_path / "open" / "deep" / scope["path"].rpartition("assets/")[2]
        found = asked.read_bytes() if "\0" not in scope["path"] and asked.is_file() else b""
        await send({"type": "http.response.start", "status": 200 if found else 404, "headers": []})
        await send({"type": "http.response.body", "body": found})

    with viewing.running(careless) as address:
        served = viewing.Served(address, tmp_path, tmp_path)
        bodies = [raw(served, target)[2] for target in traversals() if target.startswith("/assets/")]
    assert any(b"root:" in body for body in bodies)


def test_every_answer_carries_the_headers(served: viewing.Served) -> None:
    for target in (
        "/",
        "/small/atlas/features.5",
        API,
        "/nobody",
        "/assets/none",
        "/pictures/small/current/photo?id=1",
    ):
        _, headers, _ = raw(served, target)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_only_reading_is_understood(served: viewing.Served) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "POST"):
        status, headers, _ = raw(served, f"{API}/cells", method)
        assert (status, headers["allow"]) == (405, "GET, HEAD")
    status, headers, body = raw(served, API, "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 100


def test_an_upload_is_sent_and_not_read(served: viewing.Served) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "PUT"):
        status, headers, _ = raw(served, f"{API}/locate?layer={LAYER}&grid=4", method)
        assert (status, headers["allow"]) == (405, "POST")


def test_an_upload_that_does_not_arrive_is_given_up(served: viewing.Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ARRIVES", 0.2)
    where = f"{API}/locate?layer={LAYER}&grid=4"
    status, _, body = raw(served, where, "POST", {"Content-Length": "1000"}, b"\x89PNG")
    assert (status, b"did not arrive" in body) == (400, True)


def test_a_foreign_host_is_refused(served: viewing.Served) -> None:
    port = served.address.rpartition(":")[2]
    for host, status in {
        "evil.example": 400,
        f"127.0.0.1:{port}": 200,
        f"localhost:{port}": 200,
        f"evil.example:{port}": 400,
        "": 400,
        f"[::1]:{port}": 200,
    }.items():
        assert raw(served, API, headers={"Host": host})[0] == status, host


def test_a_token_opens_the_viewer(served: viewing.Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    rules = serve.rules_of(serve.Options(host="0.0.0.0"))
    assert rules.token
    assert rules.knows("192.168.1.4:8000")
    assert rules.knows(f"{socket.gethostname()}:8000")
    assert not rules.knows("evil.example")
    with pytest.raises(UsageError, match="token"):
        serve.rules_of(serve.Options(host="0.0.0.0", token="short"))
    with viewing.serving(served.store, uploads=False, token="open sesame") as address:
        assert httpx.get(address + API).status_code == 401
        assert httpx.get(address + API, headers={"Authorization": "Bearer open sesame"}).status_code == 200
        assert httpx.get(address + API, headers={"Authorization": "Bearer open"}).status_code == 401
        with httpx.Client(follow_redirects=True) as client:
            opened = client.get(f"{address}/small?token=open%20sesame")
            assert opened.url.query == b""
            assert client.get(address + API).status_code == 200
            closed = httpx.get(f"{address}/small", headers={"Accept": "text/html,*/*"})
            assert (closed.status_code, "open the address that it printed" in closed.text) == (401, True)
            assert closed.headers["content-type"].startswith("text/html")
            with viewing.serving(served.store, uploads=False, token="another word") as second:
                assert client.get(f"{second}/small?token=another+word").status_code == 200
                assert client.get(address + API).status_code == 200
                assert client.get(second + API).status_code == 200


def test_a_host_that_is_not_here_is_named() -> None:
    with pytest.raises(UsageError, match=r"--host nowhere\.invalid: .*; name an address of this machine"):
        serve.listening(serve.Options(host="nowhere.invalid"))
    assert (
        serve.elsewhere("http://127.0.0.1:80/?token=127.0.0.1") == f"http://{socket.gethostname()}:80/?token=127.0.0.1"
    )


def picture(side: int = 40) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(3).integers(0, 255, (side, side, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


def test_uploads_are_bounded(served: viewing.Served) -> None:
    where = f"{API}/locate?layer={LAYER}&grid=4"

    def send(data: bytes, **headers: str) -> httpx.Response:
        return httpx.post(served.address + where, content=data, headers=headers, timeout=240)

    assert send(b"").status_code == 400
    assert send(b"<svg xmlns='http://www.w3.org/2000/svg'/>", **{"Content-Type": "image/png"}).status_code == 400
    assert send(b"\x89PNG\r\n\x1a\n" + b"\0" * 200).status_code == 400
    assert send(picture()[:-30]).status_code == 400
    assert send(b"\xff\xd8\xff" + b"\0" * (17 << 20)).status_code == 400
    assert send(picture(), **{"Origin": "http://evil.example"}).status_code == 403
    assert send(picture(), **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert (
        httpx.post(f"{served.address}{API}/locate", params={"layer": "none", "grid": 4}, content=picture()).status_code
        == 404
    )
    assert (
        httpx.post(f"{served.address}{API}/locate", params={"layer": LAYER, "grid": 5}, content=picture()).status_code
        == 404
    )
    with viewing.serving(served.store, uploads=False) as address:
        refused = httpx.post(address + where, content=picture())
        assert (refused.status_code, "--no-uploads" in refused.json()["error"]) == (403, True)


def test_hosts_are_names_and_not_parts_of_names() -> None:
    rules = security.Rules(hosts=("127.0.0.1", "localhost", "::1"))
    for good in ("127.0.0.1", "127.0.0.1:80", "localhost:9", "[::1]:8", "LOCALHOST"):
        assert rules.knows(good), good
    for bad in (
        "localhost.evil.example",
        "evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1:80:80",
        "",
        "localhost@evil",
        quote("localhost/"),
    ):
        assert not rules.knows(bad), bad
