"""The places where versions and images are compared, taken apart and chosen: in a browser, on a run with two versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from support import viewing

from flows.comparing import compare
from flows.viewer.answers import catalogue, moved
from flows.viewer.answers.open_runs import OpenRuns
from storage.errors import NotFound
from storage.run import open_run

LAYER = "features.5"
BOTH = f"/compare/small@1..small@2/{LAYER}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    images, store = viewing.two_versions(tmp_path_factory)
    with viewing.serving(store) as address:
        yield viewing.Served(address, store, images)


def told_and_columns(store: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what `actlas compare` says of the layer, and what the viewer does."""
    runs = OpenRuns(str(store))
    old, new = runs.version("small", "1"), runs.version("small", "2")
    columns = catalogue.answer(new, "moved", {"layer": LAYER, "since": f"small@{old.tag}"})
    answer = compare.compare(str(store), ["small@1", "small@2"], layers=[LAYER], noisy=False)
    return answer["steps"][0]["layers"][0], columns


def agree(told: dict[str, Any], columns: dict[str, Any]) -> bool:
    """Tell whether cells, units and labels are the same, row by row."""
    units = {row["unit"]: row["drift"] for row in told["units"]}
    same = all(columns["units"]["drift"][u] == pytest.approx(drift, rel=5e-3) for u, drift in units.items())
    for found in columns["cells"]:
        rows = told["cells"][str(found["grid"])]["cells"]
        same &= [row["state"] for row in rows] == [moved.STATES[state] for state in found["state"]]
        same &= [(row["row"], row["col"]) for row in rows] == list(zip(found["row"], found["col"], strict=True))
        same &= sum(found[state] for state in moved.STATES) == len(rows)
    return bool(same and [row["label"] for row in told["labels"]] == [row["label"] for row in columns["labels"]])


def test_what_moved_is_what_compare_says(served: viewing.Served, monkeypatch: pytest.MonkeyPatch) -> None:
    told, columns = told_and_columns(served.store)
    assert columns["drift"]["median"] > 0.01
    assert agree(told, columns)
    monkeypatch.setattr(moved, "sorted", lambda rows, key: rows, raising=False)  # units as they drifted, not by number
    assert not agree(*told_and_columns(served.store))


def test_a_comparison_is_asked_for_by_hash(served: viewing.Served) -> None:
    version = OpenRuns(str(served.store)).version("small")
    for since in ("small@1", "small@1-00000000", "small@9-00000000", "../x@1-00000000"):
        with pytest.raises(NotFound):
            catalogue.answer(version, "moved", {"layer": LAYER, "since": since})
    known = httpx.get(f"{served.address}/api/1/runs/small/1").json()["tag"]
    asked = {"layer": LAYER, "since": f"small@{known}"}
    answer = httpx.get(f"{served.address}/api/1/runs/small/{version.address}/moved", params=asked)
    assert answer.status_code == 200


