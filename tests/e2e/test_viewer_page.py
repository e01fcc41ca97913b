"""The page in a browser, on a small run with everything in it: every place, by mouse and by keys, in both themes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from support import axe, corpus, viewing

from storage.store.store import Contents, Store

LAYER = "features.5"
ATLAS = f"/small/atlas/{LAYER}"
PLACES = {
    "runs": "/",
    "atlas": ATLAS,
    "cell": f"{ATLAS}?cell={{cell}}",
    "list": f"{ATLAS}?view=list",
    "class": f"{ATLAS}?class=1&shade=density",
    "units": f"/small/units/{LAYER}",
    "unit": "/small/unit/features.2:3",
    "range": "/small/unit/features.2:3?side=range",
    "run": "/small/run",
    "image": f"/small/image/7?layer={LAYER}",
    "compare": f"/compare/small@1..again@1/{LAYER}",
    "interface": "/api",
    "lost": "/small/atlas/nothing",
}


def test_a_picture_may_be_dropped_anywhere(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    prevented = page.evaluate(
        "() => ['.top', '.rail', 'main'].map((place) => !document.querySelector(place)"
        ".dispatchEvent(new DragEvent('dragover', { bubbles: true, cancelable: true })))"
    )
    assert prevented == [True, True, True]


def test_keys_alone_reach_everything(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    page.focus(".stage")
    page.keyboard.press("ArrowRight")
    page.until("() => document.querySelector('.unseen[role=status]').textContent.startsWith('Cell row')")
    first = page.spoken()
    for key in ("ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
        if page.spoken() not in (first, "There is no cell that way."):
            break
    else:
        pytest.fail("no arrow key walked on")
    page.keyboard.press("Enter")
    page.see(".panel").get_by_text("Real patches").wait_for()
    page.keyboard.press("Escape")
    page.see(".panel").wait_for(state="hidden")
    page.keyboard.press("l")
    page.see(".list table").wait_for()
    page.keyboard.press("l")
    page.keyboard.press("?")
    page.see("dialog.help").wait_for()
    page.keyboard.press("Escape")
    page.see("dialog.help").wait_for(state="detached")
    before = page.script("() => document.documentElement.dataset.theme ?? ''")
    page.keyboard.press("t")
    assert page.script("() => document.documentElement.dataset.theme") != before
    page.keyboard.press("[")
    page.wait_for_url("**/features.2*")
    page.keyboard.press("]")
    page.wait_for_url("**/features.5*")
    page.keyboard.press("/")
    page.keyboard.type("5")
    page.see(".found [role=option]").first.wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/unit/{LAYER}:5")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**/unit/{LAYER}:6")


REACHABLE = """() => [...document.querySelectorAll('a[href], button, select, input')]
    .filter(e => e.checkVisibility() && e.tabIndex >= 0).length"""
FOCUSED = """() => {
  const e = document.activeElement;
  if (e === document.body) return '';
  return e.dataset.tab ??= String(Math.random());
}"""
RING = "() => { const e = document.querySelector('.places a'); e.focus(); return getComputedStyle(e).outlineStyle; }"


def test_tab_reaches_what_the_mouse_does(page: viewing.Page) -> None:
    page.goto(f"/small/unit/{LAYER}:3")
    page.settle()
    clickable, seen = page.script(REACHABLE), set()
    for _ in range(clickable + 20):
        page.keyboard.press("Tab")
        seen.add(page.script(FOCUSED))
    assert len(seen - {""}) >= clickable
    assert page.script(RING) == "solid"


def test_a_class_fades_the_others_and_is_found_by_search(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    before = page.shot(".stage")
    page.goto(f"{ATLAS}?class=1")
    page.settle()
    assert page.shot(".stage") != before
    page.see(".map-foot").get_by_text("Evidence for").wait_for()
    page.see(".map-foot").get_by_text("Show all classes").click()
    page.until("() => !location.search.includes('class=')")


def test_shades_have_a_legend(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    for shade in ("density", "fidelity", "coherence"):
        page.select_option("#shade", shade)
        page.see(".legend-ramp").wait_for()
        assert f"shade={shade}" in page.url
    page.select_option("#shade", "none")
    page.see(".legend-ramp").wait_for(state="detached")


def test_the_list_has_the_cells_of_the_map(page: viewing.Page, served: viewing.Served) -> None:
    page.goto(f"{ATLAS}?view=list&grid=4")
    page.see(".list tbody tr").first.wait_for()
    cells = page.get(f"/api/1/runs/small/current/cells?layer={LAYER}&grid=4")
    shown = [row.split() for row in page.see(".list tbody tr").all_inner_texts()]
    assert len(shown) == len(cells["row"])
    assert int(shown[0][0]) == max(cells["count"])
    page.see(".list tbody a").first.click()
    page.see(".panel").get_by_text("Real patches").wait_for()


def test_the_list_says_that_the_least_coherent_cells_come_first(page: viewing.Page, served: viewing.Served) -> None:
    page.goto(f"{ATLAS}?view=list&grid=4&order=coherence")
    head = page.see(".list th[data-order=coherence][aria-sort=ascending] .sort")
    head.wait_for()
    page.settle()
    assert head.get_attribute("title") == "the least coherent first"
    shown = [float(text) for text in page.see(".list tbody td:nth-child(4)").all_inner_texts()]
    known = page.get(f"/api/1/runs/small/current/details?layer={LAYER}&grid=4")["coherence"]
    assert shown == pytest.approx(sorted(known), rel=0.01)
    assert max(known) <= 1 < len(known)


def test_units_are_sorted_and_filtered(page: viewing.Page) -> None:
    page.goto(f"/small/units/{LAYER}")
    page.see(".units li").first.wait_for()
    assert page.see(".units li").count() == 12
    page.select_option("#sort", "max")
    page.wait_for_url("**sort=max")
    page.see(".units li").first.wait_for()
    values = [float(text.split()[1].replace("−", "-")) for text in page.see(".units li").all_inner_texts()]
    assert values == sorted(values, reverse=True)
    page.goto(f"/small/units/{LAYER}?label=stripes")
    page.see(".filter-chip").wait_for()
    page.settle()
    assert 0 < page.see(".units li").count() < 12
    page.see(".filter-chip button").click()
    page.until("() => !location.search.includes('label=')")
    page.goto(f"/small/units/{LAYER}?label=zebra")
    page.see("text=No match.").wait_for()
    page.see("text=Show all units").click()
    page.see(".units li").first.wait_for()
    page.see(".page-head [data-keep=search]").click()
    page.keyboard.type("zebra")
    page.see("#found-beside").get_by_text("No match. For a unit, type its number, e.g. 36.").wait_for()


def test_a_unit_shows_its_patches_pictures_and_influence(page: viewing.Page) -> None:
    page.goto("/small/unit/features.2:3")
    page.settle()
    assert page.see(".shots img[alt]:not(.gradient)").count() == 16
    assert page.see(".shots .gradient").count() >= 1
    page.see(".unit-made img").wait_for()
    page.see(".plot svg").wait_for()
    page.see("text=Where on the atlas it is strong").wait_for()
    page.see("h2 >> text=Drives units of features.5").wait_for()
    page.see(".carried-open").click()
    page.wait_for_url("**/unit/features.5:*trail=features.2:3")
    page.see(".trail a").first.wait_for()
    page.go_back()
    page.wait_for_url("**/unit/features.2:3")
    page.see("[role=tab]").nth(2).click()
    page.wait_for_url("**side=range")
    page.see(".range img").first.wait_for()


def test_gradients_come_with_the_cursor(page: viewing.Page) -> None:
    page.goto("/small/unit/features.2:3")
    page.settle()
    page.see(".shots a").first.hover()
    page.until("() => getComputedStyle(document.querySelector('.gradient')).opacity === '1'")


def test_an_image_is_located_and_taken_apart(page: viewing.Page, served: viewing.Served) -> None:
    page.goto(ATLAS)
    page.settle()
    image = sorted(served.images.rglob("*.png"))[5]
    page.set_input_files("input[type=file]", str(image))
    page.see(".panel .positions").wait_for(timeout=200_000)
    assert "positions fall in" in page.see(".panel p[role=status]").inner_text()
    page.see(".panel .positions").focus()
    page.keyboard.press("ArrowRight")
    assert "falls" in page.see(".panel p[role=status]").inner_text()
    page.goto(f"/small/image/7?layer={LAYER}")
    page.see(".choices li").first.wait_for(timeout=200_000)
    page.see(".mosaic canvas").first.wait_for()
    page.see(".positions").hover()
    page.wait_for_url("**at=*")
    page.see(".choices button.small").first.click()
    page.wait_for_url("**against=*")
    page.see(".choices li").first.wait_for(timeout=200_000)


def test_the_run_says_what_it_is_made_of(page: viewing.Page) -> None:
    page.goto("/small/run")
    page.see(".plot svg").first.wait_for()
    assert page.see(".command").count() == 0
    page.see(".commands summary").click()
    page.see(".command").first.wait_for()
    text = page.see("main").inner_text()
    for words in (
        "support.corpus:net",
        "actlas run --images",
        "Cite it",
        "Activation Atlas. Distill",
        "None rejected: all 40",
    ):
        assert words in text


def test_the_run_says_what_was_left_out_and_what_would_help(
    chromium: Any, served: viewing.Served, tmp_path: Path
) -> None:
    store = viewing.copied(served.store, tmp_path)
    left = {"not_listed": {"heif": 9, "video": 1}, "not_labelled": {"not-in-table": 39}, "rejected": {"empty": 1}}
    opened, first = Store(store), Store(store).version("small", 1)
    opened.publish("left", Contents(first.about | left | {"label_keys": {"keys": 501, "matched": 1}}, first.stages))
    with viewing.serving(store, uploads=False) as address, viewing.opened(chromium, address) as page:
        page.goto("/left/run")
        section = page.see("section:has(h2:text-is('Left out'))")
        section.locator("li").first.wait_for()
        assert section.locator("li").all_inner_texts() == [
            "not listed: 9 HEIC files: pip install 'actlas[heif]'",
            "not listed: 1 video: extract frames as JPEG or PNG",
            "not labelled: 39 images without a row in the label table: add its key and label",
            "label table: of its 501 keys 1 match an image",
        ]
        assert "Rejected: 1 empty; 3\u00a0% of all listed." in section.inner_text()


def test_help_explains_keys_and_words(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    page.keyboard.press("?")
    text = page.see("dialog.help").inner_text()
    assert "trust the patches" in text
    assert "fidelity" in text


def test_axe_finds_nothing(chromium: Any, served: viewing.Served, tmp_path: Path) -> None:
    axe.needed()
    store = viewing.copied(served.store, tmp_path)
    viewing.another_run(store)
    with (
        viewing.serving(store, seconds=240) as there,
        viewing.opened(chromium, there, bypass_csp=True) as page,
    ):
        cells = page.get(f"/api/1/runs/small/current/cells?layer={LAYER}&grid=4")
        said: dict[str, list[str]] = {}
        for name, address in PLACES.items():
            page.goto(address.format(cell=f"{cells['row'][0]},{cells['col'][0]}"))
            said |= axe.violations(page, name)
        page.goto("/small/unit/features.2:3")
        page.settle()
        page.see(".links button").first.hover()
        page.see(".carriers .lit").first.wait_for(timeout=120_000)
        page.see("text=Draw four facets").click()
        page.see(".facet-pictures img").first.wait_for(timeout=120_000)
        assert said | axe.violations(page, "links and facets") == {}


@pytest.mark.parametrize("width", [390, 820, 1920])
def test_nothing_is_wider_than_the_screen(width: int, chromium: Any, served: viewing.Served) -> None:
    with viewing.opened(chromium, served.address, viewport={"width": width, "height": 800}) as page:
        for address in (
            ATLAS,
            f"/small/units/{LAYER}",
            f"/small/unit/{LAYER}:3",
            "/small/run",
            f"/small/image/7?layer={LAYER}",
        ):
            page.goto(address)
            page.settle()
            assert page.script("() => document.documentElement.scrollWidth") <= width, address
            assert (
                page.script("() => { const m = document.querySelector('main'); return m.scrollWidth - m.clientWidth; }")
                <= 0
            ), address


def test_a_new_version_is_offered(chromium: Any, served: viewing.Served, tmp_path: Path) -> None:
    store = shutil.copytree(served.store, tmp_path / "store")
    with viewing.serving(store, uploads=False) as address, viewing.opened(chromium, address) as page:
        page.goto(ATLAS)
        page.settle()
        viewing.another_version(store)
        page.version = "1"
        page.click_cell()
        page.see(".notice").wait_for()
        assert "Version 2" in page.see(".notice").inner_text()
        page.see(".panel .facts").wait_for()
        page.see(".notice a").click()
        page.until("() => document.title.includes('small@2')")
        page.settle()
        assert page.see("#grid option").all_inner_texts() == ["2 × 2"]


def test_what_a_run_lacks_is_said_with_the_command_that_makes_it(chromium: Any, tmp_path: Path) -> None:
    images, store = corpus.write_images(tmp_path / "images", 12), tmp_path / "store"
    viewing.make_run(images, store, extras=(), until="patches")
    with viewing.serving(store, uploads=False) as address, viewing.opened(chromium, address) as page:
        for place, stage in {"unit/features.2:1": "gallery", f"units/{LAYER}": "gallery", "run": "attribution"}.items():
            page.goto(f"/small/{place}")
            page.settle()
            text = page.see("main").inner_text()
            assert f"--with {stage}" in text, place
            assert "--with everything" in text, place
            assert "actlas run --images" in text
        page.goto(ATLAS)
        page.settle()
        assert "no atlas" in page.see("main").inner_text()
