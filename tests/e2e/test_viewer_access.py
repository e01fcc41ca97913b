"""For everybody: states that no first view shows, narrow screens, files; and no motion where none is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import axe, viewing

from flows import cli

LAYER = "features.5"
ATLAS = f"/small/atlas/{LAYER}"
NARROW = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    images, store = viewing.shared_run(tmp_path_factory)
    store = viewing.copied(store, tmp_path_factory.mktemp("access"))
    viewing.another_run(store)
    with viewing.serving(store, seconds=240) as address:
        yield viewing.Served(address, store, images)


@pytest.fixture(scope="module")
def checked(chromium: Any, served: viewing.Served) -> Iterator[viewing.Page]:
    """One page for all states, that lets the checker in."""
    axe.needed()
    with viewing.opened(chromium, served.address, bypass_csp=True) as page:
        yield page


def clean(*said: dict[str, list[str]]) -> None:
    """Report all states at once."""
    assert dict(pair for each in said for pair in each.items()) == {}


def a_cell(page: viewing.Page) -> str:
    cells = page.get("/api/1/runs/small/current/cells", layer=LAYER, grid="4")
    return f"{cells['row'][0]},{cells['col'][0]}"


@pytest.mark.sweep
def test_what_opens_over_the_map_is_for_everybody(checked: viewing.Page) -> None:
    checked.goto(ATLAS)
    checked.settle()
    checked.keyboard.press("?")
    checked.see("dialog.help").wait_for()
    helped = axe.violations(checked, "help")
    checked.keyboard.press("Escape")
    checked.keyboard.press("/")
    checked.keyboard.type("e")
    checked.see(".found [role=option]").first.wait_for()
    searched = axe.violations(checked, "search")
    checked.keyboard.press("Escape")
    checked.see("button[title^='Find an image']").click()
    checked.see(".panel .images li").first.wait_for()
    clean(helped, searched, axe.violations(checked, "chooser"))


@pytest.mark.sweep
def test_images_and_a_cell_of_two_runs_are_for_everybody(checked: viewing.Page) -> None:
    checked.goto(f"/small/image?layer={LAYER}")
    checked.see(".images li").first.wait_for()
    images = axe.violations(checked, "images")
    checked.goto(f"{ATLAS}?locate=3")
    checked.see(".panel .positions").wait_for(timeout=120_000)
    located = axe.violations(checked, "located")
    checked.goto(f"/compare/small@1..again@1/{LAYER}?grid=4&cell={a_cell(checked)}")
    checked.see(".panel .halves").wait_for()
    clean(images, located, axe.violations(checked, "a cell compared"))


@pytest.mark.sweep
def test_what_could_not_be_shown_is_for_everybody(checked: viewing.Page) -> None:
    checked.goto(f"/nobody/atlas/{LAYER}")
    checked.see("text=This could not be shown").wait_for()
    said = [axe.violations(checked, "no such run")]
    checked.goto("/small/atlas/features.9")
    checked.see("text=There is nothing here").wait_for()
    said.append(axe.violations(checked, "no such layer"))
    checked.route("**/units?*", lambda route: route.fulfill(status=500, body="Internal Server Error"))
    checked.goto(f"/small/units/{LAYER}")
    checked.see(".failed").wait_for()
    assert checked.see(".failed").inner_text().startswith("The viewer answered 500.")
    said.append(axe.violations(checked, "the server failed"))
    checked.unroute("**/units?*")
    checked.see("text=Try again").click()
    checked.see(".units li").first.wait_for()
    clean(*said)


@pytest.mark.sweep
def test_narrow_screens_are_for_everybody(checked: viewing.Page) -> None:
    wide = checked.viewport_size
    checked.set_viewport_size(NARROW)
    said = []
    for name, address in {
        "atlas": ATLAS,
        "class": f"{ATLAS}?class=1",
        "cell": f"{ATLAS}?grid=4&cell={a_cell(checked)}",
        "unit": "/small/unit/features.2:3",
        "image": f"/small/image/7?layer={LAYER}",
    }.items():
        checked.goto(address)
        said.append(axe.violations(checked, f"narrow {name}"))
    checked.set_viewport_size(wide)
    clean(*said)


@pytest.mark.sweep
def test_files_are_for_everybody(chromium: Any, served: viewing.Served, tmp_path: Path) -> None:
    axe.needed()
    folder = tmp_path / "atlas"
    assert cli.invoke(["export", "small", str(folder), "--store", str(served.store)]) == 0
    with viewing.opened(chromium, f"file://{folder}/index.html", bypass_csp=True) as page:
        said = []
        for name, address in {
            "atlas": ATLAS,
            "unit": "/small/unit/features.2:3",
            "image": f"/small/image/7?layer={LAYER}",
        }.items():
            page.goto(f"#{address}")
            said.append(axe.violations(page, f"files {name}"))
        clean(*said)


def test_mutant_a_picture_without_words_is_found(checked: viewing.Page) -> None:
    checked.goto("/small/run")
    checked.settle()
    checked.script("() => document.querySelector('main h1').insertAdjacentHTML('afterend', '<img src=/icon.svg>')")
    assert "image-alt" in str(axe.violations(checked, "planted"))


PALE = "<style>#pale { color: #000 } @media (prefers-color-scheme: dark) { #pale { color: #333 } }</style><p id=pale>Pale</p>"


def test_mutant_words_that_are_pale_in_the_dark_are_found(checked: viewing.Page) -> None:
    checked.goto("/small/run")
    checked.settle()
    checked.script("(pale) => document.querySelector('main h1').insertAdjacentHTML('afterend', pale)", PALE)
    (where,) = axe.violations(checked, "planted")
    assert where == "planted dark"


DRAWN = """
window.drawn = [];
const draw = CanvasRenderingContext2D.prototype.drawImage;
const grids = new WeakMap();
CanvasRenderingContext2D.prototype.drawImage = function (source, ...more) {
  const grid = source instanceof Image ? new URL(source.src, location).searchParams.get('grid') : grids.get(source);
  if (grid && !this.canvas.isConnected) grids.set(this.canvas, grid);
  if (grid && this.canvas.closest('.openseadragon-canvas')) {
    drawn.push({ grid, opacity: this.globalAlpha, width: more.at(-2) });
  }
  return draw.call(this, source, ...more);
};
"""
"""Remembers which grid's tiles are drawn on the map, how opaque and how large."""

