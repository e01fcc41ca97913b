"""What becomes of a question: kept for ever, kept until it changes, shared, refused, given up, failed."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import viewing
from support.prefect_server import wait_for

from flows.viewer.answers import build_id, errors, moved
from flows.viewer.model import child, limits, worker
from flows.viewer.model.requests import Requests
from storage.run import open_run

LAYER = "features.5"
API = "/api/1/runs/small/current"
CELLS = {"layer": LAYER, "grid": 4}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    images, store = viewing.shared_run(tmp_path_factory)
    with viewing.serving(store, seconds=240) as address:
        yield viewing.Served(address, store, images)


def test_only_what_this_software_says_of_this_version_lasts(served: viewing.Served) -> None:
    about = httpx.get(served.address + API).json()
    assert about["address"] == f"{about['tag']}-{build_id.digest()}"

    def lasts(version: str, kind: str = "cells", **asked: Any) -> bool:
        where = f"{served.address}/api/1/runs/small/{version}/{kind}"
        return "immutable" in httpx.get(where, params=asked or CELLS).raise_for_status().headers["cache-control"]

    assert lasts(about["address"])
    assert not lasts(about["tag"])
    assert not lasts(f"{about['tag']}-00000000")
    # The noise that arrows are told from is measured later, by somebody who may write.
    assert not lasts(about["address"], "moved", layer=LAYER, since=f"small@{about['tag']}")


def test_other_code_is_another_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = build_id.digest()
    (tmp_path / "flows").mkdir()
    monkeypatch.setattr(build_id, "ROOT", tmp_path)
    found = set()
    for line in ("a = 1", "a = 2"):
        (tmp_path / "flows" / "one.py").write_text(line)
        build_id.digest.cache_clear()
        found.add(build_id.digest())
    assert len(found | {known}) == 3
    monkeypatch.undo()
    build_id.digest.cache_clear()
    assert build_id.digest() == known


def test_an_answer_that_is_known_is_not_sent_again_and_a_wrong_question_is_still_wrong(served: viewing.Served) -> None:
    for where, asked in ((f"{API}/cells", CELLS), ("/pictures/small/current/thumbnail", {"id": 3})):
        first = httpx.get(served.address + where, params=asked)
        etag = first.headers["etag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}'):
            again = httpx.get(served.address + where, params=asked, headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert httpx.get(served.address + where, params=asked, headers={"If-None-Match": '"o"'}).content
        wrong = dict.fromkeys(asked, 9999) | ({"layer": LAYER} if "layer" in asked else {})
        refused = httpx.get(served.address + where, params=wrong, headers={"If-None-Match": etag})
        assert refused.status_code == 404


def test_an_address_of_data_that_is_not_there_is_answered_for_programs(served: viewing.Served) -> None:
    for where in (
        "/api/1/nothing",
        "/api/2/runs",
        "/pictures/small",
        "/pictures/small/current/none",
        "/assets/none.js",
    ):
        answer = httpx.get(served.address + where)
        assert (answer.status_code, list(answer.json())) == (404, ["error"]), where
    assert httpx.get(f"{served.address}/nobody").headers["content-type"].startswith("text/html")


def test_an_address_with_a_token_leads_to_the_same_without_it_and_nowhere_else(served: viewing.Served) -> None:
    with viewing.serving(served.store, uploads=False, token="open sesame") as address:

        def leads_to(target: str) -> str:
            return str(httpx.get(f"{address}{target}token=open+sesame").headers["location"])

        assert (
            leads_to("/small/atlas/a%20b%3Ac?class=a%26b&grid=4&cell=1,2&")
            == "/small/atlas/a%20b%3Ac?class=a%26b&grid=4&cell=1,2"
        )
        assert leads_to("/?") == "/"
        for evil in ("//evil.example/?", "///evil.example?", "/\\evil.example?"):
            assert leads_to(evil).startswith("/evil.example"), evil


def serve_faults(store: str, pipe: Any) -> None:
    """Stand in for a model that fails, in a way that has nothing to do with what was asked."""

    def fail(*_: Any) -> None:
        raise RuntimeError("planted in /home/somebody")

    child.handlers = lambda: {"locate": (lambda *_: None, fail)}  # in a process of its own
    child.serve(store, pipe)


def test_a_model_that_fails_is_a_fault_of_the_server(
    served: viewing.Served, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], spawned: None
) -> None:
    monkeypatch.setattr(child, "serve", serve_faults)
    with viewing.serving(served.store) as address:
        answer = locate(address, id=3)
    assert (answer.status_code, "failed" in answer.json()["error"]) == (500, True)
    assert "/home/" not in answer.text
    assert "planted in /home/somebody" in capfd.readouterr().err


def locate(address: str, **asked: Any) -> httpx.Response:
    return httpx.post(f"{address}{API}/locate", params=CELLS | asked, timeout=240)


def explain(address: str, **asked: Any) -> httpx.Response:
    return httpx.post(f"{address}{API}/explain", params={"layer": LAYER} | asked, timeout=240)


def test_an_image_that_is_gone_changed_or_broken_is_not_found(served: viewing.Served, tmp_path: Path) -> None:
    images = Path(shutil.copytree(served.images, tmp_path / "secret-place"))
    broken = images / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
    store = tmp_path / "store"
    viewing.make_run(images, store, extras=())
    rows = {Path(row["path"]).name: row["image_id"] for row in open_run(store, "small").images().to_pylist()}
    gone, changed, *_ = sorted(name for name in rows if name != broken.name)
    next(images.rglob(gone)).unlink()
    next(images.rglob(changed)).write_bytes(b"no picture any more")
    with viewing.serving(store, seconds=240) as address:
        for name in (gone, changed, broken.name):
            for asked in (locate, explain):
                answer = asked(address, id=rows[name])
                assert answer.status_code == 404, (name, answer.text)
                assert "secret-place" not in answer.text
                assert f"image {rows[name]} of small" in answer.text
            picture = httpx.get(f"{address}/pictures/small/current/photo", params={"id": rows[name]})
            assert (picture.status_code, "secret-place" in picture.text) == (404, False)
        shutil.rmtree(images)
        assert locate(address, id=rows["broken.png"]).status_code == 404


def test_many_who_ask_the_same_are_answered_once(served: viewing.Served, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        worker.ModelWorker, "ask", lambda self, *what: asked.append(what) or time.sleep(1) or {"is": "so"}
    )
    with viewing.serving(served.store) as address, ThreadPoolExecutor(16) as pool:

        def links(_: int) -> httpx.Response:
            where = f"{address}{API}/links"
            return httpx.post(where, params={"layer": "features.2", "unit": 2}, timeout=60)

        assert {answer.json()["is"] for answer in pool.map(links, range(16))} == {"so"}
    assert len(asked) == 1


def test_who_leaves_frees_the_place_if_nobody_else_waits(
    served: viewing.Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five may be there: six who leave, one after another, would otherwise leave no place for the seventh."""
    monkeypatch.setattr(child, "serve", serve_slowly)
    with viewing.serving(served.store) as address:
        for _ in range(6):
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{address}{API}/explain", params={"layer": LAYER, "id": 3}, timeout=0.3)
        assert explain(address, id=3).json() == "explain"


