"""Atlases in a notebook: pictures that show themselves, and the page in a frame that asks the kernel."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from support import hostile, viewing

from flows import notebook
from flows.metrics import values as metric_values
from flows.notebook import pictures as notebook_pictures
from flows.questions import names, units
from flows.viewer import assets, in_process
from flows.viewer.answers import catalogue, cells
from storage.errors import Incomplete, NotFound

LAYER = "features.5"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return viewing.shared_run(tmp_path_factory)[1]


@pytest.fixture(scope="module")
def atlas(store: Path) -> notebook.Atlas:
    return notebook.Atlas("small", str(store))


def png(picture: notebook.Picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture._repr_png_())))


def icons_apart(atlas: notebook.Atlas, grid: int) -> float:
    """Return how far the icons that are drawn at full size lie from those that the run holds, in levels of 255."""
    version, drawn = atlas.version, png(atlas.map(LAYER, grid)).astype(int)
    icons = version.array("icons", LAYER, grid, "pictures")
    place = [version.array("cells", LAYER, grid, name) for name in ("row", "col", "count")]
    side, far = icons.shape[1], []
    for icon, row, col, count in zip(icons, *(column.tolist() for column in place), strict=True):
        if count >= place[2].sum() / grid**2:
            there = drawn[row * (side + 1) : row * (side + 1) + side, col * (side + 1) : col * (side + 1) + side]
            far.append(np.abs(there - icon).mean())
    return float(np.mean(far))


def test_a_map_is_made_of_the_icons(atlas: notebook.Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    assert icons_apart(atlas, 4) < 8
    read = notebook_pictures.pictures.read
    monkeypatch.setattr(notebook_pictures.pictures, "read", lambda result, name: read(result, name).transpose(1, 0, 2))
    assert icons_apart(atlas, 4) > 8


def test_cells_units_and_images_show_themselves(atlas: notebook.Atlas) -> None:
    cells = atlas.version.array("cells", LAYER, 4, "row"), atlas.version.array("cells", LAYER, 4, "col")
    cell = atlas.cell(LAYER, 4, int(cells[0][0]), int(cells[1][0]))
    assert png(cell).shape[1] == notebook_pictures.WIDTH
    assert cell.answer["members"]
    assert "features.5" in repr(cell)
    assert png(atlas.unit(LAYER, 3)).shape[2] == 3
    assert png(atlas.image(7)).shape[:2] == (atlas.image(7).answer["height"], atlas.image(7).answer["width"])
    with pytest.raises(NotFound, match="no grid 7"):
        atlas.map(LAYER, 7)


def test_an_atlas_shows_its_map_and_names_are_words(atlas: notebook.Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = atlas._repr_html_()
    assert "data:image/png;base64," in shown
    assert "small@1" in shown
    monkeypatch.setitem(atlas.version.run.version.about, "model", hostile.NAME)
    assert hostile.NAME not in atlas._repr_html_()


def test_without_anywidget_it_says_what_to_install(atlas: notebook.Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "flows.notebook.widget", raising=False)
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(Incomplete, match=r"pip install 'actlas\[notebook\]'"):
        atlas.view()


def test_the_kernel_answers_as_the_server_does(store: Path) -> None:
    within = in_process.InProcessViewer(str(store), uploads=False)
    with viewing.serving(store, uploads=False) as address:
        for path in (
            "/api/1/runs",
            f"/api/1/runs/small/1/cells?layer={LAYER}&grid=4",
            f"/pictures/small/1/faces?layer={LAYER}&block=0",
            "/api/1/runs/nothing/1",
            "/pictures/small/1/tile?layer=../../x&grid=4&level=0&x=0&y=0",
        ):
            told, answer = httpx.get(address + path), within.ask(path)
            assert (answer.status, answer.body) == (told.status_code, told.content), path
    assert within.ask(f"/api/1/runs/small/1/locate?layer={LAYER}&grid=4", "POST", b"x").status == 403
    assert within.ask("/api/1/runs", "DELETE").status == 405


def test_the_document_holds_all_that_it_needs() -> None:
    viewing.page()
    whole = in_process.document()
    assert "woff2" not in whole.replace("font/woff2", "").replace("format('woff2')", "").replace('format("woff2")', "")
    assert whole.count("</script>") == len(assets.load().scripts)
    assert "data:font/woff2;base64," in whole


NOTEBOOK = """<!doctype html><meta charset=utf-8><body><div id=out></div><script type=module>
import widget from '/notebook.js';
const heard = {};
const values = await window.traits();
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const model = {
  get: (name) => values[name],
  set: (name, value) => { values[name] = value; },
  save_changes: () => window.saved(values.address),
  on: (name, act) => (heard[name] ??= []).push(act),
  off: (name, act) => { heard[name] = heard[name].filter((one) => one !== act); },
  send: async (asked) => {
    const [told, body] = await window.kernel(asked);
    heard['msg:custom'].forEach((act) => act(told, [new DataView(bytes(body).buffer)]));
  },
};
window.turn = (address) => { values.address = address; heard['change:address'].forEach((act) => act()); };
widget.render({ model, el: document.getElementById('out') });
</script>"""


@contextmanager
def in_notebook(chromium: Any, atlas: notebook.Atlas, **query: Any) -> Iterator[tuple[viewing.Page, Any, list[str]]]:
    """Open a page that does what a notebook does, with the widget's own Python as its kernel."""
    with viewing.opened(chromium, "http://notebook.test") as page:
        widget, sent, saved = atlas.view(LAYER, height=640, **query), [], list[str]()
        widget.send = lambda told, buffers: sent.append([told, base64.b64encode(buffers[0]).decode()])

        def kernel(asked: dict[str, Any]) -> Any:
            widget._workers.submit(widget._answer, asked, b"").result(30)  # not here, where playwright's loop runs
            return sent.pop()

        page.expose_function("kernel", kernel)
        page.expose_function("saved", lambda address: saved.append(address))
        page.expose_function("traits", lambda: {name: getattr(widget, name) for name in ("page", "address", "height")})
        page.route("**/notebook.js", lambda it: it.fulfill(body=in_process.widget(), content_type="text/javascript"))
        page.route("http://notebook.test/", lambda it: it.fulfill(body=NOTEBOOK, content_type="text/html"))
        page.goto("/")
        yield page, page.frame_locator("iframe"), saved
        assert page.complaints() == []
        assert page.foreign() == []
        widget.close()


