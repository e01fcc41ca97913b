"""The names on the map: by the stated rule, the same wherever they are told, each within its own cell, fading with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import viewing

from atlas import enrichment
from flows.questions import cells as cell_answers
from flows.questions import names, units
from flows.viewer import export
from flows.viewer.answers import catalogue
from flows.viewer.answers.open_runs import OpenRuns, OpenVersion
from storage.run import Run

LAYER, GRID = "features.5", 2
ATLAS = f"/small/atlas/{LAYER}?grid=4"
PLACE = {"layer": LAYER, "grid": GRID}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    with viewing.serving_without_bound(tmp_path_factory) as served:
        yield served


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Run:
    return viewing.run_with_bound(tmp_path_factory, monkeypatch)


def told(run: Run) -> list[dict[str, list[str]]]:
    """Return the names of each cell as the viewer answers."""
    answer = catalogue.answer(OpenVersion(run), "names", PLACE)
    return [
        {kind: [answer[kind]["names"][name] for name, *_ in answer[kind]["cells"][i]] for kind in names.KINDS}
        for i in range(len(run.cell_facts(LAYER, GRID).row))
    ]


def agree(run: Run, folder: Path) -> bool:
    """Do viewer, export and `actlas cell` tell the same names of each cell?"""
    facts, by_viewer = run.cell_facts(LAYER, GRID), told(run)
    by_cell = [
        cell_answers.cell(run, LAYER, GRID, row, col)["names"]
        for row, col in zip(facts.row.tolist(), facts.col.tolist(), strict=True)
    ]
    of_export = next(
        file
        for file in export.Exporter(OpenVersion(run), viewing.page()).all_files()
        if file.path == "data/cells/1/2.js"
    )
    exported = json.loads(of_export.render().decode().removeprefix("actlas(").split(",{});")[0])["names/1/2"]
    same = exported == json.loads(json.dumps(catalogue.answer(OpenVersion(run), "names", PLACE)))
    return same and by_viewer == [{kind: [row["name"] for row in of[kind] or []] for kind in of} for of in by_cell]


def planted(run: Run) -> None:
    """Give the images of the fullest cell's samples a label of their own."""
    facts = run.cell_facts(LAYER, GRID)
    cell = int(np.argmax(facts.count))
    stored, label_of = run.labels
    mine = facts.image_id[facts.offsets[cell] : facts.offsets[cell + 1]]
    run.__dict__["labels"] = ["planted", *stored], np.where(np.isin(np.arange(len(label_of)), mine), 0, label_of + 1)


def test_viewer_export_and_command_tell_the_same_names(run: Run, tmp_path: Path) -> None:
    planted(run)
    assert agree(run, tmp_path)
    fullest = int(np.argmax(run.cell_facts(LAYER, GRID).count))
    assert "planted" in told(run)[fullest]["labels"]


