"""Everything by keyboard alone: each control is reached by Tab and shows it, and each function is worked without a mouse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import viewing

LAYER = "features.5"
ATLAS = f"/small/atlas/{LAYER}"
PLACES = {
    "runs": "/",
    "cell": f"{ATLAS}?cell={{cell}}&grid=4",
    "list": f"{ATLAS}?view=list",
    "units": f"/small/units/{LAYER}",
    "unit": "/small/unit/features.2:3",
    "run": "/small/run",
    "image": f"/small/image/7?layer={LAYER}",
    "compare": f"/compare/small@1..again@1/{LAYER}",
}
CLICKED = """
const listening = new Set();
window.unreachable = () => [...listening].filter((e) => e.isConnected && e.checkVisibility() &&
  !e.closest('a[href], button, select, input, summary, [tabindex="0"], dialog, .minimap, [role=option]') &&
  !e.querySelector('a[href], button, [tabindex="0"]')).map((e) => e.outerHTML.slice(0, 120));
const add = EventTarget.prototype.addEventListener;
EventTarget.prototype.addEventListener = function (kind, ...more) {
  if (['click', 'pointerdown', 'mousedown'].includes(kind) && this instanceof Element) listening.add(this);
  return add.call(this, kind, ...more);
};
"""
"""Remembers what listens to a mouse, and tells what of it no key reaches.

