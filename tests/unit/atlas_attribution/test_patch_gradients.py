"""Gradients of patches: a batch equals one picture at a time, and the cut lies where the patch lies."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from PIL import Image
from support.nets import noise, seeded
from torch import Tensor, nn

from atlas import boxes
from atlas.arrays import Layer
from atlas.attribution import patch_gradients
from atlas.attribution.gradients import gradient
from atlas.attribution.guided_backprop import UndefinedMethodError, deconvnet, guided_backprop
from atlas.attribution.scores import unit
from atlas.model.activations import probe
from storage.images import crops
from storage.models.preprocessing import Preprocess

NET = seeded(
    nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 5, 3, padding=1), nn.ReLU(inplace=True)),
    )
)
X = noise(4, 3, 12, 10)
LAYER = probe(NET.float(), torch.zeros(3, 12, 10), ["4"])["4"]
NET.double()
UNIT, Y, XS = torch.tensor([0, 4, 4, 2]), torch.tensor([0, 5, 2, 3]), torch.tensor([4, 0, 1, 3])
ALONE = {"gradient": gradient, "guided-backprop": guided_backprop, "deconvnet": deconvnet}


def one_at_a_time(method: str, sign: str) -> Tensor:
    turn = -1 if sign == "negative" else 1
    found = []
    for image, u, y, x in zip(X, UNIT.tolist(), Y.tolist(), XS.tolist(), strict=True):
        alone = unit(LAYER, u, (y, x))
        score = type(alone)(read=lambda seen, read=alone.read: turn * read(seen), layer=LAYER)
        found.append(ALONE[method](NET, image[None], score))
    return torch.cat(found)


def in_a_batch(method: str, sign: str) -> Tensor:
    return patch_gradients.PATCH_METHODS[method](NET, X, patch_gradients.units_at(LAYER, UNIT, Y, XS, sign))


@pytest.mark.parametrize("method", patch_gradients.PATCH_METHODS)
@pytest.mark.parametrize("sign", ["positive", "negative"])
def test_a_batch_equals_one_picture_at_a_time(method: str, sign: str) -> None:
    expected = one_at_a_time(method, sign)
    assert (expected.abs().amax((1, 2, 3)) > 1e-3).all()
    torch.testing.assert_close(in_a_batch(method, sign), expected, rtol=1e-12, atol=1e-12)


def test_mutant_the_first_rows_unit_for_all_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(layer: Layer, unit: Tensor, y: Tensor, x: Tensor, sign: str) -> object:
        return patch_gradients.Score(read=lambda seen: seen[:, unit[0], y[0], x[0]], layer=layer)

    monkeypatch.setattr(patch_gradients, "units_at", wrong)
    assert not torch.allclose(in_a_batch("gradient", "positive"), one_at_a_time("gradient", "positive"))


def test_says_where_a_method_is_defined() -> None:
    silu = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1), nn.SiLU()).eval()
    layers = probe(silu, torch.zeros(3, 4, 4))
    for name, known in {"1": True, "2": True, "3": False}.items():
        with nullcontext() if known else pytest.raises(UndefinedMethodError, match="layer '3' computes SiLU"):
            patch_gradients.check_method(silu, torch.zeros(2, 3, 4, 4), layers[name], "guided-backprop")
        patch_gradients.check_method(silu, torch.zeros(2, 3, 4, 4), layers[name], "gradient")


# --- where the cut lies

SIZES = ((96, 64), (50, 90), (224, 224), (41, 41))
SEEN = Preprocess(resize=40, crop=(32, 32))


def spot(width: int, height: int, row: int, column: int) -> tuple[Image.Image, np.ndarray]:
    """Return a source image with a bright spot, and the gradient of a net that looks only there.

    The net takes the input's pixel that the spot's centre falls into; the gradient is 1 there and 0 elsewhere.
    """
    geometry = SEEN.geometry(width, height)
    y, x = geometry.offset_y + row * geometry.scale_y, geometry.offset_x + column * geometry.scale_x
    down, across = np.mgrid[:height, :width]
    bright = np.exp(-(((down - y) / geometry.scale_y) ** 2) - ((across - x) / geometry.scale_x) ** 2)
    pixel = torch.zeros(1, 3, 32, 32, dtype=torch.float64)
    identity = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False).double()).eval()
    identity[0].weight.data = torch.eye(3, dtype=torch.float64)[:, :, None, None]
    layer = Layer(name="0", units=3, height=32, width=32)
    at = (torch.tensor([0]), torch.tensor([row]), torch.tensor([column]))
    found = gradient(identity, pixel, patch_gradients.units_at(layer, *at))[0].numpy()
    return Image.fromarray(np.repeat(bright[..., None] * 255, 3, axis=2).astype(np.uint8)), found


def middle(picture: np.ndarray) -> np.ndarray:
    """Return the centre of mass (y, x) of a picture `h w`; infinitely far off where it is empty."""
    if not picture.any():
        return np.array([np.inf, np.inf])
    down, across = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return np.array([(picture * down).sum(), (picture * across).sum()]) / picture.sum()


def astray(cut: Callable[..., np.ndarray]) -> float:
    """Return how far, in pixels of pictures of 72, a gradient's centre lies from the spot it is the gradient of."""
    worst = 0.0
    for width, height in SIZES:
        for row, column in ((16, 16), (9, 20), (22, 12)):
            image, found = spot(width, height, row, column)
            geometry = SEEN.geometry(width, height)
            asked = np.array([[column - 6.3, row - 5.2, column + 9.4, row + 5.9]])
            box = boxes.to_source(asked, [geometry])
            shown = np.asarray(Image.open(io.BytesIO(crops.thumbnail(image, tuple(box[0].tolist()), 72))))
            within = boxes.to_input(box, [geometry])[0]
            part = cut(found, within, patch_gradients.fitted_size(box[0], 72))
            assert part.shape == shown.shape
            worst = max(worst, float(np.abs(middle(part[..., 0]) - middle(shown[..., 0].astype(float) ** 2)).max()))
    return worst


