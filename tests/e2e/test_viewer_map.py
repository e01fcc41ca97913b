"""The map of cells in a browser: what is asked for when, hovering, opening, zooming, going back."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from support import viewing

LAYER = "features.5"
ATLAS = f"/small/atlas/{LAYER}"


def test_the_first_view_is_the_atlas(page: viewing.Page) -> None:
    page.goto("/small")
    page.settle()
    assert page.path().startswith("/small/atlas/features.")
    assert page.see("nav.rail a").count() == 2
    assert page.pixels(".stage") > 20
    assert page.title() == f"{page.path().split('/')[-1]} · atlas · small@1 · actlas"


def test_each_layer_has_its_pictures_however_often_one_changes(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    for other in ("features.2", LAYER, "features.2"):
        page.see(f'nav.rail a[href*="{other}"]').click()
        page.until(f"() => location.pathname.endsWith({other!r})")
        page.settle()
        assert page.pixels(".stage") > 20, other


SENT = """() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
    .map((entry) => [entry.name, entry.transferSize])"""


def test_the_first_view_is_small_and_asks_for_nothing_before_it_is_wanted(
    chromium: Any, served: viewing.Served
) -> None:
    with viewing.opened(chromium, served.address) as page:  # one whose browser has nothing in its cache
        page.goto(ATLAS)
        page.settle()
        sent = {name.removeprefix(page.address): size for name, size in page.script(SENT)}
    assert sum(size for name, size in sent.items() if not name.startswith("/pictures/")) < 290_000
    asked = {name.split("?")[0].split("/")[-1] for name in sent if name.startswith(("/api/", "/pictures/"))}
    # The names that the bar offers are on show, so their tally is asked for.
    assert asked <= {"current", "cells", "names", "tally", "tile"}
    # The grid that is shown, and the coarsest, whose box is the first view.
    assert len([name for name in sent if "/cells?" in name]) <= 2


def test_what_cells_are_is_asked_once_somebody_looks(page: viewing.Page) -> None:
    """Where cells are small nothing is written on them; the first that is pointed at asks."""
    page.set_viewport_size({"width": 390, "height": 520})
    page.goto(f"{ATLAS}?grid=4&at=0.5,0.5,0.5")
    page.settle()
    assert not [name for name, _ in page.script(SENT) if "/details?" in name]
    box = page.see(".stage").bounding_box()
    for x in range(30, 71):
        page.mouse.move(box["x"] + box["width"] * x / 100, box["y"] + box["height"] / 2)
        if page.see(".card").is_visible():
            break
    page.see(".card .bars li").first.wait_for()
    assert len([name for name, _ in page.script(SENT) if "/details?" in name]) == 1


def test_the_map_follows_the_theme_of_the_system(page: viewing.Page) -> None:
    page.goto(f"{ATLAS}?grid=2")
    page.settle()
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(300)
    turned = page.shot(".stage")
    page.reload()
    page.settle()
    page.wait_for_timeout(300)
    assert page.shot(".stage") == turned


def test_what_is_written_on_cells_is_there_without_a_touch(page: viewing.Page) -> None:
    page.goto(f"{ATLAS}?grid=2")
    page.settle()
    page.wait_for_timeout(300)
    found = page.shot(".stage")
    for _ in range(2):
        page.keyboard.press("t")
        page.wait_for_timeout(300)
    assert page.shot(".stage") == found


def test_hover_shows_the_icon_and_leaves_with_the_cursor(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    page.hover_cell()
    card = page.see(".card")
    assert card.is_visible()
    assert re.search(r"\d+ samples", card.inner_text())
    page.mouse.move(5, 300)
    assert card.is_hidden()


def test_hover_answers_within_a_frame(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    page.hover_cell()
    took = page.script(
        """() => {
          const stage = document.querySelector('.stage'), box = stage.getBoundingClientRect(), took = [];
          for (let i = 0; i < 60; i++) {
            const start = performance.now();
            const at = { clientX: box.left + box.width * (0.3 + i * 0.006), clientY: box.top + box.height * 0.5 };
            stage.dispatchEvent(new PointerEvent('pointermove', { bubbles: true, ...at }));
            took.push(performance.now() - start);
          }
          return took.sort((a, b) => a - b)[30];
        }"""
    )
    assert took < 16.7


def test_a_click_opens_the_cell_and_its_address_says_so(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    page.click_cell()
    page.wait_for_url("**cell=*")
    panel = page.see(".panel")
    panel.get_by_text("Real patches").wait_for()
    assert panel.locator(".patches img").count() >= 1
    assert panel.locator(".chips a").first.get_attribute("href").startswith(f"/small/unit/{LAYER}:")
    there, heading = page.url, panel.locator(".panel-title").inner_text()
    page.reload()
    page.settle()
    assert panel.locator(".panel-title").inner_text() == heading
    page.go_back()
    panel.wait_for(state="hidden")
    page.go_forward()
    panel.wait_for()
    assert page.url == there
    page.keyboard.press("Escape")
    panel.wait_for(state="hidden")
    assert "cell=" not in page.url


def test_zoom_changes_the_grid_and_the_address(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    assert page.see("#grid option").first.inner_text() == "by zoom (4)"
    page.select_option("#grid", "2")
    page.wait_for_url("**grid=2*")
    page.settle()
    page.see("[aria-label='Zoom in (+)']").click()
    page.wait_for_url("**at=*")
    view = re.search(r"at=([\d.,-]+)", page.url)
    assert view
    page.reload()
    page.settle()
    assert view[1] in page.url
    page.see("[aria-label='The whole map (0)']").click()
    page.until("() => !location.search.includes('at=')")


def test_at_the_deepest_zoom_real_patches_are_asked_for(page: viewing.Page) -> None:
    page.goto(f"{ATLAS}?grid=4&at=.4,.4,4")
    page.settle()
    page.until("() => performance.getEntriesByType('resource').some((entry) => entry.name.includes('/member?'))")


def test_back_restores_where_one_looked(page: viewing.Page) -> None:
    page.goto(f"{ATLAS}?grid=4&at=0.3000,0.3000,3.000")
    page.settle()
    page.evaluate(
        "() => { history.pushState(null, '', '?grid=4&at=0.7,0.6,2.5'); dispatchEvent(new PopStateEvent('popstate')); }"
    )
    page.settle()
    page.go_back()
    page.until("() => location.search.includes('at=0.3')")
    page.settle()
    page.see("[aria-label='Zoom in (+)']").click()
    page.until("() => !location.search.includes(',3.000')")
    assert "at=0.3000,0.3000," in unquote(page.url)
