"""What the map and the line below it say of a class or a label: colours, hatching, and where nothing stands behind them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from support import viewing
from support.map_filter import ATLAS, BLUE, COMB, FENCE, LAYER, NAMES, ORANGE, chips, coloured, legend


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    with viewing.serving_without_bound(tmp_path_factory) as served:
        yield served


def test_a_class_that_is_nobodys_first_choice_is_said_to_be_leant_to(page: viewing.Page) -> None:
    def without(route: Any) -> None:
        tally = route.fetch().json()
        route.fulfill(json=tally | {"classes": [row for row in tally["classes"] if row[0] != FENCE]})

    def with_means(route: Any) -> None:
        found = route.fetch().json()
        route.fulfill(json=found | {"mean": [0.1, 0.3] + [-0.2] * (len(found["mean"]) - 2)})

    page.route("**/class?*", with_means)
    page.goto(f"{ATLAS}?grid=4&class={FENCE}")
    page.settle()
    known = chips(page)[0][1]
    assert ("No sample" in legend(page)) is (known == 0)
    assert f"strongest in {known} of " in page.see(".filter-chip").inner_text()
    page.route("**/tally?*", without)
    page.reload()
    page.settle()
    place = {"layer": LAYER, "grid": "4"}
    cells = page.get("/api/1/runs/small/current/cells", **place)
    rank = page.get("/api/1/runs/small/current/class", **place, of=str(FENCE))["rank"][1]
    assert re.search(rf"cell {cells['row'][1]},{cells['col'][1]} \(\+0\.30?, rank {rank} of 4\)", legend(page))
    assert f"No sample has {NAMES[FENCE]} as its strongest class: cells only lean towards it." in legend(page)
    assert f"strongest in 0 of {sum(cells['count'])} samples" in page.see(".filter-chip").inner_text()
    for answer in ("class", "tally"):
        page.unroute(f"**/{answer}?*")


def test_two_classes_that_nobody_chooses_first_are_said_in_one_sentence(page: viewing.Page) -> None:
    page.route("**/tally?*", lambda route: route.fulfill(json=route.fetch().json() | {"classes": []}))
    page.goto(f"{ATLAS}?grid=4&class={FENCE}&against={COMB}")
    page.settle()
    assert legend(page).count("No sample has") == 1
    assert f"No sample has {NAMES[FENCE]} or {NAMES[COMB]} as its strongest class: cells only lean" in legend(page)
    page.unroute("**/tally?*")


@pytest.mark.parametrize(
    ("side", "hatched", "strongest"),
    [
        ("", False, r"Most evidence .*cell \d,\d \(\+0.4, rank \d of 4\)"),
        ("against", True, r"Most against it in cell \d,\d \(−0.5\)\."),
        ("both", True, r"Most evidence .*, most against it in cell \d,\d \(−0.5\)\."),
    ],
)
def test_cells_against_a_class_are_hatched_where_they_are_asked_for(
    page: viewing.Page, side: str, hatched: bool, strongest: str
) -> None:
    def split(route: Any) -> None:
        found = route.fetch().json()
        route.fulfill(json=found | {"mean": [0.4 if i % 2 else -0.5 for i in range(len(found["mean"]))]})

    page.route("**/class?*", split)
    page.goto(f"{ATLAS}?grid=4&names=none&class={FENCE}&side={side}")
    page.settle()
    page.wait_for_timeout(200)
    assert (coloured(page, BLUE) > 20) is hatched
    assert ("hatched" in legend(page)) is hatched
    told = re.sub(r"(\.\d)0\b", r"\1", legend(page))
    assert re.search(strongest, told), told
    page.unroute("**/class?*")


def test_two_names_have_two_colours(page: viewing.Page) -> None:
    page.goto(f"{ATLAS}?grid=4&names=none")
    page.settle()
    assert (coloured(page, ORANGE), coloured(page, BLUE)) == (0, 0)

    def split(route: Any) -> None:
        found = route.fetch().json()
        sign = 1 if "of=1" in route.request.url else -1
        means = [sign * (-1) ** i * 0.5 for i in range(len(found["mean"]))]
        route.fulfill(json=found | {"mean": means})

    page.route("**/class?*", split)
    page.goto(f"{ATLAS}?grid=4&names=none&class=1&against=2")
    page.settle()
    page.wait_for_timeout(200)
    assert coloured(page, ORANGE) > 200
    assert coloured(page, BLUE) > 200
    page.unroute("**/class?*")


def test_what_chance_explains_is_blank_and_said(page: viewing.Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def within(route: Any) -> None:
        found = route.fetch().json()
        route.fulfill(json=found | {"cells": [[cell, n, False] for cell, n, _ in found["cells"]]})

    page.route("**/label?*", within)
    page.goto(f"{ATLAS}?grid=4&label=stripes&names=none")
    page.see("text=Nothing here speaks for stripes: no cell has more of it than chance explains.").wait_for()
    page.settle()
    assert coloured(page, ORANGE) == 0
    page.unroute("**/label?*")
    page.goto(f"{ATLAS}?grid=4&label=zebra")
    page.see("text=No sample of features.5 has the label “zebra”.").wait_for()
    page.see("text=Show all labels").click()
    page.until("() => !location.search.includes('label=')")
    page.see(".search input").fill("zebra")
    page.see("#found").get_by_text("No match.").wait_for()


def test_a_low_window_leaves_the_map_its_height_and_full_screen_has_large_letters(page: viewing.Page) -> None:
    page.goto(f"{ATLAS}?grid=4&class=1&against=2")
    page.settle()
    page.set_viewport_size({"width": 853, "height": 533})
    page.until("() => document.querySelector('.map-foot').offsetHeight < 50")
    assert page.see(".stage").bounding_box()["height"] > 280
    page.set_viewport_size(viewing.WIDE)
    page.script("() => document.documentElement.requestFullscreen()")
    page.until("() => !!document.fullscreenElement")
    assert page.script("() => getComputedStyle(document.querySelector('.map-foot .small')).fontSize") == "16px"
    page.script("() => document.exitFullscreen()")


def test_a_card_names_its_cell_and_its_numbers(page: viewing.Page) -> None:
    page.goto(f"{ATLAS}?grid=4")
    page.settle()
    page.hover_cell()
    page.see(".card .bars-head").wait_for()
    assert re.match(r"Cell \d,\d", page.see(".card-line").inner_text())
    assert page.see(".card .bars-head").inner_text().split("\n") == ["evidence", "strongest in"]
