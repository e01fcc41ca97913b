"""The demo's pages on a small twin: home is a page of maps with six things to try, and nothing is left to compute."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support import viewing

from flows import config as configuration
from flows import registry
from flows.comparing import compare

LAYERS = ("features.2", "features.5")
LAYER = LAYERS[1]
PLACES = (
    *("/", "/api", "/small/run", "/small@1/run", "/small/image", f"/small/image/7?layer={LAYER}"),
    *(f"/small/atlas/{layer}?names=labels" for layer in LAYERS),
    *(f"/small@1/atlas/{layer}?names=classes" for layer in LAYERS),
    *(f"/small/units/{layer}" for layer in LAYERS),
    *(f"/small/unit/{layer}:3{side}" for layer in LAYERS for side in ("", "?side=negative", "?side=range")),
    *(f"/small/atlas/{LAYER}?view=list&class=1", f"/small/atlas/{LAYER}?shade=fidelity"),
    *(f"/small/atlas/{LAYER}?shade=motion:small@1", f"/small/units/{LAYER}?sort=drift:small@1"),
    *(f"/compare/small@1..small@2/{layer}" for layer in LAYERS),
)
DEMO = ("choices", "attribution", "influence", "gallery")
"""What `make demo` computes beyond a run: all extras but gradients, which the viewer's model draws as they are looked at."""

COMMANDS = """() => [...document.querySelectorAll('.command code')]
    .filter((code) => !code.closest('.atlas-of-these')).map((code) => code.textContent)"""
"""The commands of a page, without those folded that make another atlas, of a part of the run."""

FOLDED = "() => document.querySelectorAll('details:not(.commands)').forEach((box) => (box.open = true))"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    """Two versions, of which the latest has everything, compared: as `make demo` leaves them."""
    images, first = viewing.shared_run(tmp_path_factory)
    classes = str(first.parent / "classes.txt")
    images, store = viewing.two_versions(tmp_path_factory, extras=DEMO, classes=classes)
    compare.compare(str(store), ["small@1", "small@2"])
    with viewing.serving(store) as address:
        yield viewing.Served(address, store, images)


def offered(page: viewing.Page, places: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the commands that places show unasked, each with its place."""
    found = []
    for place in places:
        page.goto(place)
        page.settle()
        page.script(FOLDED)
        page.settle()
        found += [(place, text) for text in page.script(COMMANDS)]
    return found


def test_no_page_asks_for_a_command(page: viewing.Page) -> None:
    assert offered(page, PLACES) == []


def test_it_lacks_no_extra_but_what_is_drawn_on_demand() -> None:
    assert set(registry.everything()) - set(DEMO) == {"gradients"}


def test_mutant_a_stage_that_was_left_out_is_asked_for(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    extras = tuple(name for name in DEMO if name != "influence")
    _, store = viewing.two_versions(tmp_path_factory, extras=extras)
    places = (f"/small/unit/{LAYER}:3", f"/compare/small@1..small@2/{LAYER}")
    with viewing.serving(store, uploads=False) as address, viewing.opened(chromium, address) as page:
        asked = offered(page, places)
    assert {place for place, _ in asked} == set(places)
    assert any(text.endswith("--with attribution choices gallery influence") for _, text in asked)
    assert any(text.endswith("--with everything") for _, text in asked)


def test_an_older_version_says_what_it_lacks_and_offers_no_command(
    chromium: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its command would publish it again, as the latest."""
    _, store = viewing.two_versions(tmp_path_factory)
    with viewing.serving(store, uploads=False) as address, viewing.opened(chromium, address) as page:
        places = tuple(f"/small@2/{place}" for place in (f"unit/{LAYER}:3", f"units/{LAYER}", "run"))
        for latest in (True, False):
            found = offered(page, places)
            assert {place for place, text in found if "--with" in text} == (set(places) if latest else set())
            assert "attribution" in page.see("main").inner_text()
            viewing.another_version(store)


def test_home_has_a_map_of_each_layer_that_opens_its_atlas(page: viewing.Page) -> None:
    for layer in LAYERS:
        page.goto("/")
        page.see(".run-map").first.wait_for()
        page.settle()
        assert page.see(".run-map").count() == len(LAYERS)
        assert page.loaded(".map-picture img")
        assert page.pixels(".maps li:first-child .map-picture") > 20
        page.see(f".run-map:has-text('{layer}')").click()
        page.until(f"() => document.title.startsWith('{layer} · atlas · small@2')")


SHOWN = {
    "Open a cell": ".panel .patches",
    "Find “": ".map-foot >> text=Evidence for",
    "Two classes on one map": ".map-foot >> text=solid frame",
    "Meet unit": ".unit-made",
    "Take a photo apart": ".image-photo",
    "Compare version 1 with 2": ".sides",
}


def test_six_links_lead_where_they_say(page: viewing.Page) -> None:
    page.goto("/")
    page.see(".ideas li").first.wait_for()
    names = page.see(".ideas a").all_inner_texts()
    assert [next(start for start in SHOWN if name.startswith(start)) for name in names] == list(SHOWN)
    for number, (name, shown) in enumerate(zip(names, SHOWN.values(), strict=True)):
        page.goto("/")
        page.see(".ideas a").nth(number).click()
        page.see(shown).first.wait_for(timeout=60_000)
        page.settle()
        words = re.findall(r"“(.+)”|unit (\d+)", name)
        for word in filter(None, sum(words, ())):
            assert word in page.see("main").inner_text(), name


def corner(page: viewing.Page) -> tuple[int, ...]:
    """Return the colour of the first map beside its first cell: that of the page."""
    with Image.open(io.BytesIO(page.shot(".maps li:first-child .map-picture"))) as shot:
        return shot.convert("RGB").getpixel((3, 3))  # type: ignore[return-value]


def test_home_follows_the_theme(page: viewing.Page) -> None:
    page.goto("/")
    page.see(".run-map").first.wait_for()
    page.settle()
    assert min(corner(page)) > 240
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(300)
    assert max(corner(page)) < 40
    turned = page.shot(".maps li:first-child .map-picture")
    page.reload()
    page.see(".run-map").first.wait_for()
    page.settle()
    page.wait_for_timeout(300)
    assert page.shot(".maps li:first-child .map-picture") == turned


ROOT = Path(__file__).parents[2]


def test_the_demo_leaves_out_nothing() -> None:
    """What the twin has, `make demo` makes: two layers with everything, a version before, and their comparison."""
    recipe = (ROOT / "Makefile").read_text().split("\ndemo: setup\n")[1].split("\n\n")[0].splitlines()
    first, last = (shlex.split(line) for line in recipe if " run " in line)
    assert last[last.index("--with") + 1 :] == list(DEMO)
    assert "--weights" in first
    assert any(" compare demo@1 demo@2 --store demo" in line for line in recipe)
    config = configuration.make({}, str(ROOT / "examples" / "demo.toml"))
    assert (config.images, config.recipe, len(config.layers)) == ("sample-photos", "fast", 2)
    assert first[first.index("--layers") + 1] in config.layers