@pytest.fixture
def frame(chromium: Any, atlas: notebook.Atlas) -> Iterator[tuple[viewing.Page, Any, list[str]]]:
    with in_notebook(chromium, atlas) as opened:
        yield opened


def test_the_page_works_in_a_notebook(frame: tuple[viewing.Page, Any, list[str]]) -> None:
    page, inner, saved = frame
    inner.locator(".stage canvas").first.wait_for()
    assert inner.locator("nav.rail a").count() == 2
    page.wait_for_timeout(500)
    assert viewing.Page.pixels(page, "iframe") > 50
    inner.locator(".stage").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    inner.locator(".panel .patches img").first.wait_for()
    assert "cell=" in saved[-1]
    inner.locator(".panel .chips a").first.click()
    inner.locator(".shots img").first.wait_for()
    loaded = "() => document.querySelector('iframe').contentDocument.querySelector('.shots img').naturalWidth > 0"
    page.until(loaded)
    assert "/unit/features.5:" in saved[-1]
    page.script("() => window.turn('/small/run')")
    inner.get_by_text("Cite it").wait_for()


SHOWN = {"cell": "/small/atlas/{layer}?cell={row},{col}&grid=4", "list": "/small/atlas/{layer}?view=list"}
SHOWN |= {"units": "/small/units/{layer}", "unit": "/small/unit/{layer}:1", "class": "/small/atlas/{layer}?class=1"}
SHOWN |= {"image": "/small/image/3?layer={layer}"}


@pytest.mark.sweep
def test_hostile_names_are_words_in_a_notebook_too(
    chromium: Any, atlas: notebook.Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook's page has no policy that would stop them: what is taken for markup there runs."""
    monkeypatch.setattr(cells, "labels", lambda version: [hostile.NAME] * version.run.version.about["ids"])
    labelled = [hostile.NAME], np.zeros(atlas.version.run.version.about["ids"], np.int64)
    monkeypatch.setattr(metric_values, "_labels", lambda run: labelled)
    standing = names.Standing([[{"name": hostile.NAME, "count": 9, "share": 1.0}]] * 64, 0.0)
    monkeypatch.setattr(units.Shared, "names", property(lambda shared: standing))
    image = catalogue.ANSWERS["image"]
    facts = {"image_id": 3, "key": hostile.NAME, "label": hostile.NAME, "width": 48, "height": 48, "reason": None}
    facts |= {"choices": [{"class": 1, "name": hostile.NAME, "probability": 0.5}], "label_rank": 0}
    monkeypatch.setitem(catalogue.ANSWERS, "image", catalogue.Kind(image.parameters, lambda version, id: facts, ""))
    place = {name: int(atlas.version.array("cells", LAYER, 4, name)[0]) for name in ("row", "col")}
    with in_notebook(chromium, atlas, cell=hostile.NAME) as (page, inner, _):
        page.expose("hacked")
        inner.locator(".stage canvas").first.wait_for()
        for name, address in SHOWN.items():
            page.script("there => window.turn(there)", address.format(layer=LAYER, **place))
            page.wait_for_timeout(300)
            page.until("() => !document.querySelector('iframe').contentDocument.querySelector('.waiting')", 60)
            if name in ("cell", "units", "image"):
                inner.locator("main, .panel").get_by_text(hostile.NAME).first.wait_for()
        assert page.called() == 0
        page.script(
            "text => { document.querySelector('iframe').contentDocument.querySelector('main').innerHTML = text; }",
            hostile.NAME.replace("hacked()", "top.hacked()"),
        )
        page.until_called()
