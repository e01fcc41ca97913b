"""Ways through the page: what is opened stays in sight, what is left is found again, and an address says what is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from support import viewing

LAYER = "features.5"
ATLAS = f"/small/atlas/{LAYER}"


def test_in_full_screen_a_cell_and_the_search_are_in_sight(page: viewing.Page) -> None:
    page.goto(f"{ATLAS}?grid=4")
    page.settle()
    page.see("[aria-label='Full screen']").click()
    page.until("() => !!document.fullscreenElement")
    page.settle()
    assert page.see(".rail").is_hidden()
    page.click_cell()
    page.see(".panel .patches").wait_for()
    page.see(".stage").focus()
    page.keyboard.press("/")
    for what in (".panel .patches", ".search input"):
        assert page.script(ON_TOP, what), what
    page.script("() => document.exitFullscreen()")
    page.until("() => !document.fullscreenElement")
    assert page.see(".rail").is_visible()


ON_TOP = """what => {
  const box = document.querySelector(what).getBoundingClientRect();
  const found = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
  const full = document.fullscreenElement;
  return !!found?.closest('.panel, .search') && (!full || full.contains(document.querySelector(what)));
}"""
"""Is an element in sight, with nothing over it, and part of what has the whole screen?"""


def test_back_undoes_what_was_located(page: viewing.Page) -> None:
    page.goto(f"{ATLAS}?grid=4")
    page.settle()
    plain = page.shot(".stage")
    page.script(
        "() => { history.pushState(null, '', location.href + '&locate=0'); dispatchEvent(new PopStateEvent('popstate')); }"
    )
    page.see(".panel .positions").wait_for(timeout=120_000)
    page.go_back()
    page.see(".panel").wait_for(state="hidden")
    page.settle()
    assert page.shot(".stage") == plain
    page.go_forward()
    page.see(".panel .positions").wait_for(timeout=60_000)


LONG = "photographs-of-everything-that-was-found-in-the-attic-in-winter"
WIDTHS = (1280, 1000, 860, 844, 720, 390)
OVERLAPS = """() => {
  const shown = [];
  const walk = document.createTreeWalker(document.querySelector('.top'), NodeFilter.SHOW_ALL);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const control = node instanceof Element && node.matches('select, input, button');
    if (!control && !(node instanceof Text && !node.parentElement.closest('select, button, .found'))) continue;
    const range = document.createRange();
    range.selectNode(node);
    const { left, right, top, bottom } = range.getBoundingClientRect();
    const box = { words: node.textContent || node.outerHTML.slice(0, 40), left, right, top, bottom };
    for (let at = node.parentElement; at; at = at.parentElement) {
      if (getComputedStyle(at).overflowX !== 'hidden') continue;
      const clip = at.getBoundingClientRect();
      box.left = Math.max(box.left, clip.left);
      box.right = Math.min(box.right, clip.right);
    }
    if (box.right > box.left) shown.push(box);
  }
  const over = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  const outside = shown.filter((box) => box.right > innerWidth).map((box) => [box.words, 'outside']);
  return [...outside, ...shown.flatMap((a, i) => shown.slice(i + 1).filter((b) => over(a, b)).map((b) => [a.words, b.words]))];
}"""
"""Words and controls of the header that lie over one another, as far as they are seen, or outside."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of a run with a long name that has two versions, to publish more into."""
    _, made = viewing.shared_run(tmp_path_factory)
    copied = viewing.copied(made, tmp_path_factory.mktemp("ways"))
    viewing.another_run(copied, LONG)
    viewing.another_version(copied, LONG)
    return copied


def test_nothing_in_the_header_lies_over_anything_else(chromium: Any, store: Path) -> None:
    assert len(LONG) == 63
    with viewing.serving(store, uploads=False) as address, viewing.opened(chromium, address) as page:
        for name, least in ((LONG, 40), ("small", 30)):
            page.goto(f"/{name}/run")
            page.settle()
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 800})
                assert page.script(OVERLAPS) == [], (name, width)
                assert page.see(".where-name").bounding_box()["width"] > least, (name, width)
                assert page.see(".search input").bounding_box()["width"] > 60, (name, width)
            assert page.see(".where-name").get_attribute("title") == name
            assert page.see(".where select").count() == (name == LONG)