def test_a_quick_question_that_nobody_waits_for_keeps_its_process_for_a_while() -> None:
    """What ends the process costs the next one the model's loading; what never ends is not waited for."""
    for grace, kept in ((60.0, True), (0.0, False)):
        asked = worker.ModelWorker("", 60, serve=serve_slowly, grace=grace)
        left = threading.Event()
        left.set()
        try:
            asked.ask("first", {}, b"")
            process = asked._child[0] if asked._child else None
            late = threading.Event()
            threading.Timer(0.1, late.set).start()
            if kept:
                assert asked.ask("slow", {}, b"", late) == "slow"
            else:
                with pytest.raises(errors.Busy):
                    asked.ask("slow", {}, b"", late)
            assert process is not None
            assert process.is_alive() is kept
            with pytest.raises(errors.Busy, match="disconnected"):
                asked.ask("first", {}, b"", left)
        finally:
            asked.close()


def serve_slowly(store: str, pipe: Any) -> None:
    while True:
        question, *_ = pipe.recv()
        pipe.send((child.ANSWERING, None))
        time.sleep({"slow": 0.5, "explain": 1.0}.get(question, 0))
        pipe.send((True, question))


def test_too_many_comparisons_and_pictures_at_once_are_turned_away(
    served: viewing.Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = httpx.get(served.address + API).json()["tag"]
    monkeypatch.setattr(moved, "WAITING", threading.BoundedSemaphore(1))
    with moved.WAITING:
        full = httpx.get(f"{served.address}{API}/moved", params={"layer": LAYER, "since": f"small@{tag}"})
    assert (full.status_code, "too many comparisons" in full.json()["error"]) == (429, True)
    assert full.headers["retry-after"] == "1"
    monkeypatch.setattr(limits, "READ_AT_ONCE", 0)
    with viewing.serving(served.store) as address:
        full = httpx.post(f"{address}{API}/locate", params=CELLS, content=b"\x89PNG")
    assert (full.status_code, "too many pictures" in full.json()["error"]) == (429, True)


def test_slow_uploads_hold_up_no_question_that_brings_none(
    served: viewing.Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "serve", serve_slowly)
    monkeypatch.setattr(limits, "READ_AT_ONCE", 2)
    head = f"POST {API}/locate?layer={LAYER}&grid=4 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n"
    with viewing.serving(served.store) as address, contextlib.ExitStack() as stack:
        host, port = address.removeprefix("http://").split(":")
        for _ in range(2):
            connection = stack.enter_context(socket.create_connection((host, int(port))))
            connection.sendall(head.encode() + b"\x89PNG")
        wait_for(
            lambda: httpx.post(f"{address}{API}/locate", params=CELLS, content=b"\x89PNG").status_code == 429,
            20,
            "both uploads to be read",
        )
        assert locate(address, id=3).json() == "locate"
        both = httpx.post(f"{address}{API}/locate", params=CELLS | {"id": 3}, content=b"\x89PNG")
        assert (both.status_code, "not both" in both.json()["error"]) == (400, True)


class Here:
    """Somebody who asks and stays."""

    async def is_disconnected(self) -> bool:
        return False


def test_who_waits_in_loops_of_their_own_share_an_answer_too() -> None:
    """As in a notebook, where each request has its own."""
    asked, start = Requests(), threading.Barrier(4)
    made = []

    def work(_: threading.Event) -> bytes:
        time.sleep(0.5)
        made.append(1)
        return b"so"

    def ask(_: int) -> bytes:
        start.wait()
        return asyncio.run(asked.ask("a", work, Here()))  # type: ignore[arg-type]

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, range(4))) == {b"so"}
    assert made == [1]
    assert asyncio.run(asked.ask("a", work, Here())) == b"so"  # type: ignore[arg-type]
    assert made == [1, 1]
