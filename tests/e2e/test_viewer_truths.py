"""What the page says has a scale, a comparison or a rule; what it lays out stays in sight, at every width."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import viewing

LAYER = "features.5"
ATLAS = f"/small/atlas/{LAYER}"
WIDTHS = {"width": 390, "height": 780}, {"width": 1280, "height": 800}, {"width": 1920, "height": 1080}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    images, store = viewing.shared_run(tmp_path_factory)
    with viewing.serving(store, seconds=240) as address:
        yield viewing.Served(address, store, images)


def class_map(change: Any) -> Any:
    """Return a route's handler that changes the attribution of every cell."""

    def answer(route: Any) -> None:
        found = route.fetch().json()
        route.fulfill(json=found | {"mean": [change(mean) for mean in found["mean"]]})

    return answer


def test_a_class_filter_has_a_scale_and_says_where_nothing_speaks_for_it(page: viewing.Page) -> None:
    means = page.get("/api/1/runs/small/current/class", layer=LAYER, grid="2", of="1")["mean"]
    page.goto(f"{ATLAS}?grid=2&class=1")
    page.see(".scale").wait_for()
    most = max(map(abs, means))
    assert page.script("() => document.querySelector('.scale').title").startswith("Mean attribution")
    shown = page.see(".scale").inner_text().replace("−", "-").replace("\n", " ")
    assert f"{most:.2f} = full colour" in shown or most < 0.01 or most >= 10
    assert "Nothing here" not in page.see(".map-foot").inner_text()
    page.route("**/class?*", class_map(lambda mean: -abs(mean or 0) - 0.01))
    for way, words in (("", "Nothing here speaks for picket fence."), ("&side=against", "")):
        page.goto(f"{ATLAS}?grid=2&class=1{way}")
        page.see(".scale").wait_for()
        said = page.see(".map-foot b").inner_text()
        assert said == words
    page.unroute("**/class?*")
    page.route("**/class?*", class_map(lambda mean: 0))
    page.goto(f"{ATLAS}?grid=2&class=1")
    page.see("text=Nothing here speaks for or against picket fence.").wait_for()


def test_the_list_shows_and_ends_the_class_filter(page: viewing.Page) -> None:
    page.goto(f"{ATLAS}?class=1&view=list")
    page.see(".list tbody tr").first.wait_for()
    page.see(".map-foot").get_by_text("Evidence for picket fence").wait_for()
    page.see(".map-foot").get_by_text("Show all classes").click()
    page.until("() => !location.search.includes('class=')")


def test_a_units_three_ranges_are_told_apart(page: viewing.Page) -> None:
    unit = page.get("/api/1/runs/small/current/unit", layer=LAYER, unit="3")
    card = page.get("/api/1/runs/small/current/card", layer=LAYER, unit="3")
    page.goto(f"/small/unit/{LAYER}:3")
    page.see(".ranges").wait_for()
    names = page.see(".ranges dt").all_inner_texts()
    values = page.see(".ranges dd .num").all_inner_texts()
    assert names == ["samples", "all positions", "strongest patches"]
    ends = [
        (card["samples"]["least"], card["samples"]["largest"]),
        (unit["negative"]["extreme"], unit["positive"]["extreme"]),
        (
            unit["positive"]["patches"][unit["positive"]["pictures"] - 1]["value"],
            unit["positive"]["patches"][0]["value"],
        ),
    ]
    for text, (low, high) in zip(values, ends, strict=True):
        told = [float(number.replace("−", "-")) for number in text.split(" to ")]
        assert told == pytest.approx([low, high], abs=0.006, rel=0.01)


def test_near_duplicates_are_folded_and_unfold(page: viewing.Page) -> None:
    def fold(route: Any) -> None:
        answer = route.fetch().json()
        for rank in (2, 3):
            answer["positive"]["patches"][rank]["same_as"] = 0
        route.fulfill(json=answer)

    page.route("**/unit?*", fold)
    page.goto(f"/small/unit/{LAYER}:3")
    page.see(".shots li").first.wait_for()
    every = page.see(".shots li").count()
    assert page.see(".shots li:visible").count() == every - 2
    page.see(".shots .fold").click()
    assert page.see(".shots li:visible").count() == every
    order = page.script("() => [...document.querySelectorAll('.shots a')].slice(0, 4).map((a) => a.dataset.patch)")
    assert order == ["0", "2", "3", "1"]
    page.see(".shots .fold").click()
    assert page.see(".shots li:visible").count() == every - 2


