"""What a map is asked for: a class or a label, alone or against another, in one bar, one field and one address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import axe, viewing
from support.map_filter import ATLAS, COMB, FENCE, LAYER, NAMES, ask_for, chips, legend

from flows import cli


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    with viewing.serving_without_bound(tmp_path_factory) as served:
        yield served


def test_one_class_against_another_takes_two_clicks(page: viewing.Page) -> None:
    page.goto(f"{ATLAS}?grid=4")
    page.settle()
    ask_for(page, "fence", "honeycomb")
    assert f"class={FENCE}" in page.url
    assert f"against={COMB}" in page.url
    tally = page.get("/api/1/runs/small/current/tally", layer=LAYER, grid="4")["classes"]
    known = {name.split(",")[0]: samples for _, name, samples in tally}
    assert chips(page) == [(NAMES[FENCE], known.get(NAMES[FENCE], 0)), (NAMES[COMB], known.get(NAMES[COMB], 0))]
    of = [page.get("/api/1/runs/small/current/class", layer=LAYER, grid="4", of=str(n))["mean"] for n in (FENCE, COMB)]
    most = max(abs(a - b) for a, b in zip(*of, strict=True))
    told = legend(page)
    assert told.startswith(f"Evidence for {NAMES[FENCE]} against {NAMES[COMB]}")
    for name in (NAMES[FENCE], NAMES[COMB]):
        assert f"{name} {most:.2f}" in told or most < 0.01
    assert "= full colour" in told
    assert told.index(f"{NAMES[FENCE]} {most:.2f}") < told.index(
        f"{NAMES[COMB]} {most:.2f}"
    )  # as the chips are ordered
    assert [link.replace("cell ", "") for link in page.see(".peak").all_inner_texts()] == strongest_cells(page, *of)
    page.reload()
    page.settle()
    assert (len(chips(page)), legend(page)) == (2, told)
    page.go_back()
    page.until("() => !location.search.includes('against=')")
    page.settle()
    assert [name for name, _ in chips(page)] == [NAMES[FENCE]]


def strongest_cells(page: viewing.Page, one: list[float], other: list[float]) -> list[str]:
    """Return the cells that have most more of one than of the other, and of the other than of the one."""
    cells = page.get("/api/1/runs/small/current/cells", layer=LAYER, grid="4")
    more = [a - b for a, b in zip(one, other, strict=True)]
    ends = [more.index(end) for end in (max(more), min(more)) if (end > 0) == (end == max(more)) and end]
    return [f"{cells['row'][i]},{cells['col'][i]}" for i in ends]


def test_any_other_name_is_typed_where_it_is_asked_for(page: viewing.Page) -> None:
    page.goto(f"{ATLAS}?grid=4")
    page.settle()
    page.see("text=Any other name …").click()
    assert page.see(".filter-bar .search input").bounding_box()["width"] > 120
    page.see("#found-beside li").first.wait_for()  # the most frequent names, before anything is typed
    assert "class, on the map" in page.see("#found-beside li").first.inner_text()
    page.keyboard.type("fence")
    page.see("#found-beside li[aria-selected=true]").wait_for()
    page.keyboard.press("Enter")
    page.until(f"() => location.search.includes('class={FENCE}')")
    page.settle()
    assert page.see(".filter-bar .search").count() == 0
    page.see("text=Any other name …").click()
    page.keyboard.press("Escape")
    page.see("text=Any other name …").wait_for()
    assert f"class={FENCE}" in page.url


def test_chips_are_removed_by_mouse_and_by_keys(page: viewing.Page) -> None:
    page.goto(f"{ATLAS}?class=1&against=2")
    page.settle()
    page.see(".filter-chip button").first.click()
    page.until("() => location.search.includes('class=2') && !location.search.includes('against')")
    page.settle()
    page.see(".filter-offer").first.click()
    page.until("() => location.search.includes('against=')")
    page.settle()
    page.see(".filter-chip button").nth(1).focus()
    page.keyboard.press("Delete")
    page.until("() => !location.search.includes('against=')")
    page.settle()
    assert page.script("() => document.activeElement.closest('.filter-chip') !== null")
    page.keyboard.press("Enter")
    page.until("() => !location.search.includes('class=')")
    page.settle()
    assert page.see(".filter-chip").count() == 0
    assert page.script("() => document.activeElement.closest('.filter-bar') !== null")


def test_labels_are_shown_where_there_is_no_attribution(page: viewing.Page) -> None:
    def without(route: Any) -> None:
        about = route.fetch().json()
        for layer in about["layers"]:
            for grid in layer["grids"]:
                grid["has"] = [stage for stage in grid["has"] if stage != "attribution"]
        route.fulfill(json=about | {"missing": {"attribution": "actlas run --with attribution"}})

    page.route("**/api/1/runs/small/current", without)
    page.goto(f"{ATLAS}?grid=4")
    page.settle()
    offers = [row.split("\n")[0] for row in page.see(".filter-offer").all_inner_texts()]
    assert set(offers) == {"stripes", "checks", "noise"}
    ask_for(page, "stripes", "checks")
    assert "label=stripes&against=checks" in page.url.replace("&grid=4", "")
    total = {label: n for _, label, n in page.get("/api/1/runs/small/current/tally", layer=LAYER, grid="4")["labels"]}
    assert chips(page) == [("stripes", total["stripes"]), ("checks", total["checks"])]
    assert legend(page).startswith("Samples labelled stripes against checks")
    assert "% = full colour" in legend(page).replace("\u00a0", " ")
    page.unroute("**/api/1/runs/small/current")


def shares(page: viewing.Page, label: str) -> list[float | None]:
    """Return the share of each cell's samples that have a label, None within chance, as the interface answers."""
    place = {"layer": LAYER, "grid": "4"}
    number = next(n for n, name, _ in page.get("/api/1/runs/small/current/tally", **place)["labels"] if name == label)
    cells = page.get("/api/1/runs/small/current/label", **place, number=str(number))["cells"]
    counts = page.get("/api/1/runs/small/current/cells", **place)["count"]
    known = {cell: n / counts[cell] for cell, n, out in cells if out}
    return [known.get(cell) for cell in range(len(counts))]


