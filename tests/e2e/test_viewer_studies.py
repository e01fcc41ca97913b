"""What the model is asked of a unit, the parts of its links and its facets; what is told of patches and libraries."""

from __future__ import annotations

import base64
import functools
import io
import json
import multiprocessing
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version as installed
from typing import Any
from urllib.parse import unquote

import httpx
import numpy as np
import pytest
from PIL import Image
from support import viewing

from flows.metrics import contrast
from flows.viewer.answers import about, cells
from flows.viewer.answers.open_runs import OpenRuns
from flows.viewer.model import child
from storage.run import open_run
from storage.store.results import Result

FIRST, LAYER = "features.2", "features.5"
API = "/api/1/runs/small/current"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    images, store = viewing.shared_run(tmp_path_factory)
    with viewing.serving(store, seconds=240) as address:
        yield viewing.Served(address, store, images)


def study(address: str, kind: str, layer: str, unit: int, **how: Any) -> httpx.Response:
    return httpx.post(f"{address}{API}/{kind}", params={"layer": layer, "unit": unit}, **({"timeout": 240} | how))


def are_the_parts(told: dict[str, Any], rows: list[dict[str, Any]]) -> bool:
    """Tell whether the effects of the patches have the mean and the agreement that the run keeps."""
    effects = {row["unit"]: np.array(row["effects"]) for row in told["links"]}
    if sorted(effects) != sorted(row["later_unit"] for row in rows):
        return False
    return all(
        np.isclose(effects[row["later_unit"]].mean(), row["influence"], rtol=1e-2, atol=1e-6)
        and np.isclose(
            (np.sign(effects[row["later_unit"]]) == np.sign(row["influence"])).mean(), row["agreement"], atol=1e-3
        )
        for row in rows
    )


def test_links_are_the_parts_of_what_the_run_keeps(served: viewing.Served) -> None:
    run = open_run(served.store, "small")
    told = {unit: study(served.address, "links", FIRST, unit).json() for unit in (1, 3)}
    rows = {unit: run.influence(FIRST, unit).to_pylist() for unit in (1, 3)}
    for unit in (1, 3):
        assert are_the_parts(told[unit], rows[unit])
        assert len(told[unit]["patches"]) == rows[unit][0]["patches"]
    assert not are_the_parts(told[1], rows[3])


@pytest.mark.parametrize("kind", ["links", "facets"])
def test_a_study_is_posted_by_our_own_pages_and_can_be_switched_off(served: viewing.Served, kind: str) -> None:
    asked = f"{served.address}{API}/{kind}?layer={FIRST}&unit=3"
    assert (httpx.get(asked).status_code, httpx.get(asked).headers["allow"]) == (405, "POST")
    assert httpx.post(asked, headers={"Origin": "http://evil.example"}).status_code == 403
    assert study(served.address, kind, FIRST, 99).status_code == 404
    assert study(served.address, kind, "features.9", 0).status_code == 404
    with viewing.serving(served.store, uploads=False) as address:
        refused = study(address, kind, FIRST, 3)
        assert (refused.status_code, "--no-uploads" in refused.json()["error"]) == (403, True)


def test_the_last_layer_has_no_links(served: viewing.Served) -> None:
    answer = study(served.address, "links", LAYER, 3)
    assert (answer.status_code, "influence" in answer.json()["error"]) == (404, True)


def test_facets_are_pictures_that_differ_and_are_kept(served: viewing.Served) -> None:
    told = study(served.address, "facets", LAYER, 3).json()
    drawn = [Image.open(io.BytesIO(base64.b64decode(facet["picture"]))) for facet in told["facets"]]
    assert [picture.size for picture in drawn] == [(told["side"], told["side"])] * 4
    pixels = [np.asarray(picture.convert("RGB"), np.float32) for picture in drawn]
    assert min(np.abs(pixels[i] - pixels[j]).mean() for i in range(4) for j in range(i)) > 3
    started = time.monotonic()
    assert study(served.address, "facets", LAYER, 3).json() == told
    assert time.monotonic() - started < 0.5


def test_leaving_ends_a_drawing_and_no_other_answer_waits_for_it(
    served: viewing.Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "serve_at_low_priority", viewing.serve_never)
    with viewing.serving(served.store, seconds=240) as address:
        before = len(multiprocessing.active_children())
        study(address, "links", FIRST, 1)
        waiting = threading.Thread(target=give_up, args=(address, 6.0))
        waiting.start()
        wait_for(lambda: len(multiprocessing.active_children()) == before + 2)
        assert study(address, "links", FIRST, 2).status_code == 200
        assert waiting.is_alive()
        waiting.join()
        wait_for(lambda: len(multiprocessing.active_children()) == before + 1)