The minimap has keys that do what it does; a word that was found is reached by arrows.
"""

CONTROLS = """() => [...document.querySelectorAll('a[href], button, select, input, summary, [tabindex="0"]')]
    .filter((e) => e.checkVisibility() && e.tabIndex >= 0 && !e.disabled && !e.closest('[inert]')).length"""
AT = """() => {
  const e = document.activeElement;
  if (!e || e === document.body) return null;
  const box = e.getBoundingClientRect();
  const ringed = (one) => { const s = getComputedStyle(one); return s.outlineStyle !== 'none' || s.boxShadow !== 'none'; };
  e.dataset.tab ??= String(Math.random());
  const seen = box.width > 0 && box.height > 0 && (ringed(e) || ringed(e.parentElement));
  return { id: e.dataset.tab, what: e.outerHTML.slice(0, 120), seen };
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    images, store = viewing.shared_run(tmp_path_factory)
    store = viewing.copied(store, tmp_path_factory.mktemp("keys"))
    viewing.another_run(store)
    with viewing.serving(store) as address:
        yield viewing.Served(address, store, images)


@pytest.fixture(scope="module")
def kept(chromium: Any, served: viewing.Served) -> Iterator[viewing.Kept]:
    kept = viewing.Kept(chromium, served.address, CLICKED)
    yield kept
    kept.close()


def reach(page: viewing.Page, what: str, most: int = 200) -> None:
    """Press Tab until something is focused."""
    page.see(what).first.wait_for(state="attached")
    for _ in range(most):
        if page.script("what => document.activeElement?.matches(what) ?? false", what):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {what}")


def press(page: viewing.Page, what: str, *keys: str) -> None:
    """Reach something and press keys on it."""
    reach(page, what)
    for key in keys or ("Enter",):
        page.keyboard.press(key)


@pytest.mark.parametrize("place", PLACES)
def test_tab_reaches_every_control_and_shows_where_it_is(page: viewing.Page, place: str) -> None:
    cells = page.get(f"/api/1/runs/small/current/cells?layer={LAYER}&grid=4")
    page.goto(PLACES[place].format(cell=f"{cells['row'][0]},{cells['col'][0]}"))
    page.settle()
    controls, seen = page.script(CONTROLS), {}
    assert controls > 3
    for _ in range(controls + 8):
        page.keyboard.press("Tab")
        at = page.script(AT)
        if at:
            seen[at["id"]] = at
    assert len(seen) >= controls
    assert [at["what"] for at in seen.values() if not at["seen"]] == []
    assert page.script("() => unreachable()") == []


def test_mutant_a_control_for_the_mouse_alone_is_seen(page: viewing.Page) -> None:
    page.goto("/small/run")
    page.settle()
    page.script("() => document.querySelector('h1').addEventListener('click', () => {})")
    assert len(page.script("() => unreachable()")) == 1


def test_the_map_is_worked_by_keys(page: viewing.Page) -> None:
    page.goto("/")
    press(page, "main a[href^='/small']")
    page.until("() => location.pathname.startsWith('/small/atlas/')")
    page.settle()
    press(page, "nav.rail a[href*='features.5']")
    page.wait_for_url(f"**{ATLAS}*")
    page.settle()
    press(page, "#grid", "ArrowDown")
    page.until("() => location.search.includes('grid=2')")
    press(page, "#shade", "ArrowDown")
    page.until("() => location.search.includes('shade=density')")
    page.see(".legend-ramp").wait_for()
    press(page, "[aria-label='Zoom in (+)']")
    page.until("() => location.search.includes('at=')")
    press(page, "[aria-label='The whole map (0)']")
    page.until("() => !location.search.includes('at=')")
    press(page, "[aria-label='Full screen']")
    page.until("() => !!document.fullscreenElement")
    page.keyboard.press("Enter")
    page.until("() => !document.fullscreenElement")


def test_a_cell_and_what_it_leads_to_are_opened_by_keys(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    press(page, ".stage", "ArrowRight", "Enter")
    page.until("() => location.search.includes('cell=')")
    page.see(".panel").get_by_text("Real patches").wait_for()
    assert page.spoken().startswith("Cell row")
    press(page, ".panel .patches a")
    page.until("() => location.pathname.includes('/image/')")
    page.go_back()
    page.see(".panel").get_by_text("Real patches").wait_for()
    press(page, ".panel .chips a")
    page.until("() => location.pathname.includes('/unit/')")
    page.go_back()
    page.see(".panel").get_by_text("Real patches").wait_for()
    press(page, ".panel [aria-label='Close']")
    page.until("() => !location.search.includes('cell=')")


def test_the_list_is_sorted_and_followed_by_keys(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    press(page, "[title='As a list (l)']")
    page.see(".list tbody tr").first.wait_for()
    press(page, ".list th[data-order=fidelity] button")
    page.see(".list th[data-order=fidelity][aria-sort=descending]").wait_for()
    press(page, ".list tbody a")
    page.until("() => location.search.includes('cell=')")


def test_a_class_is_found_shown_and_let_go_by_keys(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    page.keyboard.press("/")
    page.keyboard.type("fence")
    page.see(".found [role=option]").first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.until("() => location.search.includes('class=')")
    page.see(".map-foot").get_by_text("Evidence for").wait_for()
    press(page, "#intensity", "ArrowLeft")
    page.until("() => location.search.includes('intensity=75')")
    press(page, ".filter > button")
    page.until("() => !location.search.includes('class=')")


def test_an_image_is_located_by_keys(page: viewing.Page, served: viewing.Served) -> None:
    page.goto(ATLAS)
    page.settle()
    press(page, "button[title^='Find an image']")
    page.see(".panel button.button").first.wait_for()
    with page.expect_file_chooser() as chosen:
        press(page, ".panel button.button")
    image: Path = sorted(served.images.rglob("*.png"))[5]
    chosen.value.set_files(str(image))
    page.see(".panel .positions").wait_for(timeout=120_000)
    press(page, ".panel .positions [tabindex], .panel .positions", "ArrowRight")
    assert "falls" in page.see(".panel p[role=status]").first.inner_text()


def test_units_are_sorted_filtered_and_walked_by_keys(page: viewing.Page) -> None:
    page.goto(f"/small/units/{LAYER}")
    page.settle()
    press(page, "#sort", "ArrowDown")
    page.until("() => location.search.includes('sort=')")
    press(page, ".page-head [data-keep=search]")
    page.keyboard.type("stripes")
    page.see("#found-beside li").get_by_text("label, among units").first.wait_for()
    page.keyboard.press("Enter")
    page.until("() => location.search.includes('label=stripes')")
    page.settle()
    press(page, ".units a")
    page.until("() => location.pathname.includes('/unit/')")
    page.settle()
    press(page, "[role=tab][aria-selected=true]", "ArrowRight", "ArrowRight")
    page.until("() => location.search.includes('side=range')")
    here = page.path()
    press(page, "a[rel=next], a[rel=prev]")
    page.until(f"() => location.pathname !== '{here}'")


def test_influence_is_followed_by_keys(page: viewing.Page) -> None:
    page.goto("/small/unit/features.2:3")
    page.see(".carried-open").wait_for()
    page.settle()
    press(page, ".links button")
    page.see(".links [aria-pressed=true]").wait_for()
    press(page, ".carried-open")
    page.until("() => location.search.includes('trail=')")
    press(page, ".trail a")
    page.until("() => location.pathname.endsWith('features.2:3')")


def test_an_image_is_taken_apart_by_keys(page: viewing.Page) -> None:
    page.goto(f"/small/image/7?layer={LAYER}")
    page.see(".choices li").first.wait_for(timeout=120_000)
    page.settle()
    press(page, ".positions [tabindex='0'], .positions[tabindex='0']", "ArrowRight")
    page.until("() => location.search.includes('at=')")
    press(page, ".choices button.small")
    page.until("() => location.search.includes('against=')")
    page.see(".choices li").first.wait_for(timeout=120_000)
    page.settle()
    press(page, "input[type=range]", "ArrowLeft")
    press(page, "nav[aria-label=layers] a[href*='features.2']")
    page.until("() => location.search.includes('features.2')")


def test_versions_are_compared_by_keys(page: viewing.Page) -> None:
    page.goto(f"/compare/small@1..again@1/{LAYER}")
    page.see(".sides .stage").nth(1).wait_for()
    page.settle()
    press(page, ".sides .stage", "ArrowRight", "Enter")
    page.until("() => location.search.includes('cell=')")
    page.keyboard.press("Escape")
    page.until("() => !location.search.includes('cell=')")
    press(page, "[aria-label='Swap the two']")
    page.until("() => location.pathname.startsWith('/compare/again@1..small@1/')")
