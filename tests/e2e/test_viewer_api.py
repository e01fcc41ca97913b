"""The interface behind the page: what it answers, what it refuses, and that answers are those of the queries."""

from __future__ import annotations

import http.client
import io
import json
import random
import shutil
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

from flows.questions import cells as cell_answers
from flows.questions import classes, patches
from flows.viewer import security, serve
from flows.viewer.model import limits
from storage.errors import UsageError
from storage.run import open_run

LAYER = "features.5"
API = "/api/1/runs/small/current"


@pytest.fixture
def ask(served: viewing.Served) -> Any:
    def get(path: str, **parameters: Any) -> httpx.Response:
        return httpx.get(served.address + path, params=parameters or None)

    return get


def test_answers_are_those_of_the_queries(ask: Any, served: viewing.Served) -> None:
    run = open_run(served.store, "small")
    cells = run.cells(LAYER, 4)
    columns = ask(f"{API}/cells", layer=LAYER, grid=4).json()
    assert columns["row"] == cells.row.tolist()
    assert columns["count"] == cells.count.tolist()
    details = ask(f"{API}/details", layer=LAYER, grid=4).json()
    assert np.allclose(details["cosine"], cells.cosine, rtol=1e-4)
    assert np.allclose(details["coherence"], cells.coherence, rtol=1e-4)
    facts = run.cell_facts(LAYER, 4)
    for i, rows in enumerate(details["classes"]):
        assert [row[0] for row in rows] == [c for c in facts.classes[i, :3].tolist() if c >= 0]
        assert np.allclose([row[1] for row in rows], facts.class_mean[i, : len(rows)], rtol=1e-2, atol=1e-6)
        assert np.allclose([row[2] for row in rows], facts.class_share[i, : len(rows)], atol=1e-3)
    row, col = int(cells.row[4]), int(cells.col[4])
    told, known = (
        ask(f"{API}/cell", layer=LAYER, grid=4, row=row, col=col).json(),
        cell_answers.cell(run, LAYER, 4, row, col),
    )
    assert told["count"] == known["count"]
    assert [unit["unit"] for unit in told["units"]] == [unit["unit"] for unit in known["units"]]
    assert [row["class"] for row in told["classes"]] == [row["class"] for row in known["classes"]]
    assert [m["image_id"] for m in told["members"]] == [m["image_id"] for m in known["members"]]
    of = ask(f"{API}/class", layer=LAYER, grid=4, of="2").json()
    assert np.allclose(of["mean"], [cell["mean"] for cell in classes.class_map(run, LAYER, 4, "2")["cells"]], rtol=1e-4)
    unit = ask(f"{API}/unit", layer=LAYER, unit=3).json()
    top = patches.top(run, LAYER, 3)
    assert [p["image_id"] for p in unit["positive"]["patches"]] == [p["image_id"] for p in top["patches"]]
    strongest = unit["cells"]["strongest"][0]
    assert np.isclose(strongest["mean"], cells.mean[:, 3].max(), rtol=1e-3)


def test_labels_of_cells_by_hand(ask: Any, served: viewing.Served) -> None:
    run = open_run(served.store, "small")
    cells, samples = run.cells(LAYER, 4), run.samples(LAYER)
    label = dict(zip(*(run.images()[name].to_pylist() for name in ("image_id", "label")), strict=True))
    told = ask(f"{API}/labels", layer=LAYER, grid=4).json()
    for i, rows in enumerate(told["cells"]):
        members = cells.members[cells.offsets[i] : cells.offsets[i + 1]]
        found = [label[int(image)] for image in samples.image_id[members]]
        for place, share in rows:
            assert share == pytest.approx(found.count(told["labels"][place]) / len(found), abs=1e-3)


def test_pictures_are_those_that_are_stored(ask: Any, served: viewing.Served) -> None:
    run = open_run(served.store, "small")
    cells = run.cells(LAYER, 4)
    row, col = int(cells.row[7]), int(cells.col[7])
    icon = ask("/pictures/small/current/icon", layer=LAYER, grid=4, row=row, col=col)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(icon.content))), cells.icon[7])
    sheet = np.asarray(
        Image.open(io.BytesIO(ask("/pictures/small/current/icons", layer=LAYER, grid=4, y=0, x=0).content))
    )
    side = cells.icon.shape[1]
    cut = sheet[row * side : (row + 1) * side, col * side : (col + 1) * side].astype(int)
    assert np.abs(cut - cells.icon[7]).mean() < 12
    patch = ask("/pictures/small/current/patch", layer=LAYER, unit=3, sign="positive", rank=1)
    assert (patch.content, patch.headers["content-type"]) == (run.thumbnails(LAYER, 3)[1], "image/jpeg")
    tile = ask("/pictures/small/current/tile", layer=LAYER, grid=4, level=7, x=0, y=0)
    assert tile.content == run.result("tiles", LAYER, 4).file("atlas_files/7/0_0.webp").read_bytes()
    for kind, more in {"synthetic": {}, "gradient": {"rank": 0}, "crop": {"part": 9, "example": 0}}.items():
        assert ask(f"/pictures/small/current/{kind}", layer=LAYER, unit=3, **more).status_code == 200
    assert ask("/pictures/small/current/photo", id=3).headers["content-type"] == "image/webp"
    assert ask("/pictures/small/current/faces", layer=LAYER, block=0).status_code == 200