def test_mutant_a_command_that_goes_its_own_way(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(run)
    monkeypatch.setattr(names, "of_one_cell", lambda *place: {"labels": [], "classes": []})
    assert not agree(run, tmp_path)


def maps_and_units_named(run: Run, times: int) -> tuple[int, int]:
    """Count the permutations of the labels over the images after which a map, or a unit, has a name."""
    stored, label_of = run.labels
    maps = of_units = 0
    for seed in range(times):
        run.__dict__["labels"] = stored, np.random.default_rng(seed).permutation(label_of)
        found = names.of_cells(run, LAYER, GRID, "labels")
        maps += any(found.of_group) if found else 0
        of_units += any(names.of_units(run, LAYER).of_group)
    return maps, of_units


def test_permuted_labels_print_no_names(run: Run) -> None:
    maps, of_units = maps_and_units_named(run, 40)
    assert maps <= 6
    assert of_units <= 6


def test_mutant_without_the_bound_permuted_labels_print_names(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrichment, "bound_of", lambda largest: 0.0)
    assert min(maps_and_units_named(run, 5)) == 5


def test_a_unit_whose_labels_are_those_of_all_images_says_so(run: Run) -> None:
    stored, label_of = run.labels
    run.__dict__["labels"] = stored, np.zeros_like(label_of)
    answer = units.unit(run, LAYER, 3)["labels"]
    assert answer["counts"]
    assert answer["stand_out"] == []
    assert not any(catalogue.answer(OpenVersion(run), "units", {"layer": LAYER})["top"])


def within(page: viewing.Page, bound: float) -> tuple[list[str], list[str]]:
    """Return the units shown in grey, and those whose correlation as written is within the bound."""
    units = page.see("ol.units li").all()
    grey = [unit.inner_text() for unit in units if "within" in (unit.get_attribute("class") or "")]
    values = {
        unit.inner_text(): abs(float(unit.locator(".num").inner_text().replace("\N{MINUS SIGN}", "-")))
        for unit in units
    }
    assert not [text for text in values if abs(values[text] - bound) < 0.005]  # none that rounding might move
    return grey, [text for text, value in values.items() if value < bound]


def test_units_within_chance_are_grey_and_the_page_says_how_far_it_reaches(
    page: viewing.Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrichment, "bound_of", lambda largest: 0.3333)
    page.goto(f"/small/units/{LAYER}?class=2")
    page.settle()
    grey, expected = within(page, 0.333)
    assert grey == expected != []
    assert "±0.33 by chance, with the map shifted and mirrored (±0.33" in page.see("main").inner_text()


RECORD = """
const real = CanvasRenderingContext2D.prototype.fillText;
window.written = [];
CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...more) {
  const { a, e, f } = this.getTransform();
  const wide = this.measureText(text).width;
  written.push({ text, left: x - wide / 2, right: x + wide / 2, foot: y, alpha: this.globalAlpha, scale: a });
  return real.call(this, text, x, y, ...more);
};
"""


def written(chromium: Any, address: str, path: str, width: int = 1280) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Return what the last drawing of a map wrote, and the box of the map."""
    with viewing.opened(chromium, address, viewport={"width": width, "height": 800}) as page:
        page.add_init_script(RECORD)
        page.goto(path)
        page.settle()
        page.script("() => { written.length = 0; }")
        page.keyboard.press("t")  # draws all of it anew
        page.wait_for_timeout(300)
        drawn = {(row["text"], row["left"], row["foot"]): row for row in page.script("() => written")}
        return list(drawn.values()), page.see(".stage").bounding_box()


def test_names_lie_within_their_own_cells(chromium: Any, served: viewing.Served) -> None:
    drawn, box = written(chromium, served.address, ATLAS, 390)
    assert {row["text"] for row in drawn} <= {"stripes", "checks", "noise"}
    assert len(drawn) > 3
    assert {row["alpha"] for row in drawn} == {1}
    version = OpenRuns(str(served.store)).version("small")
    facts = version.run.cell_facts(LAYER, 4)
    cols, rows = int(np.ptp(facts.col)) + 1, int(np.ptp(facts.row)) + 1
    pitch = min(box["width"] / cols, box["height"] / rows) / 1.06
    for row in drawn:
        assert row["right"] - row["left"] <= pitch
        middle = (row["left"] + row["right"]) / 2
        for other in drawn:
            apart = abs((other["left"] + other["right"]) / 2 - middle) > 1 or abs(other["foot"] - row["foot"]) > 1
            beside = other["left"] >= row["right"] or other["right"] <= row["left"]
            assert not apart or beside or abs(other["foot"] - row["foot"]) > 18


def test_the_kind_of_names_is_in_the_address(chromium: Any, served: viewing.Served) -> None:
    texts = {
        kind: {row["text"] for row in written(chromium, served.address, f"{ATLAS}&names={kind}")[0]}
        for kind in ("classes", "none")
    }
    assert texts["classes"] <= {name.split(",")[0] for name in viewing.CLASSES}
    assert texts["none"] == set()
    assert texts["classes"]


def test_names_fade_with_their_cells(chromium: Any, served: viewing.Served) -> None:
    faded, _ = written(chromium, served.address, f"{ATLAS}&class=1&intensity=80")
    assert min(row["alpha"] for row in faded) == pytest.approx(0.2, abs=0.02)
    assert len({round(row["alpha"], 2) for row in faded}) > 2


def test_the_choice_is_offered_and_its_rule_is_stated(page: viewing.Page) -> None:
    page.goto(ATLAS)
    page.settle()
    assert page.see("#names option").all_inner_texts() == ["labels", "classes", "none"]
    page.select_option("#names", "none")
    page.wait_for_url("**names=none*")
    page.keyboard.press("?")
    assert "95 % of 200 permutations of the samples" in page.see("dialog").inner_text()
