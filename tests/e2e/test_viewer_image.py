"""One image by keys: what a press leaves alone, where the focus is, which classes can be named, and addresses that are wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support import viewing

FIRST, LAYER = "features.2", "features.5"
IMAGE = "/small/image/7"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    images, store = viewing.shared_run(tmp_path_factory)
    with viewing.serving(store, seconds=240) as address:
        yield viewing.Served(address, store, images)


def taken_apart(page: viewing.Page, query: str = "", layer: str = FIRST) -> None:
    page.goto(f"{IMAGE}?layer={layer}{query}")
    page.see(".choices li").first.wait_for(timeout=120_000)
    page.settle()


def words(page: viewing.Page) -> dict[str, str]:
    """Return the words of the address."""
    found: dict[str, str] = page.script("() => Object.fromEntries(new URLSearchParams(location.search))")
    return found


def focused(page: viewing.Page) -> str:
    """Return what has the focus: what it is called among what is drawn anew, its id, or its element."""
    return str(page.script("() => { const e = document.activeElement; return e.dataset.keep || e.id || e.tagName; }"))


def scrolled(page: viewing.Page) -> int:
    return int(page.script("() => document.querySelector('main').scrollTop"))


def press(page: viewing.Page, key: str, *keys: str) -> None:
    """Focus the control that is called so, and press keys there; Enter if none are named."""
    control = page.see(f"[data-keep='{key}']")
    control.scroll_into_view_if_needed()
    control.focus()
    for name in keys or ("Enter",):
        page.keyboard.press(name)


@pytest.mark.sweep
def test_each_control_keeps_the_focus_and_the_scroll(page: viewing.Page) -> None:
    page.set_viewport_size({"width": 1000, "height": 500})
    taken_apart(page)
    page.script(
        "() => { window.kept = ['.image-photo', '.mosaic', '.choices'].map((c) => document.querySelector(c)); }"
    )
    page.see("#laid").scroll_into_view_if_needed()
    page.script("() => { document.querySelector('main').scrollTop += 60; }")
    at = scrolled(page)
    assert at > 0
    page.see("#laid").focus()
    methods = ("groups", "icons", "gradient", "gradient-x-input", "smoothgrad")
    for method in methods:
        page.keyboard.press("ArrowDown")
        page.until(f"() => location.search.includes('show={method}')")
        page.settle()
        assert (focused(page), scrolled(page)) == ("laid", at), method
        assert page.see("#laid").input_value() == method
    assert "smoothgrad" in page.see(".image-photo figcaption").inner_text()
    second, third = (page.see(".choice").nth(i).get_attribute("data-keep") for i in (1, 2))
    against = str(third).replace("class", "against")
    for key, name in ((second, "class"), (against, "against"), (against, "class")):
        page.see(f"[data-keep='{key}']").scroll_into_view_if_needed()
        page.see(f"[data-keep='{key}']").focus()
        at = scrolled(page)
        page.keyboard.press("Enter")
        page.until(f"() => location.search.includes('{name}=')")
        page.settle()
        assert (focused(page), scrolled(page)) == (key, at), key
    assert "against" not in words(page)  # pressed once more, it is taken out
    page.see("text=Back to the first choice").focus()
    page.keyboard.press("Enter")
    page.until("() => !location.search.includes('class=')")
    page.settle()
    assert focused(page) == "search"
    assert page.script("() => window.kept.every((element) => element.isConnected)")  # none was drawn anew
    for layer in (LAYER, FIRST):
        press(page, layer)
        at = scrolled(page)
        page.until(f"() => !!document.querySelector('.image-icons[data-layer=\"{layer}\"]')", 60)
        page.settle()
        assert (focused(page), scrolled(page)) == (layer, at)
    press(page, "positions", "ArrowRight")
    page.keyboard.press("]")
    page.until(f"() => !!document.querySelector('.image-icons[data-layer=\"{LAYER}\"]')", 60)
    page.settle()
    assert focused(page) == "positions"


def test_a_later_layer_is_led_to_and_walked_by_keys(page: viewing.Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 500})
    taken_apart(page)
    press(page, f"to {LAYER}")
    page.until(f"() => document.activeElement.textContent === 'From {FIRST} to {LAYER}'")
    page.see(".two-mosaics").wait_for(timeout=60_000)
    page.settle()
    assert focused(page) == "H2"
    assert 0 <= page.see(".later h2").bounding_box()["y"] < 250
    grid, told = page.see("[data-keep=mosaic]"), "() => document.querySelector('.later [role=status]').textContent"
    assert grid.get_attribute("role") == "application"
    assert "Arrow keys walk" in str(grid.get_attribute("aria-label"))
    grid.focus()
    for key in ["ArrowUp", "ArrowLeft"] * 16:
        page.keyboard.press(key)
    first = page.script(told)
    assert first.startswith(f"Position 0,0 of {FIRST} ")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert page.script(told).startswith(f"Position 1,2 of {FIRST} ")
    assert page.script(told) != first
    page.until("() => location.search.includes('from=1,2')")
    page.reload()
    page.see(".mosaic-place.at").wait_for(timeout=60_000)
    page.settle()
    assert page.script(told).startswith(f"Position 1,2 of {FIRST} ")
    assert focused(page) == "BODY"  # who opens the address is not led away
    press(page, f"to {LAYER}")
    page.until("() => !document.querySelector('.two-mosaics')")
    assert focused(page) == f"to {LAYER}"
    assert not {"to", "from"} & set(words(page))
    page.go_back()
    page.see(".two-mosaics").wait_for()


def only_first(route: Any) -> None:
    """Answer as a model would whose other classes are not among its first choices."""
    answer = route.fetch()
    told = answer.json()
    told["choices"] = told.get("choices", [])[:1]
    route.fulfill(response=answer, body=json.dumps(told))


AT_ONCE = """(text) => {
  const field = document.activeElement;
  field.value = text;
  field.dispatchEvent(new Event('input'));
  field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }));
}"""
"""Types, and presses Enter before what is found can have been shown."""


def test_any_class_is_named(page: viewing.Page) -> None:
    page.route("**/explain?*", only_first)
    taken_apart(page)
    first = int(str(page.see(".choice").get_attribute("data-keep")).split()[1])
    other, third = [i for i in range(4) if i != first][:2]
    field = page.see(".top .search input")
    assert (field.get_attribute("role"), field.get_attribute("aria-expanded")) == ("combobox", "false")
    page.see("[data-keep=search]").click()
    assert page.script("() => document.activeElement.getAttribute('role')") == "combobox"
    page.keyboard.press("Escape")
    field.focus()
    page.keyboard.type("e")
    page.until("() => document.querySelectorAll('#found [role=option]').length > 1")
    active = "() => document.getElementById(document.activeElement.getAttribute('aria-activedescendant'))?.textContent"
    before = page.script(active)
    page.keyboard.press("ArrowDown")
    assert page.script(active) not in (before, None)
    page.keyboard.press("Escape")
    assert field.get_attribute("aria-expanded") == "false"
    field.focus()
    page.script(AT_ONCE, viewing.CLASSES[other].split(",")[0])
    page.until(f"() => location.search.includes('class={other}')")
    page.settle()
    field.focus()
    page.keyboard.type(viewing.CLASSES[third].split(",")[0])
    page.see("#found li").get_by_text("class, to compare with").click()
    page.until(f"() => location.search.includes('against={third}')")
    page.settle()
    name, versus = (viewing.CLASSES[index].split(",")[0] for index in (other, third))
    page.until(f"() => document.querySelector('figcaption').textContent.includes('“{name}” rather than “{versus}”')")
    assert page.see(f"[data-keep='class {other}']").get_attribute("aria-pressed") == "true"
    page.see("main").focus()
    page.keyboard.press("/")
    page.keyboard.type(viewing.CLASSES[third].split(",")[0])
    page.until("() => document.querySelectorAll('#found [role=option]').length > 1")
    kinds = page.see("#found li span:last-child").all_inner_texts()
    assert kinds[:3] == ["class, in this image", "class, to compare with", "class, on the map"]
    page.keyboard.press("Enter")
    page.until(f"() => location.search.includes('class={third}') && !location.search.includes('against')")
    assert page.path() == IMAGE
    page.settle()
    page.unroute("**/explain?*")


LISTENING = """() => {
  const { addEventListener: add, removeEventListener: remove } = window;
  window.hearing = 0;
  window.addEventListener = (name, ...more) => { if (name === 'themechange') hearing += 1; add.call(window, name, ...more); };
  window.removeEventListener = (name, ...more) => { if (name === 'themechange') hearing -= 1; remove.call(window, name, ...more); };
}"""


def test_what_is_drawn_over_a_photo_has_the_colours_of_the_theme(page: viewing.Page) -> None:
    page.add_init_script(f"({LISTENING})()")
    shots = []
    for show in ("gradient", "speaks"):
        taken_apart(page, f"&show={show}&mix=100", LAYER)
        before = page.shot(".positioned")
        page.keyboard.press("t")
        page.wait_for_timeout(50)
        shots.append((show, before, page.shot(".positioned")))
        page.reload()
        page.see(".choices li").first.wait_for(timeout=60_000)
        page.settle()
        assert page.shot(".positioned") == shots[-1][2], show
        assert before != shots[-1][2], show
        heard = page.script("() => window.hearing")
        page.see(".places a").last.click()
        page.until("() => location.pathname.endsWith('/run')")
        assert page.script("() => window.hearing") < heard
        assert page.script("() => window.hearing") == 1  # the rail's


def test_a_picture_of_ones_own_that_is_gone_is_asked_for_again(page: viewing.Page, served: viewing.Served) -> None:
    image = sorted(served.images.rglob("*.png"))[5]
    page.goto(f"/small/image?layer={LAYER}&own={image.name}&show=groups")
    page.see("main .note").wait_for()
    said = f"{image.name} was not kept; choose it again."
    assert page.see("main .note").inner_text() == said
    assert page.see("text=Choose a file").count() == 1
    page.set_input_files("input[type=file]", str(image))
    page.see(".choices li").first.wait_for(timeout=60_000)
    assert page.see("h1").inner_text() == image.name
    assert words(page)["show"] == "groups"  # it is the same picture, looked at in the same way
    page.see("text=All images of the run").click()
    page.see(".images li").first.wait_for()
    assert page.see("main .note").count() == 0
    page.go_back()
    page.see(".choices li").first.wait_for()
    page.see("text=Locate on the atlas").click()
    page.see(".panel .near button").first.wait_for(timeout=60_000)
    assert page.path() == f"/small/atlas/{LAYER}"
    assert page.script("() => document.querySelector('.panel .positioned img').src").startswith("blob:")


WRITES = """() => {
  const { replaceState } = history;
  window.writes = 0;
  history.replaceState = (...address) => { window.writes += 1; replaceState.apply(history, address); };
}"""


WALK = """async (keys) => {
  for (const key of keys) {
    document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}"""


def test_positions_are_told_and_written_at_rest(page: viewing.Page) -> None:
    taken_apart(page, "&at=0,0")
    page.script(WRITES)
    page.see("[data-keep=positions]").focus()
    page.script(WALK, ["ArrowDown", "ArrowRight", "ArrowRight", "ArrowDown", "ArrowRight"])
    assert page.see(".image-at h2").inner_text() == "Position 2,3"  # drawn before it is written
    page.until("() => location.search.includes('at=2,3')")
    assert page.script("() => window.writes") == 1
    units = [text.split()[0] for text in page.see(".image-at .chip-name").all_inner_texts()]
    cell = page.see(".image-at > a").get_attribute("title")
    assert (
        page.spoken() == f"Position 2,3: units {', '.join(units)}; the nearest {str(cell).replace('cell', 'cell is')}."
    )


def test_an_overlay_that_is_not_wanted_is_given_up_and_a_refusal_is_tried_again(page: viewing.Page) -> None:
    taken_apart(page)
    held: list[Any] = []
    ended: list[str] = []
    page.on("requestfailed", lambda request: ended.append(request.url))
    page.route("**/explain?*method=*", lambda route: held.append(route))
    page.select_option("#laid", "gradient")
    page.until("() => document.querySelector('figcaption').textContent.startsWith('Computing on the model')")
    page.wait_for_timeout(50)
    page.select_option("#laid", "grad-cam")
    page.wait_for_timeout(100)
    assert [url.split("method=")[1] for url in ended] == ["gradient"]
    assert len(held) == 2
    held[1].fulfill(status=503, body='{"error": "the model is busy"}')
    page.see("figcaption .link").wait_for()
    assert page.see("figcaption").first.inner_text() == "The model is busy Try again"
    page.unroute("**/explain?*method=*")
    page.see("figcaption .link").focus()
    page.keyboard.press("Enter")
    page.until("() => document.querySelector('figcaption').textContent.includes('by grad-cam')", 60)
    assert focused(page) == "laid"


def test_addresses_that_are_wrong_say_so(page: viewing.Page) -> None:
    for what in ("1e1", "0x10", "abc", "40", "4000000000", "-1", "1.5"):
        page.goto(f"/small/image/{what}")
        page.settle()
        assert page.see("main h1").all_inner_texts() == ["There is nothing here"], what
        assert page.see(".failed").count() == 0
    taken_apart(page)
    usual = page.see(".image-at h2").inner_text()
    for at in ("1.5,2", "99,0", "-1,0", "x", "1", "1e0,1"):
        taken_apart(page, f"&at={at}")
        assert page.see(".image-at h2").inner_text() == usual, at
    taken_apart(page, "&at=1,2")
    assert page.see(".image-at h2").inner_text() == "Position 1,2"
    page.goto(f"{IMAGE}?layer={FIRST}&class=1&against=1")
    page.see(".apart .failed").wait_for(timeout=60_000)
    assert page.see(".failed p").inner_text() == "A class cannot be compared with itself."
    page.see(".failed button").focus()
    page.keyboard.press("Enter")
    page.see(".choices li").first.wait_for(timeout=60_000)
    assert words(page) == {"layer": FIRST, "class": "1"}
    page.goto(f"{IMAGE}?layer={FIRST}&class=nosuch")
    page.see(".apart .failed").wait_for(timeout=60_000)
    said = page.see(".failed p").inner_text()
    assert said.startswith("The model has no class “nosuch”")
    assert "--" not in said
    page.see("text=Show the strongest class").click()
    page.see(".choices li").first.wait_for(timeout=60_000)
    assert words(page) == {"layer": FIRST}
