"""Walking through the page: what an address keeps, where the focus is, what signs say without colour, and small screens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from support import viewing

from storage.store.store import Contents, Store

LAYER = "features.5"
NAMES = ("compare", "api", "a..b", "dot.")
"""Runs that are called as parts of an address are."""

FIRST = f"/small@1/atlas/{LAYER}"
"""The version that has everything in it."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    images, store = viewing.two_versions(tmp_path_factory)
    opened = Store(store)
    first = opened.version("small", 1)
    for name in NAMES:
        opened.publish(name, Contents(dict(first.about), list(first.stages)))
    with viewing.serving(store, seconds=240) as address:
        yield viewing.Served(address, store, images)


def query(page: viewing.Page) -> dict[str, str]:
    """Return the words of the address."""
    found: dict[str, str] = page.script("() => Object.fromEntries(new URLSearchParams(location.search))")
    return found


def focused(page: viewing.Page) -> str:
    """Return what has the focus, in few words."""
    return str(page.script("() => { const e = document.activeElement; return `${e.tagName} ${e.className}`.trim(); }"))


def test_a_cell_of_the_list_is_opened_in_the_list(page: viewing.Page) -> None:
    kept = {"view": "list", "class": "1", "side": "both", "intensity": "60", "shade": "density", "order": "fidelity"}
    page.goto(f"{FIRST}?grid=4&{'&'.join(f'{name}={value}' for name, value in kept.items())}")
    page.see(".list tbody tr").first.wait_for()
    page.settle()
    assert page.see(".list th[data-order=fidelity]").get_attribute("aria-sort") == "descending"
    page.see(".list tbody a").nth(3).focus()
    page.keyboard.press("Enter")
    page.see(".panel .near a").first.wait_for()
    page.settle()
    assert kept.items() <= query(page).items()
    assert page.script("() => document.activeElement === document.querySelectorAll('.list tbody a')[3]")
    assert page.see(".list tr[aria-current]").count() == 1
    page.see(".list th[data-order=coherence] .sort").click()
    page.until("() => location.search.includes('order=coherence')")
    page.see(".panel .near a").first.click()
    page.settle()
    assert (kept | {"order": "coherence"}).items() <= query(page).items()
    assert focused(page) == "H2 panel-title"
    page.go_back()
    page.go_back()
    page.see(".list th[data-order=fidelity][aria-sort=descending]").wait_for()
    page.reload()
    page.see(".list th[data-order=fidelity][aria-sort=descending]").wait_for()


def often(route: Any) -> None:
    """Answer with every cell six times over: this small run fills no page of the list."""
    columns = route.fetch().json()
    route.fulfill(json={name: part * 6 if isinstance(part, list) else part for name, part in columns.items()})


def test_more_cells_stay_when_one_is_opened(page: viewing.Page) -> None:
    page.route(re.compile(r"/(cells|details)\?.*grid=4"), often)
    page.goto(f"{FIRST}?view=list&grid=4")
    page.see(".list tbody tr").first.wait_for()
    page.settle()
    few = page.see(".list tbody tr").count()
    page.see(".list > button").click()
    many = page.see(".list tbody tr").count()
    assert many > few
    page.see(".list tbody a").nth(few).focus()
    page.keyboard.press("Enter")
    page.see(".panel").wait_for()
    page.settle()
    assert page.see(".list tbody tr").count() == many
    assert page.script(f"() => document.activeElement === document.querySelectorAll('.list tbody a')[{few}]")


def test_the_focus_goes_along_to_another_place(page: viewing.Page) -> None:
    page.goto(f"{FIRST}?grid=4")
    page.settle()
    assert focused(page) == "BODY"
    page.see(".stage").focus()
    for key in ("ArrowRight", "Enter"):
        page.keyboard.press(key)
    page.see(".panel .patches a").first.wait_for()
    page.settle()
    assert focused(page) == "DIV stage"
    for link, place in ((".panel .patches a", "/image/"), (".speaker .chip", "/unit/"), (".carried-open", "/unit/")):
        page.see(link).first.focus()
        page.keyboard.press("Enter")
        page.until(f"() => location.pathname.includes('{place}')")
        page.settle()
        assert focused(page) == "MAIN place", place
    assert page.script("() => getComputedStyle(document.querySelector('main')).outlineStyle") == "none"
    page.see("main a").nth(5).focus()
    page.go_back()
    page.settle()
    assert focused(page) == "MAIN place"
    page.see(".places a").first.focus()
    page.keyboard.press("Enter")
    page.until("() => location.pathname.includes('/atlas/')")
    page.settle()
    page.see("nav.rail a").last.focus()
    page.keyboard.press("Enter")
    page.until(f"() => location.pathname.endsWith('{LAYER}')")
    page.settle()
    assert page.script("() => document.activeElement === [...document.querySelectorAll('nav.rail a')].at(-1)")


