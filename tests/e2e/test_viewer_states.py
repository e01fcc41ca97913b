"""At the edges: the server gone and back, pictures that are dropped or too large, answers that take too long."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from support import slow_worker, viewing

from flows.viewer.model import child, limits
from storage.store.store import Contents, Store

LAYER = "features.5"
ATLAS = f"/small/atlas/{LAYER}"
API = "/api/1/runs/small/current"
ASKED = {"locate": {"layer": LAYER, "grid": 4}, "explain": {"layer": LAYER}}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    images, store = viewing.shared_run(tmp_path_factory)
    with viewing.serving(store, seconds=240) as address:
        yield viewing.Served(address, store, images)


def post(address: str, question: str, content: Any) -> httpx.Response:
    return httpx.post(f"{address}{API}/{question}", params=ASKED[question], content=content, timeout=240)


def plain(width: int, height: int) -> bytes:
    """Return a picture of one colour: many pixels in few bytes."""
    out = io.BytesIO()
    Image.new("1", (width, height)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("question", ASKED)
def test_too_many_pixels_or_bytes_are_refused_in_one_line(served: viewing.Served, question: str) -> None:
    assert limits.PIXELS_MOST == 40_000_000
    large = plain(8000, 5001)
    assert len(large) < 100_000
    many = post(served.address, question, large)
    said = "this image can't be used: 8,000 × 5,001 pixels, more than 40,000,000"
    assert (many.status_code, many.json()) == (400, {"error": said})
    padded = b"\x89PNG\r\n\x1a\n" + b"\0" * (limits.LARGEST - 7)
    for sent in (padded, iter([padded])):  # with its length told, and in pieces
        heavy = post(served.address, question, sent)
        assert (heavy.status_code, heavy.json()) == (400, {"error": limits.TOO_LARGE})
    assert "16 MiB" in limits.TOO_LARGE
    allowed = post(served.address, question, padded[:-1])
    assert allowed.json()["error"] != limits.TOO_LARGE
    assert post(served.address, question, plain(2000, 1000)).status_code == 200


def test_what_takes_too_long_is_ended_and_the_next_question_is_answered(
    served: viewing.Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "serve", slow_worker.serve)
    with viewing.serving(served.store, seconds=2.5) as address:
        late = post(address, "explain", plain(8, 8))
        said = "explaining the image took more than 2.5 s; `actlas view --time-limit SECONDS` allows more"
        assert (late.status_code, late.json()) == (429, {"error": said})
        assert post(address, "locate", plain(8, 8)).json() == "locate"


DROP = """([where, name, data, more]) => {
  const moved = new DataTransfer();
  moved.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0)), new Uint8Array(more)], name));
  const act = (what) => document.querySelector(where).dispatchEvent(
    new DragEvent(what, { bubbles: true, cancelable: true, dataTransfer: moved }));
  const over = !act('dragover');
  const shown = getComputedStyle(document.body, '::after').content;
  return [over, shown, !act('drop')];
}"""


def drop(page: viewing.Page, where: str, name: str, data: bytes, more: int = 0) -> str:
    """Drop a file, so many zeros longer, on a part of the page; return what was said before. No browser may open it."""
    over, shown, dropped = page.script(DROP, [where, name, base64.b64encode(data).decode(), more])
    assert (over, dropped) == (True, True)
    assert page.script("() => document.body.classList.contains('dropping')") is False
    return str(shown)


def test_a_picture_that_is_dropped_is_located_or_taken_apart(page: viewing.Page, served: viewing.Served) -> None:
    image = sorted(served.images.rglob("*.png"))[5].read_bytes()
    page.goto(f"{ATLAS}?locate=3")
    page.see(".panel .positions").wait_for(timeout=120_000)
    assert "find it on the map" in drop(page, ".stage", "mine.png", image)
    page.until("() => document.querySelector('.panel .positioned img')?.src.startsWith('blob:')", 60)
    page.select_option("#shade", "density")
    page.settle()
    # It stays, and the image of the run that the address named does not come back.
    assert page.loaded(".panel .positioned img")
    assert page.script("() => document.querySelector('.panel .positioned img').src").startswith("blob:")
    assert "locate" not in page.url
    page.goto(f"/small/units/{LAYER}")
    page.see(".units li").first.wait_for()
    drop(page, ".top", "mine.png", image)
    page.see(".panel .positions").wait_for(timeout=60_000)
    assert page.path() == ATLAS
    page.goto(f"/small/image/7?layer={LAYER}")
    page.see(".choices li").first.wait_for(timeout=60_000)
    assert "take it apart" in drop(page, "main", "mine.png", image)
    page.until("() => location.search.includes('own=mine.png')")
    page.see(".choices li").first.wait_for(timeout=60_000)
    assert page.see("h1").inner_text() == "mine.png"
    assert page.loaded(".image-photo img")
    page.see("nav[aria-label=layers] a[href*='features.2']").click()
    page.until("() => location.search.includes('features.2')")
    page.see(".choices li").first.wait_for(timeout=60_000)
    assert page.see("h1").inner_text() == "mine.png"
    page.see("text=All images of the run").click()
    page.see(".images li").first.wait_for()
    page.go_back()
    page.see(".choices li").first.wait_for(timeout=60_000)
    page.reload()
    page.see(".images li").first.wait_for()


def test_what_is_no_picture_or_too_large_is_refused_in_one_line(page: viewing.Page) -> None:
    files = (
        ("notes.txt", b"four years of work", 0, "not an image"),
        ("huge.png", b"\x89PNG\r\n\x1a\n", 17 << 20, "16 MiB"),
    )
    for place, shown in ((ATLAS, ".panel .failed p"), (f"/small/image?layer={LAYER}", "main .failed p")):
        for name, data, more, said in files:
            page.goto(place)
            page.settle()
            drop(page, "main", name, data, more)
            page.see(shown).wait_for(timeout=60_000)
            words = page.see(shown).inner_text()
            assert said in words, (place, name)
            assert "\n" not in words
    page.goto("/")
    page.settle()
    drop(page, "main", "notes.txt", b"four years of work")
    assert "Open a run" in page.see(".notice").inner_text()


def test_a_viewer_that_takes_no_pictures_says_so(chromium: Any, served: viewing.Served) -> None:
    with viewing.serving(served.store, uploads=False) as address, viewing.opened(chromium, address) as page:
        for place, shown in ((ATLAS, ".panel-body > p"), (f"/small/image?layer={LAYER}", "main .failed p")):
            page.goto(place)
            page.settle()
            drop(page, "main", "mine.png", plain(8, 8))
            assert "--no-uploads" in page.see(shown).inner_text()


def test_a_viewer_that_is_gone_is_asked_again_once_it_is_back(chromium: Any, served: viewing.Served) -> None:
    with ExitStack() as first:
        address = first.enter_context(viewing.serving(served.store, uploads=False))
        with viewing.opened(chromium, address) as page:
            page.goto(f"{ATLAS}?grid=2")
            page.settle()
            where = page.cell_on_screen()
            asked: list[str] = []
            came: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.on("requestfinished", lambda request: came.append(request.url))
            first.close()
            page.mouse.click(*where)
            gone = page.see(".panel .failed")
            gone.wait_for()
            said = "The viewer does not answer. Is it still running?"
            assert gone.locator("p").inner_text() == said
            page.see("nav.places >> text=Units").click()
            page.see("main .failed").wait_for()
            assert page.see("main .failed p").inner_text() == said
            page.see("main .failed button").click()
            page.see("main .failed").wait_for()
            page.go_back()
            page.see(".panel .failed").wait_for()
            page.keyboard.press("Escape")
            page.select_option("#grid", "4")
            page.see(".map-unmet .failed").wait_for()
            page.wait_for_timeout(500)
            assert len([url for url in asked if "grid=4" in url and "/cells?" in url]) == 1  # and not over and over
            with viewing.serving(served.store, uploads=False, port=int(address.rpartition(":")[2])) as again:
                assert again == address
                page.see(".map-unmet .failed button").click()
                page.see(".map-unmet .failed").wait_for(state="detached")
                page.settle()
                assert any("/tile?" in url and "grid=4" in url for url in came)
                page.click_cell()
                page.see(".panel").get_by_text("Real patches").wait_for()
                assert page.loaded(".panel .patches img")
                page.see("nav.places >> text=Units").click()
                page.see(".units li").first.wait_for()
        assert [said for said in page.complaints() if "Tile" not in said] == []


def test_a_notice_is_shown_once_for_each_version_of_each_run(
    chromium: Any, served: viewing.Served, tmp_path: Path
) -> None:
    store = viewing.copied(served.store, tmp_path)
    viewing.another_run(store)
    with viewing.serving(store, uploads=False) as address, viewing.opened(chromium, address) as page:
        notice = page.see(".notice")
        page.goto(f"/again/atlas/{LAYER}")
        page.settle()
        for number, grid, first, second in ((2, 2, "Units", "Run"), (3, 4, "Image", "Atlas")):
            assert another(store, grid) == number
            turn(page, first)
            notice.wait_for()
            assert f"Version {number} of again" in notice.inner_text()
            notice.locator("[aria-label=Dismiss]").click()
            turn(page, second)
            assert notice.is_hidden()
        page.see(".brand").click()
        page.see("main a[href^='/small']").first.click()
        page.settle()
        assert viewing.another_version(store) == 2  # a lower number than what was told of the other run
        turn(page, "Units")
        notice.wait_for()
        assert "Version 2 of small" in notice.inner_text()
        turn(page, "Run")
        notice.get_by_text("Show the new version").click()
        page.until("() => document.title.includes('small@2')")
        assert page.path() == "/small/run"


def another(store: Path, grid: int) -> int:
    """Publish a version of the other run that has one grid alone."""
    opened = Store(store)
    first = opened.version("again", 1)
    kept = [entry for entry in first.stages if entry.grid in (None, grid)]
    return opened.publish("again", Contents(dict(first.about) | {"grids": [grid]}, kept))


def turn(page: viewing.Page, place: str) -> None:
    """Go to a place that was not looked at yet, so that something is asked."""
    page.see(f"nav.places >> text={place}").click()
    page.settle()


FRAMED = """() => {
  const canvas = document.querySelector('.minimap'), side = canvas.width;
  const { data } = canvas.getContext('2d').getImageData(0, 0, side, side);
  const probe = document.createElement('canvas').getContext('2d');
  probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--accent');
  probe.fillRect(0, 0, 1, 1);
  const tone = [...probe.getImageData(0, 0, 1, 1).data], xs = [], ys = [];
  for (let i = 0; i < side * side; i++) {
    if (tone.some((part, k) => data[4 * i + k] !== part)) continue;
    xs.push(i % side);
    ys.push(Math.floor(i / side));
  }
  return [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)].map((at) => at / side);
}"""
"""Where on the minimap the colour of the frame is: left, right, top, bottom."""


def looks_at(page: viewing.Page) -> list[float]:
    return [float(word) for word in page.script("() => new URLSearchParams(location.search).get('at')").split(",")]


def test_the_minimap_frames_what_is_seen_and_leads_there(page: viewing.Page) -> None:
    page.goto(f"{ATLAS}?grid=4")
    page.settle()
    assert page.see(".minimap").is_hidden()
    whole = page.shot(".stage")
    page.goto(f"{ATLAS}?grid=4&at=0.4,0.6,3")
    page.settle()
    page.see(".minimap").wait_for()
    page.settle()
    left, right, top, bottom = page.script(FRAMED)
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((0.4, 0.6), abs=0.02)
    stage = page.see(".stage").bounding_box()
    assert (right - left) / (bottom - top) == pytest.approx(stage["width"] / stage["height"], rel=0.1)
    before = page.url
    page.see(".minimap").click(position={"x": 100, "y": 36})
    page.until(f"() => location.href !== {before!r}")
    page.settle()
    assert looks_at(page)[:2] == pytest.approx([100 / 144, 36 / 144], abs=0.02)
    left, right, top, bottom = page.script(FRAMED)
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((100 / 144, 36 / 144), abs=0.03)
    page.mouse.move(stage["x"] + 400, stage["y"] + 300)
    page.mouse.down()
    page.mouse.move(stage["x"] + 300, stage["y"] + 250, steps=4)
    page.mouse.up()
    page.until(f"() => location.search !== '?grid=4&at={','.join(f'{part:g}' for part in looks_at(page))}'")
    page.see(".stage").focus()
    page.keyboard.press("0")
    page.until("() => !location.search.includes('at=')")
    page.see(".minimap").wait_for(state="hidden")
    page.see(".stage").blur()
    page.wait_for_timeout(200)
    assert page.shot(".stage") == whole


def test_full_screen_is_entered_and_left(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    page.see("[aria-label='Full screen']").click()
    page.until("() => document.fullscreenElement === document.documentElement")
    page.settle()
    assert page.see(".stage").bounding_box()["width"] == page.viewport_size["width"]
    page.see("[aria-label='Full screen']").click()
    page.until("() => !document.fullscreenElement")
