"""`explain` on a run: icons looked up in its atlas, its second moment, its patches of units; and another model refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import corpus
from support.pictures import photo

from atlas.inversion.whitened import EPSILON, cosines
from atlas.inversion.whitening import second_moment, whitener
from atlas.one_image import between, likeness
from flows import cli
from flows.drawing import illustrator
from flows.model import context as model_context
from flows.model import fingerprints
from flows.model.context import ModelContext
from flows.one_image import explain
from flows.one_image.explain import Question
from flows.one_image.memory import Memory
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from storage.artefacts import pictures
from storage.errors import ModelError, UsageError

LAYER, LATER = corpus.LAYERS


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    images = corpus.write_images(tmp_path_factory.mktemp("images"), 40)
    folder = tmp_path_factory.mktemp("store")
    pipeline.run(corpus.config(images, folder), Inline())
    return str(folder)


@pytest.fixture(scope="module")
def look(store: str) -> ModelContext:
    return model_context.open_context(store, run="small")


@pytest.fixture(scope="module")
def answer(look: ModelContext) -> dict[str, Any]:
    return explain.explain(look, "3", LAYER, to=LATER, question=Question(icons="atlas", cells=5, groups=3))


def test_each_block_has_the_icon_of_the_likest_cell(look: ModelContext, answer: dict[str, Any]) -> None:
    run, grid = look.run, answer["layer"]["grid"]
    assert run is not None
    cells, samples = run.cells(LAYER, grid["grid"]), run.samples(LAYER).activations
    whiten = whitener(second_moment([samples], samples.shape[1]), EPSILON).numpy()
    told = Question(icons="none", cells=5, groups=3, top=16)
    units = explain.explain(look, "3", LAYER, question=told)["layer"]["grid"]
    for row, col in np.ndindex(5, 5):
        vector = np.zeros(samples.shape[1], np.float32)
        vector[units["units"][row, col]] = units["values"][row, col]
        cosine = cosines(vector[None], cells.mean, whiten)[0]
        assert grid["cosine"][row, col] == pytest.approx(cosine.max(), abs=1e-4)
        best = np.flatnonzero((cells.row == grid["cells"][row, col, 0]) & (cells.col == grid["cells"][row, col, 1]))[0]
        assert cosine[best] == pytest.approx(cosine.max(), abs=1e-4)
        assert (grid["pictures"][row, col] == cells.icon[best]).all()


def test_what_is_usual_is_the_runs_and_so_are_the_units_pictures(look: ModelContext, answer: dict[str, Any]) -> None:
    run, layer = look.run, answer["layer"]
    assert run is not None
    assert layer["whitened_by"] == "run small"
    rms = np.sqrt(np.square(run.samples(LAYER).activations).mean(0))
    grid = layer["grid"]
    assert np.allclose(grid["relative"] * rms[grid["units"]], grid["values"], rtol=1e-4, atol=1e-6)
    assert layer["unit_pictures_from"] == "the strongest patch of each in run small"
    for (unit, side), picture in layer["unit_pictures"].items():
        assert (picture == pictures.decode(run.thumbnails(LAYER, unit, side)[0])).all()
    assert answer["later"]["grid"]["pictures"] is not None


def test_by_itself_blocks_are_looked_up_and_groups_drawn(look: ModelContext) -> None:
    told = Question(groups=2, drawing=illustrator.Drawing(steps=1, size=32))
    found = explain.explain(look, "3", LAYER, question=told)["layer"]
    assert found["grid"]["icons_from"].startswith("the nearest cell's icon of run small")
    assert found["groups"]["icons_from"] == "drawn, fast, 1 steps"


def test_a_layer_that_the_run_lacks_has_no_atlas(look: ModelContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(illustrator, "SAMPLE_PHOTOS", 3)
    with pytest.raises(UsageError, match=r"no run with icons of features.3 is named"):
        explain.explain(look, "3", "features.3", question=Question(icons="atlas"))
    told = Question(cells=1, groups=1, drawing=illustrator.Drawing(steps=1, size=32))
    found = explain.explain(look, "3", "features.3", question=told)["layer"]
    assert (found["whitened_by"], found["grid"]["icons_from"]) == ("3 sample photos", "drawn, fast, 1 steps")


def test_another_model_than_the_runs_is_refused(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    another = dict.fromkeys((LAYER, LATER), "another")
    monkeypatch.setattr(fingerprints, "of_model", lambda *_: fingerprints.Fingerprints(prints=another, traces=another))
    with pytest.raises(ModelError, match=f"small@1 was made by another model: .* has changed up to {LAYER} since"):
        model_context.open_context(store, run="small")


def test_the_command_answers_of_an_image_of_the_run_and_of_a_file(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(50, 40).save(tmp_path / "photo.png")
    for image in ("7", str(tmp_path / "photo.png")):
        asked = ["explain", image, "--layer", LAYER, "--run", "small", "--store", store, "--icons", "atlas", "--json"]
        assert cli.invoke(asked) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["image"], told["run"]) == (image, "small@1")
        assert np.shape(told["layer"]["grid"]["cells"])[2] == 2
    assert cli.invoke(["explain", "4711", "--layer", LAYER, "--run", "small", "--store", store]) == 4
    assert "no image 4711" in capsys.readouterr().err


def test_mutant_the_cell_before_the_likest_is_seen(look: ModelContext, monkeypatch: pytest.MonkeyPatch) -> None:
    right = illustrator.likeness.nearest
    monkeypatch.setattr(
        illustrator.likeness, "nearest", lambda *asked: (np.maximum(right(*asked)[0] - 1, 0), right(*asked)[1])
    )
    found = explain.explain(look, "3", LAYER, question=Question(icons="atlas", cells=5, groups=3))
    with pytest.raises(AssertionError):
        test_each_block_has_the_icon_of_the_likest_cell(look, found)


def flat(value: Any) -> list[float]:
    """Return all numbers of an answer, in order."""
    if isinstance(value, np.ndarray):
        return [float(number) for number in value.ravel()]
    if isinstance(value, dict | list | tuple):
        return [number for part in (value.values() if isinstance(value, dict) else value) for number in flat(part)]
    return [float(value)] if isinstance(value, int | float) else []


def test_another_class_costs_its_gradient_only(look: ModelContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is kept of an image nothing is factored, looked up or passed forward again, and all numbers are the same."""
    questions = [Question(target=target, icons="atlas", cells=5, groups=3) for target in ("0", "1")]
    memory = Memory(illustrator.Illustrator(look, questions[0].drawing))
    alone = [explain.explain(look, "3", LAYER, question=question) for question in questions]
    first = explain.explain(look, "3", LAYER, question=questions[0], memory=memory)

    def again(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed again")

    monkeypatch.setattr(explain, "groups", again)
    monkeypatch.setattr(likeness, "nearest", again)
    monkeypatch.setattr(between, "effects_on_classes", again)
    monkeypatch.setattr(ModelContext, "choices", again)
    second = explain.explain(look, "3", LAYER, question=questions[1], memory=memory)
    for kept, fresh in zip((first, second), alone, strict=True):
        np.testing.assert_allclose(flat(kept["layer"]), flat(fresh["layer"]), rtol=1e-4, atol=1e-5)
    assert first["layer"]["attribution"]["total"] != second["layer"]["attribution"]["total"]
    with pytest.raises(AssertionError, match="computed again"):  # without it, all of that is
        explain.explain(look, "3", LAYER, question=questions[1])
