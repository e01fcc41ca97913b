"""A saliency method is one row: a method that only a test registers reaches every face of the tool."""

from __future__ import annotations

import base64
import importlib
import inspect
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import warm
from support.pictures import photo
from torch import Tensor, nn

from atlas.attribution.methods import METHODS, Method, Settings, attribute, taking
from atlas.attribution.scores import Score, class_logit
from flows.model import context as model_context
from flows.one_image import saliency
from flows.sheets import saliency as saliency_sheet
from flows.sheets.canvas import Canvas
from flows.viewer.answers import about
from flows.viewer.model import answer_image
from storage.models import Model
from storage.models.preprocessing import Preprocess

NAME, SENTENCE = "left-half", "the left half, whatever the model does"


def left_half(module: nn.Module, x: Tensor, score: Score, *, steps: int) -> Tensor:
    """Attribute `steps` to each pixel of the left half, minus that to the others."""
    raw = torch.full_like(x, -float(steps))
    raw[..., : x.shape[3] // 2] = steps
    return raw


ROW = Method(
    name=NAME,
    title="left half",
    sentence=SENTENCE,
    function=f"{__name__}.left_half",
    signed=True,
    settings=("steps",),
)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, NAME, ROW)


@pytest.fixture
def model() -> Model:
    preprocess = Preprocess(resize=16, crop=(16, 16), mean=(0.0,) * 3, std=(1.0,) * 3)
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    return Model(module=module, preprocess=preprocess, classes=("red", "green", "blue"), spec="colours")


@pytest.fixture
def picture(tmp_path: Path) -> str:
    photo().save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


HELP = """
import sys
sys.path[:0] = {folders!r}
import test_saliency_methods as methods
methods.METHODS.update({{methods.NAME: methods.ROW}} if {registered} else {{}})
from flows import cli
sys.exit(cli.invoke(["saliency", "--help"]))
"""


@pytest.fixture
def helper(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that executes code where no command has been imported."""
    return warm.program(tmp_path_factory, tmp_path, "helper", "support.executing")


def help_text(helper: Path, registered: bool = True) -> str:
    """Return the help without white space, since lines break at hyphens too: of a process that knows the method."""
    code = HELP.format(folders=[str(Path(__file__).parent), str(Path(__file__).parents[2])], registered=registered)
    done = subprocess.run([str(helper), code], capture_output=True, text=True, check=True)
    return "".join(done.stdout.split())


def explained(model: Model, picture: str) -> tuple[dict[str, Any], Any, Any]:
    return saliency.explain(model_context.ModelContext(model=model), picture, None, method=NAME, steps=7)


def test_the_help_lists_the_method_and_its_settings(helper: Path) -> None:
    text = help_text(helper)
    assert f"deconvnet,{NAME}." in text
    assert f"Stepsofintegrated-gradients,{NAME}." in text


@pytest.mark.usefixtures("registered")
def test_the_command_explains_by_the_method_with_its_settings(model: Model, picture: str) -> None:
    answer, _, map = explained(model, picture)
    assert answer["parameters"] == {"steps": 7}
    assert (map[:, :8] == 21).all()
    assert (map[:, 8:] == -21).all()


@pytest.mark.usefixtures("registered")
def test_the_sheet_says_what_the_method_shows(model: Model, picture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    right = Canvas.lines
    monkeypatch.setattr(
        Canvas, "lines", lambda self, x, y, text, *more: written.append(text) or right(self, x, y, text, *more)
    )
    saliency_sheet.draw(*explained(model, picture))
    assert f"heat map: {SENTENCE}" in written


@pytest.mark.usefixtures("registered")
def test_the_viewers_worker_answers_by_the_method(model: Model, picture: str) -> None:
    shown = answer_image.ImageContext(model=model, data=Path(picture).read_bytes())
    answer = answer_image._salient(shown, {"of": None, "method": NAME})
    strength = np.frombuffer(base64.b64decode(answer["map"]), np.int8).reshape(answer["rows"], answer["cols"])
    assert (answer["method"], answer["signed"]) == (NAME, True)
    assert (strength[:, :8] == 127).all()
    assert (strength[:, 8:] == -127).all()


@pytest.mark.usefixtures("registered")
def test_the_page_is_offered_the_method() -> None:
    assert about.saliency_methods()[-1] == {
        "name": NAME,
        "title": "left half",
        "sentence": SENTENCE,
        "signed": True,
        "refines": True,
    }


def test_rows_name_functions_that_take_their_settings() -> None:
    for method in METHODS.values():
        path, _, name = method.function.rpartition(".")
        parameters = list(inspect.signature(getattr(importlib.import_module(path), name)).parameters)
        assert parameters[:3] == ["module", "x", "score"], method.name
        assert sorted(parameters[3:]) == sorted(method.settings), method.name
        assert set(method.settings) <= set(Settings.__dataclass_fields__), method.name
    assert taking("layer") == ["grad-cam"]


def test_a_method_that_needs_a_layer_says_so(model: Model) -> None:
    with pytest.raises(ValueError, match="grad-cam needs a layer"):
        attribute(model.module, torch.zeros(1, 3, 16, 16), class_logit(0), "grad-cam")


def test_mutant_without_its_row_a_method_is_nowhere(helper: Path, model: Model, picture: str) -> None:
    assert NAME not in help_text(helper, registered=False)
    assert NAME not in [row["name"] for row in about.saliency_methods()]
    with pytest.raises(saliency.UsageError, match="--method left-half is not one of gradient"):
        explained(model, picture)