def test_fidelity_stands_beside_what_real_patches_reach(page: viewing.Page) -> None:
    told = page.get("/api/1/runs/small/current/real_fidelity", layer=LAYER, grid="4")
    cells = page.get("/api/1/runs/small/current/cells", layer=LAYER, grid="4")
    for where in (f"{ATLAS}?grid=4&cell={cells['row'][0]},{cells['col'][0]}", "/small/run"):
        page.goto(where)
        page.see("text=Patches of real images reach").first.wait_for()
        text = page.see("body").inner_text()
        assert f"median {told['median']:.2f}" in text
        assert f"{told['samples']} samples of this grid" in text


def test_search_takes_several_words_in_any_order(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    page.see(".search input").fill("fence picket")
    page.see(".found [role=option]").get_by_text("picket fence, paling").first.wait_for()
    images = page.get("/api/1/runs/small/current/images", start="0", text="")["found"]
    key = next(row["key"] for row in images if row["label"])
    words = f"{key.split('/')[-1]} {key.split('/')[0]}"
    found = page.get("/api/1/runs/small/current/images", start="0", text=words)
    assert [row["key"] for row in found["found"]] == [key]
    assert page.get("/api/1/runs/small/current/images", start="0", text=f"{words} nowhere")["images"] == 0


def test_escape_leaves_no_outline_and_the_keys_go_on(page: viewing.Page) -> None:
    page.goto(f"{ATLAS}?grid=4")
    page.settle()
    drawn = "() => document.querySelector('canvas.overlay').toDataURL()"
    bare = page.script(drawn)
    page.focus(".stage")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.until("() => location.search.includes('cell=')")
    page.settle()
    page.keyboard.press("Escape")
    page.until("() => !location.search.includes('cell=')")
    page.see(".panel").wait_for(state="hidden")
    page.wait_for_timeout(300)
    assert page.script(drawn) == bare
    page.keyboard.press("ArrowDown")
    page.see(".card").wait_for()


def test_the_photo_is_shown_while_the_model_is_loaded_and_one_that_is_gone_asks_nothing(
    page: viewing.Page, served: viewing.Served
) -> None:
    asked: list[str] = []
    held: list[Any] = []
    page.on("request", lambda request: asked.append(request.url))
    for kind in ("load", "explain"):
        page.route(f"**/{kind}*", lambda route: held.append(route))
    page.goto("/small/image/3")
    page.see(".pending img").wait_for()
    page.see(".pending").get_by_text("The model is loading (up to half a minute) …").wait_for()
    page.until("() => document.querySelector('.pending img').naturalWidth > 0")
    next(route for route in held if "/load" in route.request.url).fulfill(json={"run": "small@1"})
    page.see(".pending").get_by_text("Computing on the model").wait_for()
    assert [url for url in asked if "/explain" in url]
    asked.clear()
    page.route("**/photo?*", lambda route: route.fulfill(status=404, json={"error": "image 4 of small is gone"}))
    page.goto("/small/image/4")
    page.see(".apart .failed").get_by_text("is gone").wait_for()
    assert not [url for url in asked if "/explain" in url]
    for route in held[1:]:
        route.abort()


def test_a_first_map_comes_early_and_is_refined(page: viewing.Page) -> None:
    held: list[Any] = []

    def explain(route: Any) -> None:
        late = "method=" in route.request.url and "draft=true" not in route.request.url
        held.append(route) if late else route.continue_()

    page.route("**/explain*", explain)
    page.goto(f"/small/image/3?layer={LAYER}&show=smoothgrad")
    page.see("text=A first map; it is being refined.").wait_for(timeout=120_000)
    page.until("() => !!document.querySelector('.positions')")
    assert len(held) == 1
    held[0].continue_()
    page.until("() => !document.querySelector('.image-photo').textContent.includes('being refined')", 120)
    assert "by smoothgrad" in page.see(".image-photo").inner_text()


def test_pictures_of_units_come_back_after_an_outage(page: viewing.Page) -> None:
    def lose(route: Any) -> None:
        route.abort()

    page.goto("/small/run")
    page.settle()
    for address in ("**/faces?*", "**/api/1/runs"):
        page.route(address, lose)
    page.see(".places a").nth(1).click()
    page.see(".notice").get_by_text("pictures are missing, and come back with it").wait_for()
    for address in ("**/faces?*", "**/api/1/runs"):
        page.unroute(address)
    with page.expect_response("**/faces?*") as came:
        page.until("() => document.querySelector('.notice').hidden", 30)
    assert came.value.ok


SMALL = """() => [...document.querySelectorAll('button, select, summary, a, input')].filter((one) => {
  const box = one.getBoundingClientRect();
  const inText = one.matches('p a, p button, td a, dd a, dt a, .bars a, .lead a, figcaption a, .skip, .trail a');
  return !inText && one.checkVisibility() && box.width > 1 && box.height > 1 && Math.min(box.width, box.height) < 23.5;
}).map((one) => `${one.tagName} ${one.className} ${one.textContent.slice(0, 20)} ${one.getBoundingClientRect().height}`)"""


@pytest.mark.parametrize("size", WIDTHS, ids=lambda size: str(size["width"]))
def test_every_width_has_one_row_of_tools_targets_of_24_px_and_no_sideways_scroll(
    page: viewing.Page, size: dict[str, Any]
) -> None:
    page.set_viewport_size(size)
    cells = page.get("/api/1/runs/small/current/cells", layer=LAYER, grid="4")
    cell = f"&cell={cells['row'][0]},{cells['col'][0]}"
    places = (f"{ATLAS}?grid=4", f"{ATLAS}?grid=4{cell}&shade=fidelity", f"/small/unit/{LAYER}:3", "/small/run")
    small = []
    for place in (*places, f"/small/units/{LAYER}", f"{ATLAS}?view=list&class=1"):
        page.goto(place)
        page.settle()
        small += [f"{place}: {one}" for one in page.script(SMALL)]
        assert page.script("() => document.documentElement.scrollWidth <= innerWidth"), place
        if "atlas" in place:
            tools = "document.querySelector('.map-top .tools')"
            assert page.script(f"() => {tools}.scrollWidth <= {tools}.clientWidth + 1"), place
            assert page.see(".map-top .tools").bounding_box()["height"] < 40, place
    assert small == []


def test_the_position_stays_beside_a_landscape_photo_and_heads_are_larger_than_text(
    page: viewing.Page, served: viewing.Served
) -> None:
    from PIL import Image

    wide = Path(next(served.images.rglob("*.png")))
    with Image.open(wide) as image:
        image.resize((1500, 1000)).save(served.store.parent / "landscape.png")
    page.goto("/small/image")
    page.see("input[type=file]").set_input_files(served.store.parent / "landscape.png")
    page.see(".image-at h2").wait_for(timeout=120_000)
    page.settle()
    photo, at = page.see(".image-photo img").bounding_box(), page.see(".image-at").bounding_box()
    assert at["x"] >= photo["x"] + photo["width"]
    assert at["x"] + 200 < 1280
    assert at["y"] + 160 < 800
    size = "(what) => parseFloat(getComputedStyle(document.querySelector(what)).fontSize)"
    assert page.script(size, ".section > h2") > page.script(size, ".section p")


def test_a_model_that_fails_leaves_the_photo_and_says_why(page: viewing.Page) -> None:
    page.route("**/load*", lambda route: route.fulfill(status=500, json={"error": "its weights are gone"}))
    page.route("**/explain*", lambda route: route.fulfill(status=500, json={"error": "its weights are gone"}))
    page.goto("/small/image/3")
    words = "The model could not be loaded, so only the photo is shown: its weights are gone."
    page.see(".apart .failed").get_by_text(words).wait_for()
    page.until("() => document.querySelector('.failed img').naturalWidth > 0")