def test_home_opens_what_it_promises(chromium: Any, store: Path) -> None:
    with viewing.serving(store, uploads=False) as address, viewing.opened(chromium, address) as page:
        page.goto(ATLAS)
        page.settle()
        number = viewing.another_version(store)
        page.see("nav.places >> text=Units").click()
        page.see(".notice").get_by_text(f"Version {number} of small").wait_for()
        page.see(".brand").click()
        page.see(".runs a[href^='/small/']").get_by_text(f"@ {number}").click()
        page.until(f"() => document.querySelector('.where select')?.value === '{number}'")
        assert page.see(".notice").is_hidden()
        # Who asks for an older one goes on seeing that.
        page.goto("/small@1/run")
        page.settle()
        page.see("nav.places >> text=Units").click()
        page.settle()
        assert page.see(".where select").input_value() == "1"


TOP = "() => document.querySelector('main').scrollTop"


def test_back_leads_to_where_one_was(chromium: Any, served: viewing.Served) -> None:
    small = {"width": 390, "height": 500}
    with viewing.opened(chromium, served.address, viewport=small) as page:
        page.route("**/images?*", shortened)
        for place, row, rows in ((f"/small/units/{LAYER}", ".units li", 12), ("/small/image", ".images li", 8)):
            page.goto(place)
            page.see(row).first.wait_for()
            if "image" in place:
                page.see("main button >> text=More of").click()
                page.until(f"() => document.querySelectorAll('{row}').length === {2 * rows}")
                rows *= 2
            page.script("() => { document.querySelector('main').scrollTop = 400; }")
            before = page.script(TOP)
            assert before > 200
            address = page.path()
            page.see(row).last.locator("a").evaluate("link => link.click()")
            page.until(f"() => location.pathname !== '{address}'")
            page.settle()
            page.go_back()
            page.until(f"() => Math.abs(document.querySelector('main').scrollTop - {before}) < 2")
            assert page.see(row).count() == rows
        page.see(row).first.locator("a").click()
        page.see("main .images").wait_for(state="detached")
        page.settle()
        assert page.script(TOP) == 0


def shortened(route: Any) -> None:
    """Answer with eight images at a time."""
    answer = route.fetch()
    told = answer.json()
    route.fulfill(response=answer, json=told | {"found": told["found"][:8]})


def test_a_walk_from_unit_to_unit_keeps_the_side(page: viewing.Page) -> None:
    page.goto("/small/unit/features.5:3")
    page.see("[role=tab] >> text=Most negative").click()
    page.see("[rel=next]").click()
    page.until("() => location.pathname.endsWith(':4')")
    assert page.see("[aria-selected=true]").inner_text() == "Most negative"
    page.keyboard.press("ArrowLeft")
    page.until("() => location.pathname.endsWith(':3')")
    assert page.see("[aria-selected=true]").inner_text() == "Most negative"


OTHER = "features.2"
LAYERS = (
    (
        f"/small/atlas/{OTHER}?grid=4&at=0.4,0.6,3&class=1&side=against&intensity=60&shade=density&view=list&order=coherence",
        f"/small/atlas/{LAYER}?class=1&side=against&intensity=60&shade=density&view=list&order=coherence",
    ),
    (f"/small/atlas/{OTHER}?shade=unit:3", f"/small/atlas/{LAYER}"),
    (f"/small/units/{OTHER}?sort=max&label=a", f"/small/units/{LAYER}?sort=max&label=a"),
    (f"/small/units/{OTHER}?sort=like:3&label=a", f"/small/units/{LAYER}?label=a"),
    (f"/small/unit/{OTHER}:3?side=negative", f"/small/units/{LAYER}"),
    (f"/small/image/7?layer={OTHER}&at=1,1&class=1&mix=60", f"/small/image/7?class=1&mix=60&layer={LAYER}"),
    (f"/compare/small@1..{{long}}@1/{OTHER}?grid=2&motion=off", f"/compare/small@1..{{long}}@1/{LAYER}?motion=off"),
)
"""An address at a layer, and where the key of a deeper one and the list of layers lead from there."""


def test_another_layer_keeps_what_can_be_said_of_it(chromium: Any, store: Path) -> None:
    with viewing.serving(store, uploads=False) as address, viewing.opened(chromium, address) as page:
        for start, end in LAYERS:
            end = end.format(long=LONG)
            page.goto(start.format(long=LONG))
            page.settle()
            links = "main nav[aria-label=layers] a, .rail a"
            listed = f"[...document.querySelectorAll({links!r})].map((a) => a.getAttribute('href'))"
            if "/image/" not in start:
                page.until(f"() => {listed}.includes({end!r})")
            page.script("() => document.activeElement?.blur()")
            page.keyboard.press("]")
            page.until(f"() => location.pathname + location.search === {end!r}")