def test_a_gradient_lies_on_what_it_is_the_gradient_of() -> None:
    assert astray(patch_gradients.cut_box) < 1.0  # of 72 pixels; an input pixel is about 4.6 of them


def test_mutants_of_the_cut_are_seen() -> None:
    def turned(found: np.ndarray, box: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        return patch_gradients.cut_box(found.transpose(0, 2, 1), box, shape)

    def shifted(found: np.ndarray, box: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        return patch_gradients.cut_box(found, box + 0.5, shape)

    assert astray(turned) > 1.5
    assert astray(shifted) > 1.5


def test_boxes_go_to_the_source_and_back() -> None:
    for width, height in SIZES:
        geometry = SEEN.geometry(width, height)
        box = boxes.to_source(np.array([[4.0, 8.0, 20.0, 28.0]]), [geometry])
        back = boxes.to_input(box, [geometry])
        assert (np.abs(back - [[4.0, 8.0, 20.0, 28.0]]) <= 1 / min(geometry.scale_x, geometry.scale_y)).all()
        np.testing.assert_array_equal(boxes.to_source(back, [geometry]), box)


@pytest.mark.parametrize("shape", [(72, 72), (13, 30), (5, 4)])
def test_a_cut_is_what_pillow_makes_of_it(shape: tuple[int, int]) -> None:
    field = np.random.default_rng(0).normal(size=(1, 24, 31)).astype(np.float32)
    box = np.array([3.4, 2.1, 25.7, 20.9])
    expected = Image.fromarray(field[0]).resize(shape[::-1], Image.Resampling.BILINEAR, box=tuple(box))
    np.testing.assert_allclose(patch_gradients.cut_box(field, box, shape)[..., 0], np.asarray(expected), atol=2e-3)


def test_outside_of_the_input_there_is_no_gradient() -> None:
    part = patch_gradients.cut_box(np.ones((3, 8, 8), np.float32), np.array([-4.0, 0.0, 4.0, 8.0]), (8, 8))
    np.testing.assert_array_equal(part[:, :4], 0)
    np.testing.assert_allclose(part[:, 4:], 1)


def test_colours_by_hand() -> None:
    part = np.array([[[0.0, 2.0, -4.0], [4.0, -2.0, 0.0]]], np.float32)
    assert patch_gradients.gradient_picture(part).tolist() == [[[128, 191, 0], [255, 64, 128]]]
    assert (patch_gradients.gradient_picture(np.zeros((2, 3, 3), np.float32)) == patch_gradients.GREY).all()
    assert patch_gradients.gradient_picture(np.ones((2, 3, 1), np.float32)).shape == (2, 3, 3)
