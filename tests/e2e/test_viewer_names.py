"""Hostile names of files, labels, classes and layers are words on the page and in exported files, never markup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import hostile, viewing

from flows import cli

LAYER = "features.5"
ATLAS = f"/small/atlas/{LAYER}"


def walked(page: viewing.Page, layer: str, cell: str, before: str = "") -> None:
    """Open every place that shows a layer with hostile names, and see that it is shown."""
    for place, query in (
        ("atlas", f"?cell={cell}"),
        ("atlas", "?view=list"),
        ("atlas", "?class=1"),
        ("units", "?label=<img src=x onerror=hacked()>"),
    ):
        page.goto(f"{before}/small/{place}/{page.quoted(layer)}{query}")
        page.settle()
    page.goto(f"{before}/small/unit/{page.quoted(layer + ':1')}?side=range")
    page.settle()
    assert layer in page.see("main").inner_text()


MARKUP = "() => document.querySelectorAll('main script, main iframe, main [onerror], main [onload]').length"


def survived(chromium: Any, folder: Path, model: str, layers: tuple[str, ...], classes: tuple[str, ...]) -> None:
    """Make a run of which layers, classes, labels and file names are payloads, and walk through all of it."""
    images, store = hostile.write_images(folder / "images"), folder / "store"
    (folder / "classes.txt").write_text("\n".join(classes))
    more = {"model": model, "layers": layers, "classes": str(folder / "classes.txt")}
    viewing.make_run(images, store, **more, grids=(2,), extras=("attribution",))
    with viewing.serving(store, seconds=240) as address, viewing.opened(chromium, address) as page:
        page.expose("hacked")
        page.goto("/small/run")
        page.settle()
        cells = {row["name"]: first_cell(page, row["name"]) for row in page.get("/api/1/runs/small/current")["layers"]}
        for layer, cell in cells.items():
            walked(page, layer, cell)
        for image in range(0, 45, 15):
            page.goto(f"/small/image/{image}")
            page.settle()
        strange = (
            "<img src=x onerror=hacked()>/atlas/<svg onload=hacked()>?class=<script>hacked()</script>&at=<b>&cell=<i>"
        )
        page.goto(f"/{strange}")
        page.settle()
        unharmed(page)
    assert cli.invoke(["export", "small", str(folder / "out"), "--store", str(store)]) == 0
    with viewing.opened(chromium, f"file://{folder}/out/index.html") as page:
        page.expose("hacked")
        page.goto("#/small/run")
        layer, cell = list(cells.items())[-1]
        walked(page, layer, cell, before="#")
        page.goto("#/small/image/0")
        page.settle()
        page.goto(f"#/{strange}")
        page.settle()
        unharmed(page)


def first_cell(page: viewing.Page, layer: str) -> str:
    cells = page.get("/api/1/runs/small/current/cells", layer=layer, grid="2")
    return f"{cells['row'][0]},{cells['col'][0]}"


def unharmed(page: viewing.Page) -> None:
    assert page.called() == 0
    assert "hacked" in page.see("body").inner_text()
    assert page.script(MARKUP) == 0


@pytest.mark.sweep
def test_hostile_names_are_words(chromium: Any, tmp_path: Path) -> None:
    """Layers, classes, labels and file names that run a script where they are taken for markup."""
    survived(chromium, tmp_path, "support.hostile:net", hostile.LAYERS, hostile.PAYLOADS[:4])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_sixty_hostile_names_are_words(chromium: Any, tmp_path: Path) -> None:
    """Fifteen payloads, each as file name, label, class and layer."""
    survived(chromium, tmp_path, "support.hostile:net_of_all", hostile.ALL_LAYERS, hostile.PAYLOADS)


def test_mutant_a_name_taken_for_markup_is_seen(chromium: Any, served: viewing.Served) -> None:
    """The same payload set as HTML runs, where no policy forbids it: the counter counts."""
    with viewing.opened(chromium, served.address, bypass_csp=True) as page:
        page.expose("hacked")
        page.goto("/small/run")
        page.script("text => { document.querySelector('main').innerHTML = text; }", hostile.NAME)
        page.until_called()
