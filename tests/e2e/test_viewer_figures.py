"""Figures that are saved: what they hold is read back from the files, from a server and from an export."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from support import viewing

from flows import cli

LAYER = "features.5"
SVG = "{http://www.w3.org/2000/svg}"
CITED = ("Activation atlas small@1 (sha256 ", "https://doi.org/10.23915/distill.00015")
PAIR = "Evidence for picket fence against honeycomb"
CHANGED = "cells maybe changed"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    images, first = viewing.shared_run(tmp_path_factory)
    store = viewing.copied(first, tmp_path_factory.mktemp("figures"))
    viewing.another_run(store)
    with viewing.serving(store, seconds=240) as address:
        yield viewing.Served(address, store, images)


@pytest.fixture(scope="module")
def exported(served: viewing.Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "atlas"
    assert cli.invoke(["export", "small", str(folder), "--store", str(served.store)]) == 0
    return folder


def saved(page: viewing.Page, choice: str) -> tuple[str, bytes]:
    """Return name and bytes of the figure that a choice of the open dialog saves."""
    with page.expect_download() as download:
        page.see(".figure-choices button").get_by_text(choice, exact=True).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def open_dialog(page: viewing.Page, address: str) -> None:
    page.goto(address)
    page.settle()
    page.see(".save-figure").wait_for(timeout=60_000)
    page.see(".save-figure").click()
    page.see(".figure-preview").wait_for(timeout=60_000)


def outside(root: ElementTree.Element) -> list[str]:
    """Return what an SVG would load from elsewhere."""
    found = [(name, value) for element in root.iter() for name, value in element.attrib.items()]
    links = [value for name, value in found if name.endswith("href") and not value.startswith(("data:", "#"))]
    return links + [value for name, value in found if "url(" in value and not value.startswith("url(#")]


def words(root: ElementTree.Element) -> str:
    return " ".join(text.text or "" for text in root.iter(f"{SVG}text"))


def embedded(root: ElementTree.Element) -> list[Image.Image]:
    pictures = [base64.b64decode(image.attrib["href"].split(",", 1)[1]) for image in root.iter(f"{SVG}image")]
    return [Image.open(io.BytesIO(data)) for data in pictures]


def check(page: viewing.Page, address: str, *legend: str, name: str, pictures: int = 1) -> None:
    """Check both files of the open dialog: sizes, legend, address, citation, pictures."""
    sizes = {}
    for times in (1, 4):
        file, data = saved(page, f"PNG {times}×")
        assert (file.startswith(name), file.endswith(".png")) == (True, True)
        with Image.open(io.BytesIO(data)) as png:
            sizes[times] = png.size
            assert len(png.convert("RGB").getcolors(1 << 24) or []) > 100
    told = str(page.see(".figure-choices button").first.inner_text()).split("\n")[-1]
    assert told == "{} × {}".format(*sizes[1])
    assert sizes[4] == (4 * sizes[1][0], 4 * sizes[1][1])
    file, data = saved(page, "SVG")
    root = ElementTree.fromstring(data)
    assert (file.startswith(name), file.endswith(".svg")) == (True, True)
    assert outside(root) == []
    assert (int(root.attrib["width"]), int(root.attrib["height"])) == sizes[1]
    for text in (*legend, address, *CITED):
        assert text in words(root).replace("- ", "-") or text.replace(" ", "") in words(root).replace(" ", ""), text
    found = embedded(root)
    assert len(found) >= pictures
    assert max(np.asarray(picture.convert("RGB")).std() for picture in found) > 5
    assert address in (root.findtext(f"{SVG}desc") or "")


def test_an_atlas_is_saved_with_what_is_asked_for(page: viewing.Page) -> None:
    open_dialog(page, f"/small/atlas/{LAYER}?grid=4&class=1&against=2&shade=density")
    address = f"{page.address}/small@1/atlas/{LAYER}?grid=4&class=1&against=2&shade=density"
    check(
        page,
        address,
        PAIR,
        "= full colour",
        "density",
        "larger cells have more samples",
        name="small-1-features.5-atlas",
    )
    page.keyboard.press("Escape")
    page.see("dialog").wait_for(state="detached")
    assert page.script("() => document.activeElement.classList.contains('save-figure')")


def test_a_slide_is_saved_and_saving_moves_nothing(page: viewing.Page) -> None:
    place = {"layer": LAYER, "grid": "4"}
    cells = page.get("/api/1/runs/small/current/cells", **place)
    address = f"/small/atlas/{LAYER}?grid=4&class=1&cell={cells['row'][0]},{cells['col'][0]}"
    page.goto(address)
    page.settle()
    assert page.see(".save-figure span").bounding_box()["width"] > 60  # with a cell open at 1280 pixels
    open_dialog(page, address)
    page.see("text=16 : 9").click()
    page.see("text=1280 × 720").wait_for()
    before = page.see("dialog").bounding_box()
    for times in (1, 4):
        with Image.open(io.BytesIO(saved(page, f"PNG {times}×")[1])) as png:
            assert png.size == (1280 * times, 720 * times)
            assert len(png.convert("RGB").getcolors(1 << 24) or []) > 100
    page.see(".figure-status >> text=Saved as").wait_for()
    assert page.see("dialog").bounding_box() == before
    button, status = (page.see(what).first.bounding_box() for what in (".figure-choices .button", ".figure-status"))
    assert status["y"] >= button["y"] + button["height"] + 4  # clear of the outline of a focused button
    root = ElementTree.fromstring(saved(page, "SVG")[1])
    assert (root.attrib["width"], root.attrib["height"]) == ("1280", "720")
    assert outside(root) == []
    for text in ("Evidence for picket fence", *CITED):
        assert text.replace(" ", "") in words(root).replace(" ", "")


def test_a_unit_is_saved(page: viewing.Page) -> None:
    open_dialog(page, f"/small/unit/{LAYER}:3")
    address = f"{page.address}/small@1/unit/{LAYER}:3"
    check(page, address, "Its strongest patches", "synthetic: reaches", name="small-1-features.5-3", pictures=4)


def test_an_image_is_saved(page: viewing.Page) -> None:
    page.goto(f"/small/image/7?layer={LAYER}")
    page.see(".image-icons .mosaic-in").wait_for(timeout=120_000)
    page.settle()
    page.see(".save-figure").click()
    page.see(".figure-preview").wait_for()
    address = f"{page.address}/small@1/image/7?layer={LAYER}"
    check(
        page,
        address,
        "First choices",
        "Coloured by what speaks for",
        "the icon of the most similar cell",
        name="small-1-features.5",
        pictures=2,
    )


def test_a_comparison_is_saved(page: viewing.Page) -> None:
    open_dialog(page, f"/compare/small@1..again@1/{LAYER}")
    address = f"{page.address}/compare/small@1..again@1/{LAYER}"
    check(page, address, "Before: small@1", "After: again@1", name="small@1-again@1-features.5", pictures=2)


def test_an_export_saves_the_same(exported: Path, chromium: Any) -> None:
    with viewing.opened(chromium, f"file://{exported}/index.html") as page:
        open_dialog(page, f"#/small/atlas/{LAYER}?grid=4&class=1&against=2")
        address = f"index.html#/small@1/atlas/{LAYER}?grid=4&class=1&against=2"
        check(page, address, PAIR, "= full colour", name="small-1-features.5-atlas")
        page.keyboard.press("Escape")
        open_dialog(page, f"#/small/unit/{LAYER}:3")
        check(
            page,
            f"index.html#/small@1/unit/{LAYER}:3",
            "Its strongest patches",
            name="small-1-features.5-3",
            pictures=4,
        )
        assert page.complaints() == []
        text = (saved(page, "SVG")[1]).decode()
        assert str(exported) not in text


def test_a_figure_carries_no_token(served: viewing.Served, chromium: Any) -> None:
    secret = "a-token-of-thirty-two-characters"
    with viewing.serving(served.store, uploads=False, token=secret) as there, viewing.opened(chromium, there) as page:
        page.goto(f"/?token={secret}")
        page.settle()
        open_dialog(page, f"/small/atlas/{LAYER}?grid=4&token={secret}")
        svg = saved(page, "SVG")[1].decode()
        assert f"/small@1/atlas/{LAYER}?grid=4" in svg
        assert secret not in svg


def test_names_that_are_markup_are_words_in_a_figure(page: viewing.Page) -> None:
    def hostile(route: Any) -> None:
        found = route.fetch().json()
        route.fulfill(json=found | {"name": "<b>&\"\x0b']]>"})

    page.route("**/class?*", hostile)
    open_dialog(page, f"/small/atlas/{LAYER}?grid=4&class=1")
    root = ElementTree.fromstring(saved(page, "SVG")[1])
    assert "Evidence for <b>&\"\ufffd']]>" in words(root)
    page.unroute("**/class?*")


def test_mutant_what_lies_outside_is_seen() -> None:
    for inside in ("<image href='pictures/1.webp'/>", "<rect fill='url(http://127.0.0.1/x.svg#a)'/>"):
        assert outside(ElementTree.fromstring(f"<svg xmlns='http://www.w3.org/2000/svg'>{inside}</svg>"))
    assert (
        outside(ElementTree.fromstring("<svg><image href='data:image/png;base64,AA'/><g clip='url(#a)'/></svg>")) == []
    )