def test_addresses_with_the_hash_last_for_ever_and_others_are_asked_again(ask: Any) -> None:
    tag, whole = (ask(API).json()[name] for name in ("tag", "address"))
    lasting = ask(f"/api/1/runs/small/{whole}/cells", layer=LAYER, grid=4)
    assert "immutable" in lasting.headers["cache-control"]
    assert ask(f"{API}/cells", layer=LAYER, grid=4).headers["cache-control"] == "no-cache"
    assert (
        ask(f"/api/1/runs/small/{tag[:-1]}{'0' if tag[-1] != '0' else '1'}/cells", layer=LAYER, grid=4).status_code
        == 404
    )
    assert lasting.headers["actlas-current"] == "1"


def test_a_new_version_is_told_and_never_mixed_in(served: viewing.Served, tmp_path: Path) -> None:
    store = shutil.copytree(served.store, tmp_path / "store")
    with viewing.serving(store, uploads=False) as address:
        first = httpx.get(f"{address}{API}").json()["tag"]
        assert viewing.another_version(store) == 2
        asked = {"layer": LAYER, "grid": 4}
        again = httpx.get(f"{address}/api/1/runs/small/{first}/cells", params=asked)
        assert (again.status_code, again.headers["actlas-version"], again.headers["actlas-current"]) == (
            200,
            first,
            "2",
        )
        second = httpx.get(f"{address}{API}").json()["tag"]
        assert second.startswith("2-")
        assert httpx.get(f"{address}/api/1/runs/small/{second}/cells", params=asked).status_code == 404
        assert httpx.get(f"{address}/pictures/small/{second}/icons", params=asked | {"y": 0, "x": 0}).status_code == 404


@pytest.mark.parametrize(
    ("path", "parameters", "status", "named"),
    [
        ("/api/1/runs/nobody/current", {}, 404, "small"),
        ("/api/1/runs/small/9", {}, 404, "9"),
        (f"{API}/cells", {"layer": "features.9", "grid": 4}, 404, "features.2, features.5"),
        (f"{API}/cells", {"layer": LAYER, "grid": 7}, 404, "it has 2, 4"),
        (f"{API}/cells", {"layer": LAYER, "grid": "many"}, 400, "grid"),
        (f"{API}/cells", {"layer": LAYER}, 400, "grid"),
        (f"{API}/cell", {"layer": LAYER, "grid": 4, "row": 9, "col": 9}, 404, "no cell"),
        (f"{API}/unit", {"layer": LAYER, "unit": 99}, 404, "0 to 11"),
        (f"{API}/unit", {"layer": LAYER, "unit": -1}, 400, "unit"),
        (f"{API}/class", {"layer": LAYER, "grid": 4, "of": "cat"}, 404, "cat"),
        (f"{API}/image", {"id": 4000}, 404, "0 to 39"),
        ("/pictures/small/current/tile", {"layer": LAYER, "grid": 4, "level": 8, "x": 7, "y": 0}, 404, "no tile"),
        ("/pictures/small/current/patch", {"layer": LAYER, "unit": 3, "sign": "up", "rank": 0}, 404, "up"),
    ],
)
def test_wrong_questions_get_one_line(ask: Any, path: str, parameters: dict[str, Any], status: int, named: str) -> None:
    answer = ask(path, **parameters)
    assert answer.status_code == status
    assert named in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_the_page_has_an_address_for_what_is_there(ask: Any) -> None:
    there = [
        "/",
        "/small",
        "/small@1/atlas/features.5",
        "/small/units/features.2",
        "/small/unit/features.5:3",
        "/small/run",
        "/small/image/5",
        "/api",
    ]
    assert {path: ask(path).status_code for path in there} == dict.fromkeys(there, 200)
    gone = [
        "/nobody",
        "/small@7/run",
        "/small/atlas/features.9",
        "/small/unit/features.5:12",
        "/small/image/40",
        "/small/what",
        "/small/run/x/y",
    ]
    assert {path: ask(path).status_code for path in gone} == dict.fromkeys(gone, 404)


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


def test_an_image_that_is_sent_is_located(served: viewing.Served) -> None:
    image = sorted(served.images.rglob("*.png"))[3].read_bytes()
    answer = httpx.post(
        served.address + API + "/locate", params={"layer": LAYER, "grid": 4}, content=image, timeout=240
    )
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert len(told["positions"]) == told["height"] * told["width"]
    run = open_run(served.store, "small")
    found = next(row for row in run.images().to_pylist() if Path(row["path"]).read_bytes() == image)
    samples = run.samples(LAYER)
    cells = run.cells(LAYER, 4)
    for sample in np.flatnonzero(samples.image_id == found["image_id"]):
        i = int(np.searchsorted(cells.offsets, np.flatnonzero(cells.members == sample)[0], side="right")) - 1
        at = next(p for p in told["positions"] if (p["y"], p["x"]) == (samples.y[sample], samples.x[sample]))
        assert at["cell"] == [cells.row[i], cells.col[i]]


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


def test_the_description_is_of_this_interface(ask: Any) -> None:
    described = ask("/api/1/openapi.json").json()
    assert "/api/1/runs/{name}/{version}/cells" in described["paths"]
    assert all("4XX" in told["responses"] for path in described["paths"].values() for told in path.values())
    assert "HTTPValidationError" not in json.dumps(described)


def test_answers_do_not_wait_for_one_another() -> None:
    """Asyncio turns Nagle's algorithm off, but only of sockets that say they are TCP."""
    with serve.listening(serve.Options()) as sock, socket.create_connection(sock.getsockname()):
        accepted, _ = sock.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP


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
