"""What is drawn: patches on every cell, how much of an image falls where, thumbnails in the dark; the bars of an export."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from support import viewing

from flows import cli

LAYER = "features.5"
ATLAS = f"/small/atlas/{LAYER}"
MAGENTA = (255, 0, 255)


def shown(page: viewing.Page, what: str) -> np.ndarray:
    """Return the pixels of an element, `h w 3`."""
    with Image.open(io.BytesIO(page.shot(what))) as shot:
        return np.asarray(shot.convert("RGB"), np.int16)


def squares(page: viewing.Page, served: viewing.Served) -> dict[tuple[int, int], tuple[float, float, float]]:
    """Return left, top and side of each cell of the finest grid on the screen, from the address's view."""
    x, y, zoom = (
        float(part) for part in page.script("() => new URLSearchParams(location.search).get('at')").split(",")
    )
    box = page.see(".stage").bounding_box()
    side = zoom * box["width"] * min(1, box["height"] / box["width"]) / 1.06
    cells = httpx.get(f"{served.address}/api/1/runs/small/current/cells?layer={LAYER}&grid=4").json()
    left, top = box["width"] / 2 - x * side, box["height"] / 2 - y * side
    places = zip(cells["row"], cells["col"], strict=True)
    return {(row, col): (left + col * side / 4, top + row * side / 4, side / 4) for row, col in places}


def patched(page: viewing.Page, served: viewing.Served) -> dict[tuple[int, int], int]:
    """Return how many pixels of a stand-in for all patches each cell in sight shows."""
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), MAGENTA).save(picture, "PNG")
    page.route("**/member?*", lambda route: route.fulfill(body=picture.getvalue(), content_type="image/png"))
    page.goto(f"{ATLAS}?grid=4&at=0.5000,0.5000,2.500")
    page.settle()
    page.wait_for_timeout(300)
    pixels = (shown(page, ".stage") == MAGENTA).all(axis=2)
    height, width = pixels.shape
    found = {}
    for cell, (left, top, side) in squares(page, served).items():
        window = (max(left, 0), max(top, 0), min(left + side, width), min(top + side, height))
        x, y, right, bottom = map(round, window)
        if right - x > 60 and bottom - y > side / 2:  # enough of it is in sight
            found[cell] = int(pixels[y:bottom, x:right].sum())
    return found


def test_the_deepest_zoom_shows_patches_on_every_cell_in_sight(page: viewing.Page, served: viewing.Served) -> None:
    found = patched(page, served)
    assert len(found) >= 4
    assert all(count > 400 for count in found.values()), found


OUTLINES = """
window.outlines = [];
const stroke = CanvasRenderingContext2D.prototype.strokeRect;
CanvasRenderingContext2D.prototype.strokeRect = function (x, y, width, height) {
  outlines.push([Math.round(x + width / 2), Math.round(y + height / 2), this.lineWidth, String(this.strokeStyle)]);
  return stroke.call(this, x, y, width, height);
};
"""


def fall(page: viewing.Page, counts: dict[tuple[int, int], int]) -> list[float]:
    """Let so many positions of an image fall in each of some cells; return how wide their outlines are, from left to right."""
    points = [((col + 0.5) / 4, (row + 0.5) / 4) for (row, col), count in counts.items() for _ in range(count)]

    def fulfil(route: Any) -> None:
        real = route.fetch().json()
        rows = [{**real["positions"][0], "y": 0, "x": x, "point": point} for x, point in enumerate(points)]
        answer = {**real, "height": 1, "width": len(points), "positions": rows}
        route.fulfill(body=json.dumps(answer), content_type="application/json")

    page.unroute_all()
    page.route("**/locate?*", fulfil)
    page.goto(f"{ATLAS}?grid=4&locate=3")
    page.see(".panel .near button").first.wait_for(timeout=60_000)
    page.settle()
    page.script("() => { outlines.length = 0; }")
    page.see("[aria-label='Zoom in (+)']").click()
    page.wait_for_timeout(600)
    drawn = page.script("() => outlines")
    ink = [(x, width) for x, _, width, tone in drawn if tone == drawn[1][3]][-2:]  # each over one in the page's colour
    return [width for _, width in sorted(ink)]


def test_the_more_of_an_image_falls_in_a_cell_the_stronger_its_outline(
    page: viewing.Page, served: viewing.Served
) -> None:
    page.add_init_script(OUTLINES)
    cells = httpx.get(f"{served.address}/api/1/runs/small/current/cells?layer={LAYER}&grid=4").json()
    places = sorted(zip(cells["col"], cells["row"], strict=True))
    left, right = places[0][::-1], places[-1][::-1]
    assert left[1] < right[1]
    first, second = fall(page, {left: 16, right: 1}), fall(page, {left: 1, right: 16})
    assert len(first) == len(second) == 2
    assert first[0] > first[1] > 0
    assert second[1] > second[0] > 0
    assert page.see(".panel .near button .num").all_inner_texts() == ["16", "1"]


GAP = 64
"""The grey between the icons of a tile."""


def test_thumbnails_follow_the_theme(page: viewing.Page) -> None:
    """Between its icons a thumbnail is as dark as the page once that is dark; the icons stay as they are."""
    page.goto(ATLAS)
    page.settle()
    light = shown(page, ".rail li:first-child .rail-picture")
    page.emulate_media(color_scheme="dark")
    page.until("() => document.querySelectorAll('.rail-picture canvas').length === 2")
    page.settle()
    page.wait_for_timeout(200)
    dark = shown(page, ".rail li:first-child .rail-picture")
    between = (np.abs(light - GAP) < 16).all(axis=2)
    assert between.sum() > 4
    assert np.median(dark[between]) < GAP / 2
    assert np.median(np.abs(dark - light)[~between]) < 4


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    _, store = viewing.shared_run(tmp_path_factory)
    folder = tmp_path_factory.mktemp("drawn") / "atlas"
    viewing.page()
    assert cli.invoke(["export", "small", str(folder), "--store", str(store)]) == 0
    return folder


@pytest.fixture
def files(exported: Path, chromium: Any) -> Iterator[viewing.Page]:
    with viewing.opened(chromium, f"file://{exported}/index.html") as opened:
        yield opened


TITLES = {
    f"atlas/{LAYER}": f"{LAYER} · atlas · small@1",
    f"units/{LAYER}": f"units · {LAYER} · small@1",
    f"unit/{LAYER}:3": f"{LAYER}:3",
    "run": "run · small@1",
}


def test_an_exports_titles_and_bars_say_what_it_has(files: viewing.Page) -> None:
    for place, words in TITLES.items():
        files.goto(f"#/small/{place}")
        files.settle()
        assert files.title().endswith(" · exported · actlas"), place
        assert words in files.title(), place
        assert files.see(".where").inner_text().replace("\u00a0", " ").split() == ["small", "@", "1", "·", "exported"]
        assert files.see(".where select").count() == 0  # one version: no menu
        assert files.see("nav.places a").all_inner_texts() == [
            "Atlas",
            "Units",
            "Run",
        ]  # neither images nor comparisons


def test_a_servers_titles_and_bars_say_what_it_has(page: viewing.Page) -> None:
    page.goto("/small/run")
    page.settle()
    assert page.title() == "run · small@1 · actlas"
    assert page.see("nav.places a").all_inner_texts() == ["Atlas", "Units", "Image", "Compare", "Run"]
