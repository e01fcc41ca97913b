"""The interface behind the page: its answers are those of the queries, and a wrong question gets one line."""

from __future__ import annotations

import io
import json
import shutil
import socket
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from support import viewing

from flows.questions import cells as cell_answers
from flows.questions import classes, patches
from flows.viewer import serve
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
