"""Versions made with other constants than today's: the viewer draws by the record of the version, not by the code."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import corpus

from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.stages import gradients as gradients_stage
from flows.stages import influence as influence_stage
from flows.stages import patches as patches_stage
from flows.viewer.answers import unit_details
from flows.viewer.answers.open_runs import OpenRuns
from flows.viewer.model import gradients, links
from storage.artefacts import patch_gradients
from storage.run import Run, open_run

FIRST, LAYER = corpus.LAYERS
FOLLOWED, SIZE = 3, 40
UNIT = 3


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of a time when three patches were followed, and pictures had 40 pixels: one run with extras, one without."""
    folder = tmp_path_factory.mktemp("old")
    images = corpus.write_images(folder / "images", 24)
    with pytest.MonkeyPatch.context() as then:
        then.setattr(influence_stage, "PATCHES", FOLLOWED)
        for module in (patches_stage, gradients_stage):
            then.setattr(module, "SIZE", SIZE)
        for name, extras in (("small", ("influence", "gradients")), ("plain", ())):
            pipeline.run(corpus.config(images, folder / "store", name=name, extras=extras, until="patches"), Inline())
    assert (influence_stage.PATCHES, patches_stage.SIZE) == (8, 72)
    return str(folder / "store")


def parts_and_means(store: str) -> tuple[np.ndarray, np.ndarray]:
    """Return what the viewer says of each link's mean over the patches, and what the run holds."""
    rows = open_run(store, "small").influence(FIRST, UNIT).to_pylist()
    effects = {row["unit"]: row["effects"] for row in followed(store)["links"]}
    held = np.array([row["influence"] for row in rows])
    return np.array([np.mean(effects[row["later_unit"]]) for row in rows]), held


def followed(store: str) -> dict[str, Any]:
    return links.links(store, {"run": "small", "layer": FIRST, "unit": UNIT}, b"")


def drawn(store: str, name: str) -> list[np.ndarray]:
    """Return the pictures that the viewer draws of a unit's strongest patches."""
    places = unit_details.positions(OpenRuns(store).version(name), LAYER, UNIT, "positive")
    asked = {"run": name, "layer": LAYER, "unit": UNIT, "side": "positive", "places": places}
    told = gradients.gradients(store, asked, b"")["gradients"]
    pictures = [Image.open(io.BytesIO(base64.b64decode(one["picture"]))) for one in told]
    return [np.asarray(picture.convert("RGB"), np.float64) for picture in pictures]


def lie_over(pictures: list[np.ndarray], run: Run) -> bool:
    """Tell whether each picture has the size of its patch's thumbnail."""
    sizes = [Image.open(io.BytesIO(data)).size for data in run.thumbnails(LAYER, UNIT)]
    return bool(sizes) and [picture.shape[1::-1] for picture in pictures] == sizes


def test_links_are_of_as_many_patches_as_the_version_followed(store: str) -> None:
    assert len(followed(store)["patches"]) == FOLLOWED
    shown, held = parts_and_means(store)
    assert np.allclose(shown, held, rtol=1e-2, atol=1e-4)


def test_gradients_have_the_size_and_the_look_of_those_that_the_version_keeps(store: str) -> None:
    kept = open_run(store, "small").gradients(LAYER, UNIT)
    pictures = drawn(store, "small")
    assert max(max(picture.shape) for picture in pictures) == SIZE
    for rank, picture in zip(kept.rank.tolist(), kept.pictures, strict=True):
        assert np.abs(pictures[rank] - picture).max() <= 2


@pytest.mark.parametrize("name", ["small", "plain"])
def test_gradients_lie_over_the_thumbnails_of_the_version(store: str, name: str) -> None:
    assert lie_over(drawn(store, name), open_run(store, name))


def test_mutant_links_read_with_the_constant_of_today(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    of_version = links._patches
    monkeypatch.setattr(links, "_patches", lambda *given: of_version(*given[:4], influence_stage.PATCHES))
    shown, held = parts_and_means(store)
    assert not np.allclose(shown, held, rtol=1e-2, atol=1e-4)


def test_mutant_gradients_drawn_with_the_size_of_today(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patch_gradients, "size_of", lambda _: patches_stage.SIZE)
    assert not lie_over(drawn(store, "small"), open_run(store, "small"))