MOVING = """() => [...document.querySelectorAll('*')].flatMap((e) => [null, '::before', '::after'].map((part) => {
  const style = getComputedStyle(e, part);
  const lasts = style.transitionDuration.split(',').some((time) => parseFloat(time) > 0);
  return lasts || style.animationName !== 'none' ? `${e.tagName}.${e.className}${part ?? ''}` : null;
})).filter(Boolean)"""


@pytest.mark.sweep
@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_nothing_glides_where_no_motion_is_wanted(motion: str, chromium: Any, served: viewing.Served) -> None:
    """And where nobody minds, a change of grid has both for a moment, and then only the one."""
    with viewing.opened(chromium, served.address, reduced_motion=motion) as page:
        page.add_init_script(DRAWN)
        page.goto(f"{ATLAS}?grid=2")
        page.settle()
        drawn = drawn_while(page, lambda: page.select_option("#grid", "4"))
        first = [one["grid"] for one in drawn].index("4")
        both = any(one["grid"] == "2" for one in drawn[first:])
        between = any(0 < one["opacity"] < 1 for one in drawn)
        assert (both, between) == (motion == "no-preference",) * 2
        assert (drawn[-1]["grid"], drawn[-1]["opacity"]) == ("4", 1)
        sizes = [
            {round(one["width"], 1) for one in drawn_while(page, act)}
            for act in (
                lambda: page.see("[aria-label='Zoom in (+)']").click(),
                lambda: page.see(".stage").press("-"),
                lambda: (page.see(".stage").hover(), page.mouse.wheel(0, -200)),
            )
        ]
        # One size before and one after it, and those on the way only where they are wanted.
        assert [len(found) > 2 for found in sizes] == [motion == "no-preference"] * 3, sizes
        page.until("() => location.search.includes('at=')")
        page.goto("/small/unit/features.2:3")
        page.settle()
        assert bool(page.script(MOVING)) is (motion == "no-preference")


def drawn_while(page: viewing.Page, act: Any) -> list[dict[str, Any]]:
    """Return what is drawn on the map from an act until it rests."""
    page.script("() => { drawn.length = 0; }")
    act()
    page.wait_for_timeout(500)
    page.settle()
    drawn: list[dict[str, Any]] = page.script("() => drawn")
    return drawn
