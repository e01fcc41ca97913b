"""`explain` on nets worked out by hand: what it tells adds up, its pictures are where they should be, its lines are clear."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.nets import seeded
from support.pictures import photo
from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.colours import BLUE, ORANGE
from atlas.one_image.blocks import blocks
from atlas.one_image.groups import groups
from flows import cli
from flows.commands import explain as command
from flows.drawing import illustrator
from flows.drawing.illustrator import Drawing
from flows.model.context import ModelContext
from flows.one_image import explain
from flows.one_image import layer as one_layer
from flows.one_image.explain import Question
from flows.sheets import canvas, image_parts
from flows.sheets import image as image_sheet
from storage.errors import NotFound, UnknownLayer, UsageError
from storage.models import Model
from storage.models.preprocessing import Preprocess

CLASSES = ("left", "right", "both")
SIDE = 24


class Corners(nn.Module):
    """Detectors of red and of green, rectified; halves the size; classes read the left half, the right, and both."""

    def __init__(self, rectified: bool = True) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 2, stride=2)
        self.head, self.rectified = nn.Linear(5, 3), rectified

    def forward(self, x: Tensor) -> Tensor:
        found = self.second(self.first(x).relu())
        found = found.relu() if self.rectified else found
        return self.head(found.mean((2, 3)))


class Classed(nn.Module):
    """Tokens with a class token, which alone is read."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.token = nn.Conv2d(3, 8, 6, stride=6), nn.Parameter(torch.ones(1, 1, 8))
        self.block, self.head = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        return self.head(self.block(torch.cat([self.token.expand(len(x), -1, -1), tokens], 1))[:, 0])


def look_at(module: nn.Module) -> ModelContext:
    preprocess = Preprocess(resize=None, crop=(SIDE, SIDE), mean=(0.5,) * 3, std=(0.25,) * 3)
    return ModelContext(model=Model(module=seeded(module).float(), preprocess=preprocess, classes=CLASSES, spec="hand"))


@pytest.fixture(scope="module")
def look() -> ModelContext:
    return look_at(Corners())


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("image") / "photo.png"
    photo(SIDE, SIDE).save(path)
    return str(path)


