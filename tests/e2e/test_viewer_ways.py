"""Ways through the page: what is opened stays in sight, what is left is found again, and an address says what is shown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support import viewing

LAYER = "features.5"
ATLAS = f"/small/atlas/{LAYER}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    images, store = viewing.shared_run(tmp_path_factory)
    with viewing.serving(store) as address:
        yield viewing.Served(address, store, images)


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
