"""Targets as one writes them, and what the saliency command answers and draws."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.pictures import photo
from torch import Tensor, nn

from atlas import colours
from flows import cli
from flows.drawing import targets
from flows.drawing.targets import Target, parse
from flows.model import context as model_context
from flows.one_image import saliency
from flows.questions.classes import class_index
from flows.sheets import saliency as saliency_sheet
from storage.errors import NotFound, UnknownLayer, UsageError
from storage.models import Model
from storage.models.preprocessing import Preprocess

CLASSES = ("tabby", "crane", "go-kart", "crane", "Egyptian cat")


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("class:tabby", Target(kind="class", index=0, name="tabby")),
        ("class:egyptian CAT", Target(kind="class", index=4, name="Egyptian cat")),
        ("class:3", Target(kind="class", index=3, name="crane")),
        ("prob:go-kart", Target(kind="probability", index=2, name="go-kart")),
        ("_blocks.10:37", Target(kind="unit", layer="_blocks.10", index=37)),
        ("layer4@1:2@3,4", Target(kind="unit", layer="layer4@1", index=2, position=(3, 4))),
        ("_blocks.10", Target(kind="layer", layer="_blocks.10")),
    ],
)
def test_targets_are_read_and_written(text: str, target: Target) -> None:
    assert parse(text, CLASSES) == target
    if target.index != 3:  # a name that two classes have can't be written back
        assert parse(str(target), CLASSES) == target


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("class:tabbi", NotFound, "no class 'tabbi'; nearest: tabby"),
        ("class:crane", UsageError, "2 classes are called 'crane'; write one of class:1, class:3"),
        ("class:5", NotFound, "no class 5; its classes are 0 to 4"),
        ("layer:x", UsageError, "'layer:x' is not a target; write LAYER:UNIT, "),
        ("layer:1@2", UsageError, "'layer:1@2' is not a target"),
        ("", UsageError, "'' is not a target"),
    ],
)
def test_what_is_no_target_is_said(text: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        parse(text, CLASSES)


def test_without_names_a_class_is_an_index() -> None:
    assert class_index("7", ()) == 7
    assert class_index("class:1", ("crane", "crane")) == 1
    with pytest.raises(UsageError, match="no class names"):
        class_index("cat", ())


class Quarters(nn.Module):
    """Four classes: how bright each quarter of the picture is, as `fill` says with a planted weight."""

    def __init__(self) -> None:
        super().__init__()
        self.grid = nn.AdaptiveAvgPool2d(2)
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        self.conv.weight.data = torch.tensor([[1.0, 1.0, 1.0], [-1.0, 0.0, 0.0]]).view(2, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.grid(torch.relu(self.conv(x)))[:, 0].flatten(1)


@pytest.fixture
def look() -> model_context.ModelContext:
    preprocess = Preprocess(resize=16, crop=(16, 16), mean=(0.0,) * 3, std=(1.0,) * 3)
    module = Quarters().eval().requires_grad_(False)
    return model_context.ModelContext(
        model=Model(module=module, preprocess=preprocess, classes=("nw", "ne", "sw", "se"), spec="q")
    )


@pytest.fixture
def bright(tmp_path: Path) -> str:
    """A picture whose lower left quarter is the brightest."""
    pixels = np.full((16, 16, 3), 40, np.uint8)
    pixels[8:, :8] = 200
    Image.fromarray(pixels).save(tmp_path / "sw.png")
    return str(tmp_path / "sw.png")


@pytest.mark.parametrize(
    "method", ["gradient", "gradient-x-input", "smoothgrad", "integrated-gradients", "guided-backprop", "deconvnet"]
)
def test_the_models_first_choice_is_explained_where_it_is(
    look: model_context.ModelContext, bright: str, method: str
) -> None:
    answer, _, map = saliency.explain(look, bright, None, method=method)
    assert answer["target"] == {"text": "class:sw", "kind": "class", "index": 2, "name": "sw"}
    assert answer["score"] == pytest.approx(3 * 200 / 255)
    assert answer["choices"][0]["name"] == "sw"
    inside = np.zeros((16, 16), bool)
    inside[8:, :8] = True
    assert np.abs(map[~inside]).max() == 0
    assert np.abs(map[inside]).min() > 0
    json.dumps(answer)


def test_integrated_gradients_say_how_complete_they_are(look: model_context.ModelContext, bright: str) -> None:
    answer, _, map = saliency.explain(look, bright, "class:sw", method="integrated-gradients", baseline="black")
    assert answer["sum"] == pytest.approx(answer["score"], abs=1e-4)
    assert answer["gap"] == pytest.approx(0, abs=1e-4)
    assert map.sum() == pytest.approx(answer["sum"], abs=1e-4)


@pytest.mark.parametrize(
    ("target", "told", "says"),
    [
        ("conv", {}, "conv is a whole layer, and saliency explains one number; write a unit, conv:UNIT"),
        ("conv:2", {}, "layer conv has no unit 2; its units are 0 to 1"),
        ("conv:0@16,0", {}, "layer conv has no position 16,0"),
        ("cnv:0", {}, "no layer 'cnv'; nearest: conv"),
        ("conv:0", {"method": "grad-cam"}, "grad-cam of the unit conv:0 needs --layer"),
        ("nw", {"method": "lime"}, "--method lime is not one of gradient"),
        ("class:nw", {"layer": "conv"}, "--layer is for grad-cam, not gradient"),
        ("class:nw", {"baseline": "white"}, "--baseline white is not one of mean, black"),
        ("conv:0+conv:1", {}, "a sum, which `actlas show` draws; saliency explains one class or unit"),
        ("conv@20:3,4", {}, "conv@20:3,4 is a cell of an atlas, which `actlas show` draws"),
        ("class:²", {}, "no class '²'; nearest: "),
        ("nw", {"method": "integrated-gradients", "steps": 0}, "'nw'|--steps 0"),
    ],
)
def test_what_cannot_be_explained_is_said_in_a_line(
    look: model_context.ModelContext, bright: str, target: str, told: dict[str, str], says: str
) -> None:
    with pytest.raises((UsageError, NotFound, UnknownLayer), match=says) as error:
        saliency.explain(look, bright, target, **told)
    assert "\n" not in str(error.value)


class Patched(nn.Module):
    """Tokens of which the first alone is read in the end, as in a vision transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 4, 4)
        self.mix = nn.Conv2d(4, 4, 1)
        self.last = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 4)
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        early = self.mix(self.stem(x))
        read = early.mean((2, 3))
        return self.head(read) + 0 * self.last(early).sum((2, 3))