@pytest.fixture(autouse=True)
def few_photos(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setattr(illustrator, "SAMPLE_PHOTOS", 4)


PLAIN = Question(icons="none", groups=3, cells=4, parts=2)


@pytest.fixture(scope="module")
def answer(look: ModelContext, image: str) -> dict[str, Any]:
    return explain.explain(look, image, "first", to="second", question=PLAIN)


def test_everything_adds_up_to_the_same(answer: dict[str, Any]) -> None:
    for layer in (answer["layer"], answer["later"]):
        found, total = layer["attribution"], layer["attribution"]["total"]
        for name in ("positions", "blocks", "units"):
            assert found[name].sum() == pytest.approx(total, abs=1e-4)
        groups = layer["groups"]
        assert groups["attribution"].sum() + groups["rest"] == pytest.approx(total, abs=1e-4)
        assert np.allclose(groups["positions"].sum((1, 2)), groups["attribution"], atol=1e-5)


def test_it_is_the_first_choice_whose_logit_is_explained(look: ModelContext, answer: dict[str, Any]) -> None:
    first = answer["choices"][0]
    assert (answer["target"]["index"], answer["target"]["name"]) == (first["index"], first["name"])
    assert answer["target"]["score"] == pytest.approx(first["logit"], abs=1e-4)
    bias = float(look.model.module.head.bias[first["index"]])
    by_hand = _last_activation(look, answer) * look.model.module.head.weight[first["index"]].numpy()[:, None, None]
    assert answer["target"]["score"] - bias == pytest.approx(by_hand.mean((1, 2)).sum(), abs=1e-4)


def _last_activation(look: ModelContext, answer: dict[str, Any]) -> np.ndarray:
    module = look.model.module
    pixels = torch.from_numpy(answer["picture"].copy())[None]
    with torch.no_grad():
        found = module.second(module.first(look.model.preprocess.normalise(pixels)).relu()).relu()
    return found[0].numpy()


def test_blocks_have_their_mean_vectors_strongest_units(look: ModelContext, answer: dict[str, Any]) -> None:
    pixels = torch.from_numpy(answer["picture"].copy())[None]
    with torch.no_grad():
        found = look.model.module.first(look.model.preprocess.normalise(pixels))[0].numpy()
    grid, means = answer["layer"]["grid"], found.reshape(4, 4, 6, 4, 6).mean((2, 4))
    assert np.allclose(grid["norm"], np.linalg.norm(means, axis=0), atol=1e-5)
    assert (grid["units"] == np.argsort(-means, axis=0).transpose(1, 2, 0)).all()
    assert np.allclose(grid["values"], -np.sort(-means, axis=0).transpose(1, 2, 0), atol=1e-5)
    assert np.allclose(grid["side"] ** 2, grid["norm"] / grid["norm"].max(), atol=1e-5)


def test_classes_of_parts_agree_with_the_gradient_of_each(
    look: ModelContext, image: str, answer: dict[str, Any]
) -> None:
    """Forward mode, folded and in parts, against one backward pass for each class."""
    parts = answer["layer"]["parts"]
    for index, name in enumerate(CLASSES):
        told = Question(icons="none", groups=1, cells=2, parts=2, target=name)
        by_class = explain.explain(look, image, "first", question=told)["layer"]["attribution"]["blocks"]
        place = np.argmax(parts["classes"] == index, axis=2)
        values = np.take_along_axis(parts["class_values"], place[..., None], 2)[..., 0]
        assert np.allclose(values, by_class, atol=1e-4)


def seen_as(by_activation: np.ndarray) -> one_layer.LayerView:
    """Make what is seen of a layer of ones, `c h w`, each position a block."""
    units, height, width = by_activation.shape
    cut = blocks(height, width, max(height, width))
    return one_layer.LayerView(
        layer=Layer(name="block", units=units, height=height, width=width),
        activation=np.ones(by_activation.shape, np.float32),
        by_activation=by_activation.astype(np.float32),
        score=0.0,
        blocks=cut,
        parts=cut,
        groups=groups(np.ones(by_activation.shape, np.float32), 1),
        source="none",
        groups_source="none",
    )


def test_places_are_two_for_and_two_against_then_any() -> None:
    map = np.zeros((1, 6, 6))
    map[0, 0, :2], map[0, 2, 2], map[0, 0, 4] = (5, 4), 3, 2
    map[0, 2, 3], map[0, 5, 5], map[0, 5, 0] = -9, -2, -1
    places = [(place["row"], place["col"]) for place in one_layer._places(seen_as(map))]
    assert places == [(0, 0), (2, 2), (5, 5), (5, 0)]
    assert len(one_layer._places(seen_as(np.zeros((1, 6, 6))))) == 4


def test_units_are_followed_to_the_later_layer(look: ModelContext, answer: dict[str, Any]) -> None:
    """The way is linear where the later layer is read before its rectifier: weights times sums, by hand."""
    between, module = answer["between"], look.model.module
    pixels = torch.from_numpy(answer["picture"].copy())[None]
    with torch.no_grad():
        rectified = module.first(look.model.preprocess.normalise(pixels)).relu()[0]
    weight = module.second.weight.numpy()
    for row, unit in enumerate(between["units"].tolist()):
        split = [[rectified[unit, a::2, b::2].sum().item() for b in (0, 1)] for a in (0, 1)]
        assert np.allclose(between["unit_to_unit"][row], (weight[:, unit] * np.array(split)).sum((1, 2)), atol=1e-3)
    assert between["positions"].shape == (2, 2, 2, 2)
    assert between["group_to_group"].shape == (3, 3)
    driven = between["drivers"][0]
    best = np.abs(between["unit_to_unit"][:, driven["unit"]]).argmax()
    assert driven["drivers"][0]["unit"] == between["units"][best]


def test_one_class_against_another(look: ModelContext, image: str) -> None:
    one, other, apart = (
        explain.explain(look, image, "first", question=Question(icons="none", target=target, versus=versus, groups=1))
        for target, versus in (("left", None), ("class:2", None), ("left", "both"))
    )
    parts = [answer["layer"]["attribution"]["positions"] for answer in (one, other, apart)]
    assert np.allclose(parts[2], parts[0] - parts[1], atol=1e-5)
    assert image_sheet.question(apart) == "left rather than both"


def test_the_same_again_and_groups_by_the_seed(look: ModelContext, image: str, answer: dict[str, Any]) -> None:
    again = explain.explain(look, image, "first", to="second", question=PLAIN)
    assert (again["layer"]["groups"]["maps"] == answer["layer"]["groups"]["maps"]).all()
    assert (again["between"]["positions"] == answer["between"]["positions"]).all()


def test_a_class_token_that_reads_nothing_here_is_said(image: str) -> None:
    look = look_at(Classed())
    axes = look.layers(["block"])
    assert axes["block"].prefix == 1
    found = explain.explain(look, image, "block", question=Question(icons="none", groups=2))
    assert np.abs(found["layer"]["attribution"]["positions"]).max() == 0
    assert found["layer"]["notes"][0].startswith("nothing at block moves the score")
    assert not explain.explain(look, image, "patch", question=Question(icons="none", groups=2))["layer"]["notes"]


def test_a_layer_read_through_layer_norm_is_said() -> None:
    cancels = np.stack([np.ones((3, 3)), -np.ones((3, 3))])
    said = one_layer._caveats(seen_as(cancels))
    assert said[0].startswith("at every position of block what speaks for and against cancels")
    assert one_layer._caveats(seen_as(np.ones((2, 3, 3)))) == []


# Pictures


def test_icons_are_drawn_of_blocks_and_groups(look: ModelContext, image: str) -> None:
    told = Question(cells=2, groups=2, drawing=Drawing(steps=2, size=32, seed=1))
    found = explain.explain(look, image, "first", question=told)["layer"]
    assert found["grid"]["pictures"].shape == (2, 2, 32, 32, 3)
    assert found["groups"]["pictures"].shape == (2, 32, 32, 3)
    assert found["grid"]["icons_from"] == "drawn, fast, 2 steps"
    assert found["whitened_by"] == "4 sample photos"
    assert found["unit_pictures_from"].startswith("drawn")
    assert {unit for unit, _ in found["unit_pictures"]} <= set(range(4))
    again = explain.explain(look, image, "first", question=told)["layer"]
    assert (again["grid"]["pictures"] == found["grid"]["pictures"]).all()
    usual = found["grid"]["values"] / found["grid"]["relative"]
    assert (usual > 0).all()


def test_the_sheet_shows_both_layers(look: ModelContext, image: str, answer: dict[str, Any]) -> None:
    sheet = image_sheet.draw(answer)
    assert sheet.shape[1] == image_parts.WIDTH
    assert (sheet[-20:] == 255).all()
    one = image_sheet.draw(answer | {"later": None, "between": None})
    assert len(sheet) > len(one) + 500
    assert (sheet[: len(one) - 60] == one[:-60]).all()
    for colour in (ORANGE, BLUE):
        assert (np.abs(sheet.astype(int) - colour).sum(2) < 12).any()


def test_the_grid_draws_each_icon_in_its_place_with_its_area(answer: dict[str, Any]) -> None:
    page, grid = canvas.Canvas(500), dict(answer["layer"]["grid"])
    colours = np.arange(16).reshape(4, 4) * 10 + 20
    grid["pictures"] = np.broadcast_to(colours[..., None, None, None], (4, 4, 8, 8, 3)).astype(np.uint8)
    image_sheet._icon_grid(page, 50, 30, grid, (400, 400))
    shown = page.cut(500)
    for row, col in np.ndindex(4, 4):
        count = (shown == colours[row, col]).all(2).sum()
        assert count == pytest.approx((grid["side"][row, col] * 99) ** 2, rel=0.05)
        middle = shown[30 + 100 * row + 50, 50 + 100 * col + 50]
        assert (middle == colours[row, col]).all()


def test_the_overlay_is_orange_where_the_map_is_positive_and_blue_where_not() -> None:
    map = np.zeros((4, 4), np.float32)
    map[0, 0], map[3, 3] = 1, -1
    shown = image_parts.overlay(np.full((8, 8, 3), 128, np.uint8), map, (64, 64)).astype(int)
    assert shown[4, 4, 0] > shown[4, 4, 2] + 60
    assert shown[60, 60, 2] > shown[60, 60, 0] + 60
    assert np.ptp(shown[4, 60]) < 4


def test_the_part_of_a_block_is_the_one_it_lies_in(answer: dict[str, Any]) -> None:
    layer = answer["layer"]
    found = [image_parts.part_of(layer, {"row": row, "col": 3 - row}) for row in range(4)]
    assert found == [(0, 1), (0, 1), (1, 0), (1, 0)]


# Words


def test_signs_that_the_font_lacks_are_drawn_by_another() -> None:
    runs = canvas._runs("7 × 7 → −1", 16)
    assert "".join(run for run, _ in runs) == "7 × 7 → −1"
    assert len({id(font) for _, font in runs}) == 2
    assert canvas.length("×", 16) > 0


def test_words_fit() -> None:
    assert canvas.fitted("a name that is much too long", 13, 60).endswith("…")
    assert canvas.length(canvas.fitted("a name that is much too long", 13, 60), 13) <= 60
    lines = canvas.wrapped("one two three four five six seven", 13, 70)
    assert " ".join(lines) == "one two three four five six seven"
    assert all(canvas.length(line, 13) <= 70 for line in lines)
    assert [canvas.signed(value) for value in (0.0, 0.314, -2.5, 63.21, -412.3)] == [
        "0.00",
        "+0.31",
        "−2.50",
        "+63.2",
        "−412",
    ]


@pytest.mark.parametrize(
    ("layer", "to", "told", "says"),
    [
        ("frist", None, {}, "no layer 'frist'; nearest: first"),
        ("first", "secnd", {}, "no layer 'secnd'; nearest: second"),
        ("second", "first", {}, "layer second does not reach layer first"),
        ("first", None, {"target": "middle"}, "no class 'middle'; nearest: "),
        ("first", None, {"target": "7"}, "no class 7; its classes are 0 to 2"),
        ("first", None, {"target": "left", "versus": "0"}, "--versus 0 is the class itself"),
        ("first", None, {"icons": "atlas"}, "--icons atlas: no run with icons of first is named"),
        ("first", None, {"icons": "cells"}, "--icons cells is not one of auto, atlas, drawn, none"),
        ("first", None, {"groups": 9}, "--groups 9: from 1 to 8"),
        ("first", None, {"cells": 0}, "--cells 0: from 1 to 64"),
        ("first", None, {"drawing": Drawing(recipe="lucid")}, "--recipe lucid is not one of fast, best, distill"),
        ("first", None, {"drawing": Drawing(size=8)}, "--size 8: an icon is drawn from 32 to 512 pixels"),
        ("first", None, {"drawing": Drawing(steps=0)}, "--steps 0: at least 1"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    look: ModelContext, image: str, layer: str, to: str | None, told: dict[str, Any], says: str
) -> None:
    with pytest.raises((UsageError, NotFound, UnknownLayer), match=says) as error:
        explain.explain(look, image, layer, to=to, question=Question(**{"icons": "none", **told}))
    assert "\n" not in str(error.value)


def test_the_command_gives_numbers_and_a_sheet(
    tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["explain", image, "--layer", "_blocks.2", "--input-size", "64", "--cells", "2", "--parts", "1"]
    assert cli.invoke([*small, "--groups", "2", "--to", "_blocks.4", "--units", "3", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["layer"]["name"], answer["later"]["name"], answer["out"]) == ("_blocks.2", "_blocks.4", None)
    assert "picture" not in answer
    assert np.shape(answer["between"]["unit_to_unit"]) == (3, answer["later"]["units"])
    assert cli.invoke([*small, "--groups", "2", "--out", "a.png", "--icons", "none"]) == 0
    said = capsys.readouterr()
    assert "score" in said.out.splitlines()[0]
    assert "wrote a.png" in said.err
    assert Image.open("a.png").width == image_parts.WIDTH


def test_json_has_no_pictures(answer: dict[str, Any]) -> None:
    told = command._numbers(answer)
    names = {key for layer in (told, told["layer"], told["layer"]["grid"], told["layer"]["groups"]) for key in layer}
    assert not names & set(command.PICTURES)


def test_pictures_that_are_not_square_keep_their_shape(answer: dict[str, Any]) -> None:
    wide = answer | {"picture": np.zeros((24, 48, 3), np.uint8)}
    assert len(image_sheet.draw(wide)) < len(image_sheet.draw(answer)) - 400
    assert image_parts.crop(wide["picture"], answer["layer"], {"row": 0, "col": 3}).shape[2] == 3
    assert image_parts.fit(wide["picture"], 100) == (100, 50)


# Mutants


def test_mutant_attribution_without_its_sign_is_seen(
    look: ModelContext, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        one_layer.LayerView, "contribution", property(lambda seen: np.abs(seen.activation * seen.by_activation))
    )
    with pytest.raises(AssertionError):
        test_one_class_against_another(look, image)


def test_mutant_parts_laid_the_other_way_round_are_seen(look: ModelContext, image: str, answer: dict[str, Any]) -> None:
    turned = dict(answer["layer"]["parts"])
    turned |= {name: turned[name].transpose(1, 0, 2) for name in ("classes", "class_values")}
    with pytest.raises(AssertionError):
        test_classes_of_parts_agree_with_the_gradient_of_each(look, image, {"layer": {"parts": turned}})


def test_mutant_icons_in_the_wrong_place_are_seen(answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    right = image_parts.block_box

    def turned(layer: Any, place: dict[str, int], size: tuple[int, int]) -> tuple[float, float, float, float]:
        return right(layer, {"row": place["col"], "col": place["row"]}, size)

    monkeypatch.setattr(image_sheet, "block_box", turned)
    with pytest.raises(AssertionError):
        test_the_grid_draws_each_icon_in_its_place_with_its_area(answer)