def test_the_focus_stays_where_nothing_is_left(page: viewing.Page) -> None:
    page.goto(f"/small@1/units/{LAYER}")
    page.settle()
    assert focused(page) == "BODY"
    page.see("#sort").focus()
    page.select_option("#sort", "max")
    page.wait_for_url("**sort=max")
    page.settle()
    assert page.script("() => document.activeElement.id") == "sort"


def test_what_was_located_follows_the_grid(page: viewing.Page) -> None:
    page.goto(f"{FIRST}?grid=2&locate=7")
    page.see(".panel .near button").first.wait_for(timeout=200_000)
    page.settle()
    told = "() => [...document.querySelectorAll('.panel .near button')].map((b) => b.title)"
    coarse, words = page.script(told), page.see(".panel p[role=status]").inner_text()
    page.select_option("#grid", "4")
    page.until("() => location.search.includes('grid=4')")
    page.settle()
    fine = page.script(told)
    assert fine != coarse
    cells = page.get(f"/api/1/runs/small/1/cells?layer={LAYER}&grid=4")
    there = {f"{row},{col}" for row, col in zip(cells["row"], cells["col"], strict=True)}
    assert {words.split()[1].rstrip(":") for words in fine} <= there
    assert page.see(".panel p[role=status]").inner_text() != words


def test_compared_maps_look_where_the_address_says(page: viewing.Page) -> None:
    both = f"/compare/small@1..small@2/{LAYER}"
    page.goto(f"{both}?grid=4")
    page.see(".sides .stage").nth(1).wait_for()
    page.settle()
    shots: dict[str, list[list[bytes]]] = {}
    for at in ("0.4000,0.4000,2.000", "0.6000,0.6000,3.000", "0.4000,0.4000,2.000"):
        address = f"{both}?grid=4&at={at}"
        page.script("at => { history.pushState(null, '', at); dispatchEvent(new PopStateEvent('popstate')); }", address)
        page.settle()
        page.wait_for_timeout(150)
        shots.setdefault(at, []).append([page.see(".sides .stage").nth(i).screenshot() for i in (0, 1)])
    (first, again), (other,) = shots.values()
    assert first == again
    assert first[0] != other[0]
    assert first[1] != other[1]
    page.go_back()
    page.settle()
    page.wait_for_timeout(150)
    assert page.see(".sides .stage").nth(1).screenshot() == other[1]


def test_in_compare_the_later_version_is_the_one_that_is_shown(page: viewing.Page, served: viewing.Served) -> None:
    page.goto(f"/compare/small@1..small@2/{LAYER}")
    page.see(".sides .stage").nth(1).wait_for()
    page.settle()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.keyboard.press("?")
    page.see("dialog.help").wait_for()
    assert [url for url in asked if "/small/2-" not in url or "real_fidelity" not in url] == []
    page.keyboard.press("Escape")
    page.select_option("[aria-label=version]", "1")
    page.until("() => location.pathname.startsWith('/compare/small@1..small@1/')")


DRAWN = """
window.drawn = { dashed: 0, hatched: 0 };
const { stroke, fillRect } = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.stroke = function (...path) {
  if (this.getLineDash().length) window.drawn.dashed += 1;
  return stroke.apply(this, path);
};
CanvasRenderingContext2D.prototype.fillRect = function (...box) {
  if (this.fillStyle instanceof CanvasPattern) window.drawn.hatched += 1;
  return fillRect.apply(this, box);
};
"""
"""Counts what is drawn with a second sign besides its colour."""


def within(beyond: int) -> Any:
    """Return what answers as if all that moved did so beyond the noise, or within it."""

    def answer(route: Any) -> None:
        moved = route.fetch().json()
        moved["displacement"]["noise_median"] = 0.01
        for arrows in moved["arrows"]:
            arrows["beyond"] = [beyond] * len(arrows["beyond"])
        route.fulfill(json=moved)

    return answer


@pytest.mark.parametrize(
    "address", [f"/compare/small@1..small@2/{LAYER}?grid=4", f"/small/atlas/{LAYER}?grid=4&shade=motion:small@1"]
)
def test_motion_within_the_noise_is_dashed(page: viewing.Page, address: str) -> None:
    page.add_init_script(DRAWN)
    dashed = []
    for beyond in (1, 0):
        page.route(re.compile(r"/moved\?"), within(beyond))
        page.goto(address)
        page.see(".key-arrow.within").wait_for()
        page.settle()
        dashed.append(page.script("() => drawn.dashed"))
    assert dashed[0] == 0 < dashed[1]
    assert "within the noise" in page.see("main").inner_text()