def test_the_list_shows_the_shares_and_the_difference(page: viewing.Page) -> None:
    one, other = shares(page, "stripes"), shares(page, "checks")
    page.goto(f"{ATLAS}?grid=4&view=list&label=stripes&against=checks")
    page.settle()
    heads = page.see(".list th").all_inner_texts()
    at = heads.index("stripes − checks")
    assert heads[at + 1 : at + 3] == ["stripes", "checks"]
    rows = [row.split("\t") for row in page.see(".list tbody tr").all_inner_texts()]
    told = sorted(tuple(cell.replace("\u00a0", "").strip() for cell in row[at + 1 : at + 3]) for row in rows)
    known = sorted(
        tuple("–" if s is None else f"{int(100 * s + 0.5)}%" for s in pair) for pair in zip(one, other, strict=True)
    )
    assert told == known
    assert page.see(f".list th:nth-child({at + 1})").get_attribute("aria-sort") == "descending"


def test_there_is_one_field_for_names(page: viewing.Page) -> None:
    for place in (
        ATLAS,
        f"{ATLAS}?class=1",
        f"/small/units/{LAYER}",
        f"/small/unit/{LAYER}:3",
        "/small/image",
        "/small/run",
    ):
        page.goto(place)
        page.settle()
        fields = page.script("() => [...document.querySelectorAll('input')].map((field) => field.type)")
        assert [kind for kind in fields if kind not in ("range", "checkbox", "file")] == ["search"], place


def test_escape_and_another_layer(page: viewing.Page) -> None:
    page.goto(f"{ATLAS}?label=stripes&against=checks")
    page.settle()
    page.keyboard.press("[")
    page.wait_for_url("**/features.2?*")
    assert "label=stripes&against=checks" in page.url
    page.settle()
    page.see(".stage").focus()
    page.keyboard.press("Escape")
    page.until("() => !location.search.includes('label=') && !location.search.includes('against=')")


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_the_bar_fits_every_width(width: int, chromium: Any, served: viewing.Served) -> None:
    with viewing.opened(chromium, served.address, viewport={"width": width, "height": 800}) as page:
        for query in ("", "?class=1", "?class=1&against=2", "?label=stripes&against=checks"):
            page.goto(ATLAS + query)
            page.settle()
            assert page.script("() => document.documentElement.scrollWidth") <= width
            small = page.script(
                "() => [...document.querySelectorAll('.filter-bar button')].filter(b => b.checkVisibility())"
                ".map(b => b.getBoundingClientRect()).filter(b => b.height < 24 || b.right > innerWidth).length"
            )
            assert small == 0, query


def test_axe_finds_nothing_in_the_bar(chromium: Any, served: viewing.Served) -> None:
    axe.needed()
    with viewing.opened(chromium, served.address, bypass_csp=True) as page:
        said: dict[str, list[str]] = {}
        for query in ("", "?class=1&against=2", "?label=stripes", "?label=stripes&against=checks&view=list"):
            page.goto(ATLAS + query)
            said |= axe.violations(page, query)
        page.see(".list th .term").first.click()
        page.see(".term-box:popover-open").wait_for()
        said |= axe.violations(page, "an explanation")
        page.keyboard.press("Escape")
        page.see(".save-figure").click()
        page.see(".figure-preview").wait_for()
        assert said | axe.violations(page, "figure") == {}


def test_an_export_shows_the_same(served: viewing.Served, chromium: Any, tmp_path: Path) -> None:
    assert cli.invoke(["export", "small", str(tmp_path / "atlas"), "--store", str(served.store)]) == 0
    told = {}
    for query in ("class=1&against=2", "label=stripes&against=checks", "label=noise"):
        for where in (f"{served.address}", f"file://{tmp_path}/atlas/index.html#"):
            with viewing.opened(chromium, where) as page:
                page.goto(f"{ATLAS}?grid=4&{query}")
                page.settle()
                told[where, query] = chips(page), legend(page)
                assert page.complaints() == []
        shown = [seen for (_, asked), seen in told.items() if asked == query]
        assert shown[0] == shown[1]
        assert shown[0][0]
