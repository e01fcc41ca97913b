"""Selections on the page: of what a run is one, that it is a run like any other, and the commands that make them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import axe, viewing

from flows import cli
from flows.config import RunConfig
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from storage.run import open_run

LAYER = "features.5"
A, B = "honeycomb", "tiger cat"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    """A store with a run that has everything, and a selection of it of two classes."""
    images, first = viewing.shared_run(tmp_path_factory)
    store = viewing.copied(first, tmp_path_factory.mktemp("selected"))
    asked = {"of": "small", "class": A, "against": B, "strongest": 6, "name": "part", "store": str(store)}
    pipeline.run(RunConfig(**asked), Inline())
    with viewing.serving(store, uploads=False) as address:
        yield viewing.Served(address, store, images)


def test_the_run_page_says_what_it_is_a_selection_of(page: viewing.Page, served: viewing.Served) -> None:
    page.goto("/part/run")
    page.settle()
    text = page.see("section:has-text('A selection') >> nth=0").inner_text()
    record = open_run(served.store, "part").version.about["selection"]
    for words in (f"--class {A} --against {B} --strongest 6", f"{B} to {A}", f"{record['images']} of 40 images"):
        assert words in text
    for layer, row in record["layers"].items():
        assert f"{layer}: {row['samples']} of 80 samples" in text
    page.see("a:text-is('small@1')").click()
    page.until("() => location.pathname === '/small@1/run'")


def test_it_is_for_everybody(chromium: Any, served: viewing.Served) -> None:
    axe.needed()
    with viewing.opened(chromium, served.address, bypass_csp=True) as page:
        page.goto("/part/run")
        assert axe.violations(page, "selection") == {}
        page.goto("/small/run")
        page.see("text=Atlas of a part").wait_for()
        assert axe.violations(page, "offer") == {}


def test_it_is_a_run_like_any_other(page: viewing.Page, served: viewing.Served) -> None:
    run = open_run(served.store, "part")
    outside = next(
        row for row in run.patches(LAYER, 3).to_pylist() if row["image_id"] not in run.images()["image_id"].to_pylist()
    )
    image = f"/part/image/{outside['image_id']}"
    for place in ("/", f"/part/atlas/{LAYER}", f"/part/units/{LAYER}", f"/part/unit/{LAYER}:3", image, "/part/image"):
        page.goto(place)
        page.settle()
        assert page.see("h1").count()
        assert "nothing here" not in page.see("main").inner_text()
    page.goto(f"/compare/small@1..part@1/{LAYER}")
    page.settle()
    assert page.see("canvas").count()


def test_a_class_and_another_give_the_command_of_their_atlas(
    page: viewing.Page, served: viewing.Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.goto("/small/run")
    page.settle()
    for name in (A, B):
        page.see(".top .search input").fill(name[:5])
        page.see("#found li").get_by_text("class, ").first.click()
        page.settle()
    command = str(page.see(".atlas-of-these code").first.text_content())
    assert "--against" in command
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)[shlex.split(command).index("actlas") + 1 :]
    assert cli.invoke([*words, "--engine", "inline", "--until", "layout"]) == 0
    made = open_run(served.store, f"small-{A}-tiger-cat").version.about["selection"]
    assert made["by"] == {"class": A, "against": B}


def test_what_is_looked_at_gives_the_command_of_its_atlas(page: viewing.Page) -> None:
    page.goto(f"/small/atlas/{LAYER}?class=2")
    page.settle()
    assert f"--class {A} --name small-{A}" in page.see(".atlas-of-these code").first.text_content()
    page.goto("/small/image/3")
    page.settle()
    label = page.get("/api/1/runs/small/current/image", id=3)["label"]
    assert f"--where 'label = '\"'\"'{label}'\"'\"''" in page.see(".atlas-of-these code").first.text_content()