def test_what_is_against_is_hatched_on_the_photo(page: viewing.Page) -> None:
    page.add_init_script(DRAWN)
    for show, hatched in (("speaks", True), ("groups", False), ("integrated-gradients", True)):
        page.goto(f"/small@1/image/7?layer={LAYER}&show={show}")
        page.see(".choices li").first.wait_for(timeout=60_000)
        page.settle()
        assert (page.script("() => drawn.hatched") > 0) == hatched, show
        assert (page.see("figcaption .signs").count() == 1) == hatched, show
    page.goto(f"/small@1/image/7?layer=features.2&to={LAYER}")
    page.see(".line-key").nth(1).wait_for(timeout=60_000)


ROOM = """() => {
  const m = document.querySelector('main');
  return [m.scrollWidth - m.clientWidth, document.documentElement.scrollWidth];
}"""
NARROW = {"width": 390, "height": 844}


@pytest.mark.sweep
def test_nothing_is_wider_than_a_telephone(chromium: Any, served: viewing.Served) -> None:
    cell = httpx.get(f"{served.address}/api/1/runs/small/1/cells?layer={LAYER}&grid=4").json()
    at = f"{cell['row'][0]},{cell['col'][0]}"
    both = f"/compare/small@1..small@2/{LAYER}"
    with viewing.opened(chromium, served.address, viewport=NARROW) as page:
        for address in (
            "/",
            "/api",
            "/small/run",
            FIRST,
            f"{FIRST}?grid=4&cell={at}",
            f"{FIRST}?view=list&class=1",
            f"/small/atlas/{LAYER}?shade=motion:small@1",
            both,
            f"{both}?grid=4&cell={at}",
            f"/small/image?layer={LAYER}",
            f"/small/units/{LAYER}",
            "/small@1/unit/features.2:3",
            "/small@1/unit/features.2:3?side=range",
            f"/small@1/image/7?layer=features.2&to={LAYER}",
        ):
            page.goto(address)
            page.settle()
            over, wide = page.script(ROOM)
            assert (over, wide) == (0, 390), address


def test_locate_leaves_the_map_on_a_telephone(chromium: Any, served: viewing.Served) -> None:
    with viewing.opened(chromium, served.address, viewport=NARROW) as page:
        page.goto(f"{FIRST}?locate=7")
        page.see(".panel .near button").first.wait_for(timeout=60_000)
        page.settle()
        box, sheet = page.see(".stage").bounding_box(), page.see(".panel").bounding_box()
        assert box["height"] > 0.4 * NARROW["height"]
        assert box["y"] + box["height"] <= sheet["y"] + 1
        assert sheet["y"] + sheet["height"] <= NARROW["height"] + 1
        photo = page.see(".panel .positioned img").bounding_box()
        assert page.see(".panel .positions").bounding_box() == photo


ADDRESSED = {
    "/compare": "atlas · compare@1",
    f"/compare/atlas/{LAYER}": f"{LAYER} · atlas · compare@1",
    "/compare@1/run": "run · compare@1",
    "/api": "API",
    "/api@1": "atlas · api@1",
    f"/api/units/{LAYER}": f"units · {LAYER} · api@1",
    f"/a..b/atlas/{LAYER}": f"{LAYER} · atlas · a..b@1",
    f"/compare/a..b@1..small@2/{LAYER}": "compare · a..b@1 · small@2",
    f"/compare/small@1..a..b@1/{LAYER}": "compare · small@1 · a..b@1",
    f"/compare/a%2E%2Eb..compare/{LAYER}": "compare · a..b@1 · compare@1",
    f"/compare/dot...api@1/{LAYER}": "compare · dot.@1 · api@1",
}


def test_runs_called_as_parts_of_an_address_are_addressed(page: viewing.Page) -> None:
    for address, title in ADDRESSED.items():
        assert httpx.get(page.address + address).status_code == 200, address
        page.goto(address)
        page.settle()
        assert title in page.title(), address
    for lost in ("/compare/atlas/nothing", "/compare/nobody..small", "/compare/small", "/api/1/nothing", "/pictures/x"):
        assert httpx.get(page.address + lost).status_code == 404, lost


def test_an_address_that_was_written_is_read_the_same(page: viewing.Page) -> None:
    page.goto(f"/compare/a..b@1..small@2/{LAYER}")
    page.see("[aria-label='Swap the two']").click()
    page.until("() => location.pathname.startsWith('/compare/small@2..a%2E%2Eb@1/')")
    page.reload()
    page.settle()
    assert page.title() == "compare · small@2 · a..b@1 · actlas"
    page.see(".sides figcaption a").nth(1).click()
    page.until(f"() => location.pathname === '/a..b@1/atlas/{LAYER}'")
    page.go_back()
    page.settle()
    assert page.title() == "compare · small@2 · a..b@1 · actlas"