def test_a_comparison_is_made_anew_once_the_noise_is_known(
    served: viewing.Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = OpenRuns(str(served.store)).version("small")
    asked = {"layer": LAYER, "since": f"small@{OpenRuns(str(served.store)).version('small', '1').tag}"}
    made = []
    monkeypatch.setattr(moved, "_measure", lambda *what: made.append(what[-1]) or {"known": what[-1]})
    for known in (False, False, True, True):
        monkeypatch.setattr(moved, "_has_noise", lambda *_, now=known: now)
        assert catalogue.answer(version, "moved", asked) == {"known": known}
    assert made == [False, True]


def test_two_versions_are_compared_side_by_side(page: viewing.Page) -> None:
    page.goto(BOTH)
    page.see(".sides .stage").nth(1).wait_for()
    page.settle()
    assert page.title() == "compare · small@1 · small@2 · actlas"
    assert "shared samples" in page.see(".lead").inner_text()
    assert page.see(".drifted li").count() >= 1
    page.until("() => document.querySelectorAll('.keys .key').length >= 3")


def told_as_chance(page: viewing.Page) -> tuple[bool, bool, bool]:
    """Tell whether the page says that the noise is unknown, marks changes as "maybe", and draws their frames dotted."""
    keys = page.see(".keys").inner_text()
    return (
        page.see("text=how much of this is chance").count() > 0,
        "maybe" in keys,
        [2, 3] in page.script("() => dashes"),
    )


DASHES = """
window.dashes = [];
const real = CanvasRenderingContext2D.prototype.setLineDash;
CanvasRenderingContext2D.prototype.setLineDash = function (dash) { dashes.push([...dash]); return real.call(this, dash); };
"""


@pytest.mark.parametrize("noise", [None, 0.2])
def test_changes_are_maybe_until_the_noise_is_measured(
    page: viewing.Page, monkeypatch: pytest.MonkeyPatch, noise: float | None
) -> None:
    real = moved._measure

    def measure(*what: Any) -> Any:
        answer = real(*what)
        displacement = {**answer["displacement"], "noise_median": noise, "beyond_noise": noise}
        state = [{**cells, "state": [1] * len(cells["state"])} for cells in answer["cells"]]
        return {**answer, "same_layout": False, "displacement": displacement, "cells": state}

    monkeypatch.setattr(moved, "_measure", measure)
    monkeypatch.setattr(moved, "_has_noise", lambda *_: noise is not None)
    page.add_init_script(DASHES)
    page.goto(f"{BOTH}?grid=4")
    page.see(".sides .stage").nth(1).wait_for()
    page.until("() => document.querySelectorAll('.keys .key').length >= 3")
    page.settle()
    assert told_as_chance(page) == (noise is None,) * 3
    assert "(0 = not at all, 1 = unrelated)" in page.see(".lead").inner_text()


def test_who_leaves_a_comparison_with_the_latest_follows_the_latest(page: viewing.Page) -> None:
    page.goto(BOTH)
    page.see("header").get_by_text("Units").click()
    page.until("() => location.pathname.startsWith('/small/units/')")
    page.goto(BOTH.replace("@1..small@2", "@2..small@1"))
    page.see("header").get_by_text("Units").click()
    page.until("() => location.pathname.startsWith('/small@1/units/')")


def test_both_maps_move_together(page: viewing.Page) -> None:
    page.goto(BOTH)
    page.see(".sides .stage").nth(1).wait_for()
    page.settle()
    before = [page.see(".sides .stage").nth(i).screenshot() for i in (0, 1)]
    page.see(".sides .stage").nth(0).focus()
    for _ in range(4):
        page.keyboard.press("+")
    page.wait_for_url("**at=*")
    page.settle()
    page.wait_for_timeout(500)
    after = [page.see(".sides .stage").nth(i).screenshot() for i in (0, 1)]
    assert after[0] != before[0]
    assert after[1] != before[1]


def test_a_cell_is_opened_on_both_sides(page: viewing.Page) -> None:
    page.goto(BOTH)
    page.see(".sides .stage").nth(1).wait_for()
    page.settle()
    page.see(".sides .stage").nth(0).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url("**cell=*")
    page.see(".panel .halves").wait_for()
    there = page.see(".panel .halves").inner_text()
    assert "small@1" in there
    assert "small@2" in there
    page.reload()
    page.see(".panel .halves").wait_for()
    page.keyboard.press("Escape")
    page.until("() => !location.search.includes('cell=')")


def test_the_pair_is_chosen_and_one_alone_is_no_pair(page: viewing.Page) -> None:
    page.goto(BOTH)
    page.see(".sides").wait_for()
    page.see("[aria-label='Swap the two']").click()
    page.until("() => location.pathname.startsWith('/compare/small@2..small@1/')")
    page.see(".sides").wait_for()
    page.until("() => document.querySelectorAll('.pick')[0].options.length === 2")
    page.see(".pick").nth(0).select_option("small@1")
    page.see("text=You are comparing a version with itself").wait_for()
    assert "actlas run" in page.see(".compare-place").inner_text()


def test_motion_lies_over_the_atlas_and_drift_sorts_units(page: viewing.Page) -> None:
    page.goto(f"/small/atlas/{LAYER}")
    page.settle()
    page.select_option("#shade", "motion:small@1")
    page.wait_for_url("**shade=motion:small@1")
    page.see(".legend").get_by_text("Side by side").wait_for()
    page.goto(f"/small/units/{LAYER}")
    page.see(".units li").first.wait_for()
    page.select_option("#sort", "drift:small@1")
    page.wait_for_url("**sort=drift:small@1")
    page.settle()
    values = [float(text.split()[1]) for text in page.see(".units li").all_inner_texts() if text.split()[1] != "–"]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0


def test_an_image_is_chosen_and_found(page: viewing.Page) -> None:
    page.goto(f"/small/image?layer={LAYER}")
    page.see(".images li").first.wait_for()
    assert page.see(".images li").count() == 40
    assert page.loaded(".images img")
    page.see(".page-head [data-keep=search]").click()
    page.keyboard.type("stripes")
    page.see("#found-beside li").get_by_text("“stripes” in file or label").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**text=stripes*")
    page.until("() => /with .stripes. in/.test(document.querySelector('main [role=status]').textContent)")
    shown = page.see(".images li").all_inner_texts()
    assert 0 < len(shown) < 40
    assert all("stripes" in text for text in shown)
    page.see(".filter-chip button").click()
    page.until("() => document.querySelectorAll('.images li').length === 40")
    page.goto("/small/image?text=zebra")
    page.see("main").get_by_text("No match.").wait_for()


def test_search_finds_files_and_locate_takes_an_image_of_the_run(page: viewing.Page) -> None:
    page.goto(f"/small/atlas/{LAYER}")
    page.settle()
    page.see("text=Locate an image").click()
    page.see(".panel .images a").nth(3).click()
    page.wait_for_url("**locate=3")
    page.see(".panel .positions").wait_for(timeout=60_000)
    page.keyboard.press("/")
    name = page.get("/api/1/runs/small/current/image", id="5")["key"]
    page.keyboard.type(name)
    page.keyboard.press("Enter")  # at once, while the list still answers the first letters
    page.wait_for_url("**/image/5?*")
    page.go_back()
    page.see(".panel .positions").wait_for(timeout=60_000)
    page.see("text=Locate an image").click()
    page.see(".panel [data-keep=search]").click()
    page.keyboard.type(name)
    page.see("#found-beside li").get_by_text("image, on the map").click()
    page.wait_for_url("**locate=5")


def test_what_lies_over_an_image_is_chosen_and_mixed(page: viewing.Page) -> None:
    page.goto(f"/small/image/7?layer={LAYER}")
    page.see("#laid").wait_for(timeout=60_000)
    page.settle()
    plain = page.shot(".image-photo .positioned")
    seen = {plain}
    for shown in ("groups", "icons", "gradient", "integrated-gradients"):
        page.select_option("#laid", shown)
        page.wait_for_url(f"**show={shown}*")
        page.see("#laid").wait_for(timeout=60_000)
        page.settle()
        page.until("() => !document.querySelector('.image-photo figcaption').textContent.startsWith('Waiting')", 60)
        page.settle()
        seen.add(page.shot(".image-photo .positioned"))
    assert len(seen) == 5
    page.see("#mix").fill("0")
    page.wait_for_url("**mix=0*")
    assert page.shot(".image-photo .positioned") not in seen


def test_what_is_at_a_position_is_followed_to_a_later_layer(page: viewing.Page) -> None:
    page.goto("/small/image/7?layer=features.2")
    page.see(".follow button").first.click(timeout=60_000)
    page.wait_for_url("**to=features.5*")
    page.see(".two-mosaics").wait_for(timeout=60_000)
    page.until("() => document.querySelectorAll('.link-line').length > 0")
    assert page.see(".drivers li li").count() >= 1
    page.keyboard.press("]")
    page.wait_for_url("**layer=features.5*")


def test_saliency_is_what_the_command_gives(served: viewing.Served) -> None:
    import base64

    import numpy as np

    from atlas import colours
    from atlas.attribution.methods import METHODS
    from flows.model import context as model_context
    from flows.one_image import saliency

    asked = {"layer": LAYER, "id": "7", "method": "gradient", "of": "1"}
    answer = httpx.post(f"{served.address}/api/1/runs/small/2/explain", params=asked, timeout=120).json()
    _, _, found = saliency.explain(
        model_context.open_context(str(served.store), run="small"), "7", "class:1", method="gradient"
    )
    sent = np.frombuffer(base64.b64decode(answer["map"]), np.int8).reshape(answer["rows"], answer["cols"])
    assert np.abs(sent / 127 - colours.scaled(found)).max() < 1 / 127
    other = saliency.explain(
        model_context.open_context(str(served.store), run="small"), "7", "class:0", method="gradient"
    )[2]
    assert np.abs(sent / 127 - colours.scaled(other)).max() > 0.1
    wrong = httpx.post(f"{served.address}/api/1/runs/small/2/explain", params=asked | {"method": "tea leaves"})
    assert wrong.status_code == 400
    offered = httpx.get(f"{served.address}/api/1/runs/small/2").json()["saliency"]
    assert [row["name"] for row in offered] == list(METHODS)


def test_units_go_with_a_class_as_their_cards_say(served: viewing.Served, page: viewing.Page) -> None:
    version = OpenRuns(str(served.store)).version("small", "1")
    told = catalogue.answer(version, "speaks", {"layer": LAYER, "of": "1"})["correlation"]
    for unit in (0, 5, 11):
        card = catalogue.answer(version, "card", {"layer": LAYER, "unit": unit})["classes"]
        said = {row["class"]: row["correlation"] for row in card["for"] + card["against"]}
        assert 1 not in said or said[1] == pytest.approx(told[unit], abs=2e-3)
        assert 0 not in said or said[0] != pytest.approx(told[unit], abs=2e-3)  # another class is another number
    page.goto(f"/small@1/units/{LAYER}?class=1")
    page.see(".units li").first.wait_for()
    values = [float(text.split()[1].replace("−", "-")) for text in page.see(".units li").all_inner_texts()]
    assert values == sorted(values, reverse=True)
    page.see(".classes button").click()
    page.until("() => !location.search.includes('class=')")
    page.keyboard.press("/")
    page.keyboard.type("3")
    page.see("#found li").get_by_text("unit, and those like it").click()
    page.wait_for_url("**sort=like:3")


def test_a_class_shows_for_against_and_its_number_under_the_cursor(page: viewing.Page) -> None:
    page.version = "1"
    shots = set()
    for side in ("", "&side=against", "&side=both"):
        page.goto(f"/small@1/atlas/{LAYER}?class=1{side}")
        page.see(".map-foot .way").first.wait_for()
        page.settle()
        shots.add(page.shot(".stage"))
    assert len(shots) == 3
    page.see(".map-foot .way").first.click()
    page.until("() => !location.search.includes('side=')")
    page.hover_cell()
    assert "(rank " in page.see(".card-asked").inner_text()


def test_the_run_tells_its_versions_and_weights(page: viewing.Page) -> None:
    page.goto("/small/run")
    page.see("text=What it is made of").wait_for()
    text = page.see("main").inner_text()
    assert "weights" in text
    assert "trained.pt" in text
    page.see("text=since then").click()
    page.until("() => location.pathname.startsWith('/compare/small@1..small@2')")


def test_a_run_shows_how_far_its_pictures_can_be_trusted(page: viewing.Page, served: viewing.Served) -> None:
    run = open_run(served.store, "small@1")
    page.goto("/small@1/run")
    page.see(".plot").first.wait_for()
    page.settle()
    text = page.see("main").inner_text()
    for layer in run.layers:
        cells, ratio = run.cells(layer, 4), run.gallery(layer).ratio
        for name, values in {
            "Fidelity of icons": cells.cosine,
            "Coherence": cells.coherence,
            "Picture against patch": ratio,
        }.items():
            known = np.sort(values[np.isfinite(values)])
            told = [line for line in text.split("\n") if line.startswith(f"{name}: median")]
            shown = [float(line.split("median ")[1].split(" ")[0]) for line in told]
            assert any(value == pytest.approx(known[len(known) // 2], rel=0.02) for value in shown), (layer, name)
            assert any(f" of {len(known)}" in line for line in told)
    assert page.see(".plot").count() == 4 * len(run.layers)  # and how mixed the labels of units are