@pytest.fixture
def patched(look: model_context.ModelContext) -> model_context.ModelContext:
    module = Patched().eval().requires_grad_(False)
    return model_context.ModelContext(model=dataclasses.replace(look.model, module=module))


def test_grad_cam_looks_where_something_moves_the_score(patched: model_context.ModelContext, bright: str) -> None:
    answer, _, _ = saliency.explain(patched, bright, "class:nw", method="grad-cam")
    assert answer["parameters"] == {"layer": "mix"}
    assert "note" not in answer
    blind, _, flat = saliency.explain(patched, bright, "class:nw", method="grad-cam", layer="last")
    assert not flat.any()
    assert "nothing at last speaks for class:nw" in blind["note"]


def unrectified(look: model_context.ModelContext, bright: str, method: str) -> dict[str, bool]:
    """Tell of a unit before the net's rectifier and of a class behind it whether a note says that the method is none."""
    answers = {
        target: saliency.explain(look, bright, target, method=method)[0] for target in ("conv:0@3,4", "class:sw")
    }
    return {
        target: f"here {method} is the plain gradient" in answer.get("note", "") for target, answer in answers.items()
    }


@pytest.mark.parametrize("method", ["guided-backprop", "deconvnet"])
def test_where_nothing_is_rectified_a_note_says_so(look: model_context.ModelContext, bright: str, method: str) -> None:
    assert unrectified(look, bright, method) == {"conv:0@3,4": True, "class:sw": False}
    answer, picture, map = saliency.explain(look, bright, "conv:0@3,4", method=method)
    plain = saliency.explain(look, bright, "conv:0@3,4", method="gradient")[2]
    assert np.array_equal(map, plain)
    noted = saliency_sheet.draw(answer, picture, map)
    del answer["note"]
    assert not np.array_equal(noted, saliency_sheet.draw(answer, picture, map))