def give_up(address: str, seconds: float) -> None:
    with pytest.raises(httpx.ReadTimeout):
        study(address, "facets", FIRST, 1, timeout=seconds)


def wait_for(true: Any, seconds: float = 5) -> None:
    last = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < last
        time.sleep(0.05)


def test_the_contrast_of_a_cell_is_that_of_its_patches(served: viewing.Served, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(served.store, "small")
    known = run.cells(LAYER, 4)
    place = {"layer": LAYER, "grid": 4, "row": int(known.row[0]), "col": int(known.col[0])}
    stored = run.members(*place.values())["picture"].to_pylist()
    by_hand = [np.asarray(Image.open(io.BytesIO(data)), np.float64).std(axis=(0, 1)).mean() / 255 for data in stored]
    version = OpenRuns(str(served.store)).version("small")
    told = cells.one(version, **place)
    assert told["contrast"] == pytest.approx(np.median(by_hand), abs=5e-3)
    for limit, flat in ((told["contrast"] * 1.1, True), (told["contrast"] * 0.9, False)):
        monkeypatch.setattr(contrast, "FLAT", limit)
        assert cells.one(version, **place)["flat"] is flat


def test_a_run_remembers_its_libraries(served: viewing.Served, monkeypatch: pytest.MonkeyPatch) -> None:
    told = httpx.get(f"{served.address}{API}/libraries").json()
    assert told["versions"]["torch"] == [installed("torch")]
    assert told["versions"]["actlas"] == [installed("actlas")]
    assert (told["unrecorded"], told["results"]) == (0, len(open_run(served.store, "small").version.stages))
    monkeypatch.setattr(Result, "happened", lambda result: {})
    version = OpenRuns(str(served.store)).version("small")
    assert about.libraries(version) == {"versions": {}, "results": told["results"], "unrecorded": told["results"]}


def test_intensity_fades_the_others_more_or_less(page: viewing.Page) -> None:
    shots = {}
    for asked in ("0", "40", "", "100"):
        page.goto(f"/small/atlas/{LAYER}?class=1&grid=4&intensity={asked}")
        page.see("#intensity").wait_for()
        page.settle()
        page.wait_for_timeout(300)
        shots[asked] = page.shot(".stage")
    assert len(set(shots.values())) == 4
    assert page.see("#intensity").input_value() == "100"
    page.see("#intensity").focus()
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    page.until("() => location.search.includes('intensity=40')")
    page.wait_for_timeout(300)
    page.see("#intensity").blur()
    assert page.shot(".stage") == shots["40"]
    assert page.see(".filter output").inner_text() == "40 %"
    page.see(".filter .way").nth(1).click()
    page.until("() => location.search.includes('side=against')")
    assert page.see("#intensity").input_value() == "40"
    page.see("text=Show all classes").click()
    page.until("() => !location.search.includes('intensity')")
    page.see(".map-foot").get_by_text("one cell’s average").wait_for()


@pytest.mark.parametrize(("limit", "flat"), [(2.0, True), (0.0, False)])
def test_a_cell_of_flat_patches_is_called_flat(
    chromium: Any, served: viewing.Served, monkeypatch: pytest.MonkeyPatch, limit: float, flat: bool
) -> None:
    monkeypatch.setattr(contrast, "FLAT", limit)
    with viewing.opened(chromium, served.address) as page:  # one that has not kept the other answer
        page.goto(f"/small/atlas/{LAYER}?grid=4")
        page.settle()
        page.focus(".stage")
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(600)
        page.settle()
        assert ("flat" in page.see(".card").inner_text()) is flat
        assert ("patches are flat" in page.spoken()) is flat
        page.keyboard.press("Enter")
        page.see(".panel .facts").wait_for()
        assert (", flat" in page.see(".panel .facts").inner_text()) is flat


@pytest.mark.parametrize(("unit", "words"), [(f"{FIRST}:3", "excites"), (f"{LAYER}:3", f"{LAYER}:3")])
def test_a_link_that_is_pointed_at_lights_what_carries_it(page: viewing.Page, unit: str, words: str) -> None:
    page.goto(f"/small/unit/{unit}")
    page.see(".links button").first.wait_for()
    page.settle()
    page.see(".links button").first.hover()
    page.see(".carriers .lit").first.wait_for(timeout=120_000)
    lit, all_of = page.see(".carriers .lit").count(), page.see(".carriers li").count()
    assert 1 <= lit <= all_of <= 8
    assert page.see(".carriers .dim").count() == all_of - lit
    assert words in page.see(".carried").inner_text()
    assert page.loaded(".carried img")
    first = page.see(".carried-head").inner_text()
    page.see(".links button").nth(1).focus()
    page.until(f"() => document.querySelector('.carried-head').innerText !== {first!r}")
    page.see(".carriers .lit").first.wait_for(timeout=120_000)
    assert "patches carry it" in page.spoken()


def test_a_link_is_kept_by_a_click_and_rows_merely_crossed_are_ignored(page: viewing.Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: "/links?" in request.url and asked.append(request.url))
    page.goto(f"/small/unit/{FIRST}:3")
    page.see(".carriers li").first.wait_for()
    page.settle()
    rows, head = page.see(".links button"), page.see(".carried-head")
    first = head.inner_text()
    for row in (3, 2, 1):
        box = rows.nth(row).bounding_box()
        page.mouse.move(box["x"] + 30, box["y"] + 10)
    page.mouse.move(2, 2)
    page.wait_for_timeout(500)
    assert (head.inner_text(), asked) == (first, [])
    rows.nth(1).click()
    page.until(f"() => document.querySelector('.carried-head').innerText !== {first!r}")
    kept = head.inner_text()
    rows.nth(2).hover()
    page.wait_for_timeout(500)
    assert head.inner_text() == kept
    assert page.see(".links [aria-pressed=true]").count() == 1
    assert page.path() == f"/small/unit/{FIRST}:3"
    page.see(".carriers .lit, .carriers .dim").first.wait_for(timeout=120_000)
    assert "ramed" in page.see(".carried").inner_text()
    rows.nth(1).click()
    rows.nth(2).hover()
    page.until(f"() => document.querySelector('.carried-head').innerText !== {kept!r}")
    assert page.see(".links [aria-pressed=true]").count() == 0
    patch = page.get("/api/1/runs/small/current/unit", layer=FIRST, unit="3")["positive"]["patches"][0]
    page.see(".carriers a").first.click()
    page.until(f"() => location.pathname === '/small/image/{patch['image_id']}'")
    assert unquote(page.url).endswith(f"layer={FIRST}&at={patch['y']},{patch['x']}")


def test_facets_are_drawn_when_asked_for_and_stopped(page: viewing.Page) -> None:
    page.goto(f"/small/unit/{FIRST}:5")
    page.settle()
    page.see("text=Draw four facets").click()
    page.see(".facets").get_by_text("Stop").click()
    page.see("text=Draw four facets").wait_for()
    page.see("text=Draw four facets").click()
    page.see(".facet-pictures img").nth(3).wait_for(timeout=120_000)
    assert page.loaded(".facet-pictures img")
    page.see("[rel=next]").click()
    page.see("text=About").wait_for()
    page.go_back()
    page.see(".facet-pictures img").nth(3).wait_for()


def fulfilled(answer: str, route: Any) -> None:
    route.fulfill(body=answer, content_type="application/json")


def test_the_run_says_what_it_was_made_with(page: viewing.Page) -> None:
    page.goto("/small/run")
    page.see(".libraries").wait_for()
    assert installed("zarr") in page.see(".libraries").inner_text()
    for unrecorded, words in ((3, "Not recorded for 3 of 9 results"), (9, "Not recorded: this run")):
        versions = {} if unrecorded == 9 else {"torch": ["2.0", "2.1"]}
        answer = json.dumps({"versions": versions, "results": 9, "unrecorded": unrecorded})
        page.route("**/libraries", functools.partial(fulfilled, answer))
        page.reload()
        page.see(f"text={words}").wait_for()


def test_a_link_that_cannot_be_asked_about_says_so_and_is_tried_again(page: viewing.Page) -> None:
    page.route("**/links?*", lambda route: route.fulfill(status=429, body='{"error": "too many questions at once"}'))
    page.goto(f"/small/unit/{FIRST}:6")
    page.see(".carriers li").first.wait_for()
    page.settle()
    page.see(".links button").first.hover()
    page.see(".carried").get_by_text("Too many questions at once").wait_for()
    page.unroute("**/links?*")
    page.see(".carried").get_by_text("Try again").click()
    page.see(".carriers .lit").first.wait_for(timeout=120_000)


def test_a_viewer_that_is_full_is_asked_once_more(page: viewing.Page) -> None:
    asked = []

    def full_at_first(route: Any) -> None:
        asked.append(route.request.url)
        if len(asked) > 1:
            return route.continue_()
        return route.fulfill(status=429, headers={"Retry-After": "1"}, body='{"error": "too many questions at once"}')

    page.route("**/links?*", full_at_first)
    page.goto(f"/small/unit/{FIRST}:7")
    page.see(".carriers li").first.wait_for()
    page.settle()
    page.see(".links button").first.hover()
    page.see(".carriers .lit").first.wait_for(timeout=120_000)
    assert len(asked) == 2
