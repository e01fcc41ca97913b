"""What in a patch drives a unit, drawn by the model when somebody looks: of patches of which the run keeps nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from support import corpus, viewing

from flows.viewer.answers import unit_details
from flows.viewer.answers.open_runs import OpenRuns
from storage.run import open_run

LAYER, UNIT = "features.5", 3
API = "/api/1/runs/small/current"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewing.Served]:
    images, store = viewing.shared_run(tmp_path_factory)
    with viewing.serving(store, seconds=240) as address:
        yield viewing.Served(address, store, images)


def drawn(address: str, side: str, unit: int = UNIT) -> Any:
    asked = {"layer": LAYER, "unit": unit, "side": side}
    return httpx.post(f"{address}{API}/gradients", params=asked, timeout=240)


def pixels(picture: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB"), np.float64)


def test_those_of_the_strongest_are_those_that_the_run_keeps(served: viewing.Served) -> None:
    kept = open_run(served.store, "small").gradients(LAYER, UNIT)
    told = drawn(served.address, "positive").json()
    assert told["method"] == kept.method
    found = {one["number"]: pixels(one["picture"]) for one in told["gradients"]}
    assert set(kept.rank.tolist()) <= set(found)
    for rank, picture in zip(kept.rank.tolist(), kept.pictures, strict=True):
        assert np.abs(found[rank] - picture).max() <= 2
    other = pixels(drawn(served.address, "positive", unit=UNIT + 1).json()["gradients"][0]["picture"])
    assert other.shape != found[0].shape or np.abs(other - found[0]).max() > 20


def test_each_is_of_its_patch_and_those_of_images_that_are_gone_are_left_out(tmp_path: Path, spawned: None) -> None:
    images, store = corpus.write_images(tmp_path / "images", 12), tmp_path / "store"
    viewing.make_run(images, store, extras=(), until="cells")
    version = OpenRuns(str(store)).version("small")
    shown = {side: unit_details.positions(version, LAYER, UNIT, side) for side in ("negative", "range")}
    lost = shown["range"][0]["image_id"]
    Path(next(row["path"] for row in version.run.images().to_pylist() if row["image_id"] == lost)).unlink()
    with viewing.serving(store, seconds=240) as address:
        for side, places in shown.items():
            told = drawn(address, side).json()
            there = [place for place in places if place["image_id"] != lost]
            assert [one["number"] for one in told["gradients"]] == [place["number"] for place in there]
            for one, place in zip(told["gradients"], there, strict=True):
                height, width, _ = pixels(one["picture"]).shape
                focus = place["focus"]
                assert width / height == pytest.approx(
                    (focus["right"] - focus["left"]) / (focus["bottom"] - focus["top"]), rel=0.05
                )
        assert drawn(address, "sideways").status_code == 400
    assert len(shown["range"]) > len(told["gradients"])


@pytest.mark.parametrize(("side", "patches"), [("negative", ".shots"), ("range", ".range")])
def test_they_are_drawn_once_a_patch_is_looked_at(page: viewing.Page, side: str, patches: str) -> None:
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/gradients?" in request.url else None)
    page.goto(f"/small/unit/{LAYER}:{UNIT}?side={side}")
    page.see(f"{patches} a").first.wait_for()
    page.settle()
    assert not asked
    assert page.see(".gradient").count() == 0
    page.see(f"{patches} a").nth(1).hover()
    page.see(".gradient").nth(1).wait_for(state="attached", timeout=120_000)
    page.until(
        f"() => getComputedStyle(document.querySelectorAll('{patches} a')[1].querySelector('.gradient')).opacity === '1'"
    )
    assert page.loaded(".gradient")
    page.see(f"{patches} a").nth(0).focus()
    assert "drives the unit" in page.see("#side").inner_text()
    page.see("#tab-positive").click()
    page.see(".shots .gradient").first.wait_for(state="attached")
    page.see(f"#tab-{side}").click()
    page.see(f"{patches} .gradient").first.wait_for(state="attached")
    assert len(asked) == 1


def test_where_the_model_is_not_asked_it_is_said(chromium: Any, served: viewing.Served) -> None:
    with viewing.serving(served.store, uploads=False) as address, viewing.opened(chromium, address) as page:
        page.goto(f"/small/unit/{LAYER}:{UNIT}?side=negative")
        page.see("#side").get_by_text("without --no-uploads").wait_for()
        assert drawn(address, "negative").status_code == 403