def test_a_command_keeps_its_arrows_and_says_that_it_is_copied(chromium: Any, store: Path) -> None:
    allowed = {"permissions": ["clipboard-read", "clipboard-write"]}
    with viewing.serving(store, uploads=False) as address, viewing.opened(chromium, address, **allowed) as page:
        page.goto("/small/unit/features.5:3")
        page.settle()
        page.see(".facets summary").click()
        command = page.see(".facets .command")
        command.locator("code").focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(100)
        assert page.path().endswith(":3")
        command.locator("button").click()
        command.get_by_text("Copied", exact=True).wait_for()
        assert page.script("() => navigator.clipboard.readText()") == command.locator("code").inner_text()
        link = page.see(".steps button").first
        for _ in range(2):
            link.click()
            page.until("() => document.querySelector('.steps button').textContent === 'Copied'")
        page.until("() => document.querySelector('.steps button').textContent === 'copy link'")
        assert page.script("() => navigator.clipboard.readText()") == page.url
        assert command.get_by_text("Copied", exact=True).count() == 0
        page.script("() => { navigator.clipboard.writeText = () => Promise.reject(new Error()); }")
        command.locator("button").click()
        page.until("() => getSelection().toString().startsWith('actlas show')")
        for _ in range(2):
            link.click()
            page.until("() => getSelection().toString() === location.href")
        assert page.see(".to-copy").count() == 1
        page.see("main").focus()
        page.keyboard.press("ArrowRight")
        page.until("() => location.pathname.endsWith(':4')")


@pytest.mark.sweep
def test_an_address_of_what_is_not_there_says_so(page: viewing.Page) -> None:
    for number in ("", "0x5", "1e1", "-1", "+3", "5.0", "12", "0000000003"):
        page.goto(f"/small/unit/{LAYER}:{number}")
        page.see("h1").wait_for()
        page.settle()
        assert page.see("h1").inner_text() == "There is nothing here", number
    page.goto(f"/small/unit/{LAYER}:3?trail=foo:999~{OTHER}:0x5~{OTHER}:2~{LAYER}:99")
    page.settle()
    assert [link.inner_text() for link in page.see(".trail a").all()] == [f"{OTHER}:2 →"]
    link = page.see(".carried-open").get_attribute("href")
    assert unquote(link).endswith(f"?trail={OTHER}:2~{LAYER}:3")
    cells = page.get(f"/api/1/runs/small/current/cells?layer={LAYER}&grid=4")
    there = set(zip(cells["row"], cells["col"], strict=True))
    free = next(f"{row},{col}" for row in range(4) for col in range(4) if (row, col) not in there)
    for query, said in (
        (f"grid=4&cell={free}", f"There is no cell {free} in this grid."),
        ("grid=4&cell=1.5,2", "There is no cell 1.5,2 in this grid."),
        ("grid=99", f"{LAYER} has no grid 99."),
        ("locate=abc", "There is no image abc."),
    ):
        page.goto(f"{ATLAS}?{query}")
        page.see(".map-absent").get_by_text(said, exact=True).wait_for()
        assert page.see(".panel").is_hidden()
    page.goto(f"{ATLAS}?grid=4")
    page.settle()
    page.click_cell()
    page.see(".panel .patches").wait_for()
    assert page.see(".map-absent").inner_text() == ""


def test_a_viewer_that_is_gone_is_said_once(chromium: Any, store: Path) -> None:
    with viewing.serving(store, uploads=False) as address, viewing.opened(chromium, address) as page:
        page.goto(f"/small/units/{LAYER}")
        page.see(".units li").first.wait_for()
        page.settle()
        page.route("**/api/1/**", lambda route: route.abort())
        page.see(".units a").nth(3).click()
        page.see(".failed").wait_for()
        page.settle()
        assert page.see(".failed").count() == 1
        page.see("[role=tab] >> text=Most negative").click()
        page.settle()
        assert page.see(".failed").count() == 1
        page.unroute("**/api/1/**")
        page.see(".failed button").click()
        page.see(".links button").first.wait_for()
        page.settle()
        assert page.see(".failed").count() == 0
        for part in (".lead", ".unit-made img", ".shots img", ".near a"):
            assert page.see(part).first.is_visible(), part


def test_names_are_written_as_they_are_in_what_went_wrong(page: viewing.Page) -> None:
    told = ("small has no such units", "small has no such units"), ("there are no units", "There are no units")
    for error, said in (*told, ("features.5 has none", "features.5 has none"), ("'a' is none", "'a' is none")):
        page.unroute("**/units?*")
        page.route("**/units?*", lambda route, *, error=error: route.fulfill(status=404, json={"error": error}))
        page.goto(f"/small/units/{LAYER}")
        page.see(".failed p").wait_for()
        assert page.see(".failed p").inner_text() == said