def test_mutant_a_rectifier_anywhere_will_do(
    look: model_context.ModelContext, bright: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saliency, "rectifies", lambda module, x, score: True)
    assert not any(unrectified(look, bright, "deconvnet").values())


def test_sheet_heat_and_overlay_have_the_size_asked_for(look: model_context.ModelContext, bright: str) -> None:
    answer, picture, map = saliency.explain(look, bright, "conv:1@3,4", method="gradient")
    for view in ("heat", "overlay"):
        assert saliency_sheet.draw(answer, picture, map, view=view, size=64).shape == (64, 64, 3)
    sheet = saliency_sheet.draw(answer, picture, map, size=64)
    assert sheet.shape[1] > 3 * 64
    assert sheet.shape[0] > 64


def test_colours_one_hue_for_strength_and_blue_for_what_speaks_against() -> None:
    map = np.array([[0.0, 0.5, 1.0, -0.5, -1.0]], np.float32)
    shown = colours.heat(map)[0].astype(int)
    assert tuple(shown[0]) == colours.PAPER
    assert (tuple(shown[2]), tuple(shown[4])) == (colours.ORANGE, colours.BLUE)
    lightness = shown.sum(1)
    assert lightness[0] > lightness[1] > lightness[2]
    assert lightness[0] > lightness[3] > lightness[4]
    assert (colours.scaled(np.zeros((2, 3), np.float32)) == 0).all()
    assert colours.scaled(np.array([[0.0, 4.0], [-4.0, 2.0]], np.float32)).min() == -1


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    photo(64, 48).save(tmp_path / "photo.png")
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    return tmp_path


def test_the_command_writes_a_picture_and_json(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["saliency", "photo.png", "_blocks.2:3@4,5", "--input-size", "64", "--method", "guided-backprop"]
    assert cli.invoke([*arguments, "--out", "a.png", "--view", "overlay", "--size", "100", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["target"]["text"], answer["out"]) == ("_blocks.2:3@4,5", "a.png")
    assert Image.open("a.png").size == (100, 100)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["photo.png", "--out", "nowhere/a.png"], 2, "there is no folder nowhere"),
        (["photo.png", "--out", "a.jpg"], 2, "use a name that ends in .png"),
        (["gone.png", "--input-size", "64"], 4, "gone.png: there is no such file"),
        (["photo.png", "--run", "r", "--model", "efficientnet-lite0"], 2, "leave --model out"),
        (["photo.png", "--run", "r", "--mean", "0.5"], 2, "leave --mean out"),
        (["photo.png", "--mean", "half"], 2, "--mean half: write numbers with commas"),
        (["photo.png", "--out", "."], 2, "use a name that ends in .png"),
        (["photo.png", "--view", "both", "--out", "a.png"], 2, "--view both is not one of sheet, heat"),
        (["photo.png", "--size", "96x160"], 2, "(it was 96x160); actlas saliency --help says what there is"),
        (
            ["photo.png", "--classes", "two.txt"],
            2,
            "--classes two.txt has 2 names, and efficientnet-lite0 1000 classes",
        ),
    ],
)
def test_the_command_says_what_is_wrong(
    in_folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    assert cli.invoke(["saliency", *arguments]) == code
    told = capsys.readouterr().err.strip()
    assert says in told
    assert "\n" not in told


def test_mutant_a_target_read_the_wrong_way_round_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    import re

    swapped = re.compile(r"(?P<layer>.+):(?P<unit>\d+)(?:@(?P<x>\d+),(?P<y>\d+))?")
    monkeypatch.setattr(targets, "_UNIT", swapped)
    assert parse("layer4@1:2@3,4", CLASSES).position != (3, 4)
