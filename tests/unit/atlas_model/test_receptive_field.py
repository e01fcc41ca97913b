"""Reach against the arithmetic of plain convolutions, focus against gradients one can count by hand."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

from atlas import boxes
from atlas.arrays import Geometry, Layer
from atlas.model import receptive_field as rf
from atlas.model.activations import probe


def arithmetic(net: nn.Sequential, size: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return first and one-past-last row of each layer's rows: start·s − p and end·s − p + d(k − 1), layer by layer.

    What falls into a layer's padding sees nothing, so both ends are clipped to the rows that are there.
    """
    found, steps, rows = [], [], [size]
    for child in net:
        if hasattr(child, "kernel_size"):
            values = (getattr(child, name, 1) for name in ("kernel_size", "stride", "padding", "dilation"))
            k, s, p, d = (value[0] if isinstance(value, tuple) else value for value in values)
            steps.append((k, s, p, d))
            rows.append((rows[-1] + 2 * p - d * (k - 1) - 1) // s + 1)
        first, last = np.arange(rows[-1]), np.arange(rows[-1])
        for (k, s, p, d), below in zip(reversed(steps), reversed(rows[:-1]), strict=True):
            first, last = np.clip(first * s - p, 0, below - 1), np.clip(last * s - p + d * (k - 1), 0, below - 1)
        found.append((first, last + 1))
    return found


PLAIN = {
    "conv": [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 5, stride=2), nn.Conv2d(4, 4, 3, dilation=2)],
    "pools": [nn.Conv2d(3, 4, 4, stride=3), nn.MaxPool2d(2), nn.AvgPool2d(3, stride=1, padding=1), nn.ReLU6()],
    "strides": [
        nn.Conv2d(3, 4, 7, stride=2, padding=3),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(4, 4, 3, stride=2, padding=1),
    ],
    "gap": [nn.Conv2d(3, 4, 1, stride=3), nn.Hardswish(), nn.Conv2d(4, 4, 2)],
}


def wrong_rows(net: nn.Sequential, found: dict[str, rf.Reach], size: int) -> list[str]:
    wrong = []
    for name, (first, last) in enumerate(arithmetic(net, size)):
        reach = found[str(name)]
        for ours, theirs in ((reach.top, first), (reach.bottom, last), (reach.left, first), (reach.right, last)):
            wrong += [str(name)] if not np.array_equal(ours, theirs) else []
    return wrong


@pytest.mark.parametrize("kind", PLAIN)
def test_reach_is_the_formula_on_plain_convolutions(kind: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(*PLAIN[kind]).eval()
    layers = probe(net, torch.randn(3, 41, 41))
    assert not wrong_rows(net, rf.reach(net, layers, (3, 41, 41), batch=7), 41)


def test_reach_of_an_oblong_kernel_and_image() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, (1, 5), padding=(0, 2))).eval()
    found = rf.reach(net, probe(net, torch.randn(3, 6, 9)), (3, 6, 9))["0"]
    assert found.top.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.bottom.tolist() == [1, 2, 3, 4, 5, 6]
    assert found.left.tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 6]
    assert found.right.tolist() == [3, 4, 5, 6, 7, 8, 9, 9, 9]


def test_mutant_a_relu_that_swallows_nan_is_caught() -> None:
    class Swallow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.where(x > 0, x, torch.zeros_like(x))  # a comparison with NaN is false

    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3)).eval()
    layers = probe(net, torch.randn(3, 20, 20))
    assert not wrong_rows(net, rf.reach(net, layers, (3, 20, 20)), 20)
    net[1] = Swallow()
    assert wrong_rows(net, rf.reach(net, layers, (3, 20, 20)), 20)


def test_mutant_stopping_before_the_last_line_counts_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(*PLAIN["conv"]).eval()
    layers = probe(net, torch.randn(3, 41, 41))
    done = rf._Spans.done
    monkeypatch.setattr(rf._Spans, "done", lambda self, axis: len(self.hits[axis]) > 20 or done(self, axis))
    assert wrong_rows(net, rf.reach(net, layers, (3, 41, 41), batch=4), 41)


class Excited(nn.Module):
    """Squeeze and excite: every output depends on every input."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.mean((2, 3), keepdim=True).sigmoid()


def test_reach_is_everything_after_squeeze_and_attention() -> None:
    swin = SwinTransformer([4, 4], 8, [1, 2], [2, 2], [4, 4], num_classes=5)
    vit = VisionTransformer(image_size=32, patch_size=8, num_layers=1, num_heads=2, hidden_dim=24, mlp_dim=32)
    # swin: 8 × 8 patches, windows of 4; its second stage is one window
    for net, early, width, late in (
        (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Excited()), "0", 3, ["1"]),
        (vit, "conv_proj", 8, ["encoder", "heads.head"]),
        (swin, "features.0", 4, ["features.3", "head"]),
    ):
        found = rf.reach(net.eval(), probe(net, torch.randn(3, 32, 32), [early, *late]), (3, 32, 32))
        assert (found[early].bottom - found[early].top).max() == width
        for name in late:
            assert found[name].top.max() == found[name].left.max() == 0
            assert found[name].bottom.min() == found[name].right.min() == 32
    windows = rf.reach(swin, probe(swin, torch.randn(3, 32, 32), ["features.1"]), (3, 32, 32))["features.1"]
    assert windows.top.tolist() == [0] * 4 + [16] * 4
    assert windows.bottom.tolist() == [16] * 4 + [32] * 4


def test_reach_of_a_layer_that_sees_nothing_is_empty() -> None:
    class Blind(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ones(len(x), 2, 3, 3)

    net = nn.Sequential(Blind()).eval()
    layer = Layer(name="0", units=2, height=3, width=3)
    found = rf.reach(net, {"0": layer}, (3, 8, 8))["0"]
    assert found.top.tolist() == found.bottom.tolist() == [0, 0, 0]


class WideOnly(nn.Module):
    """Blurs rows over three rows, but only of an input wider than a strip, as a window that fits in a strip may not."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x, (3, 1), 1, (1, 0)) if x.shape[-1] > rf.STRIP else x * 1


class Fixed(nn.Module):
    """Refuses any size but one, as a head with a fixed number of inputs does."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2:] != (48, 48):
            raise ValueError("48 × 48 only")
        return x.mean((2, 3), keepdim=True)


def whole_lines(net: nn.Module, layers: dict[str, Layer], size: int) -> dict[str, rf.Reach]:
    """Return the reach by every line of the whole input, the oracle of strips."""
    spans = {name: rf._Spans(layer, size, size) for name, layer in layers.items()}
    for axis in rf.AXES:
        for name, line, hit in rf._hits(net, layers, (3, size, size), axis, list(range(size)), strip=False):
            spans[name].add(axis, line, hit)
    return {name: span.reach() for name, span in spans.items()}


def same(a: rf.Reach, b: rf.Reach) -> bool:
    return all(np.array_equal(getattr(a, side), getattr(b, side)) for side in ("top", "bottom", "left", "right"))


@pytest.mark.parametrize(
    "parts",
    [
        [nn.Conv2d(3, 4, 3, padding=1), WideOnly(), nn.Conv2d(4, 4, 3, stride=2)],
        [nn.Conv2d(3, 4, 5, stride=2, padding=2), Excited(), nn.Conv2d(4, 2, 3)],
        [nn.Conv2d(3, 4, 3, stride=1, padding=1), Fixed()],
        [nn.ReflectionPad2d(20), nn.Conv2d(3, 4, 3, stride=3), nn.MaxPool2d(2)],
        [nn.Conv2d(3, 4, (41, 1)), nn.Conv2d(4, 4, (1, 41))],
    ],
    ids=["wide-only", "squeeze", "fixed", "reflection", "long-kernels"],
)
def test_strips_give_what_the_whole_input_gives(parts: list[nn.Module]) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(*parts).eval()
    layers = probe(net, torch.randn(3, 48, 48))
    found, oracle = rf.reach(net, layers, (3, 48, 48), batch=4), whole_lines(net, layers, 48)
    assert [name for name in layers if not same(found[name], oracle[name])] == []


def test_mutant_strips_taken_at_their_word_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(WideOnly()).eval()
    layers = probe(net, torch.randn(3, 48, 48))
    monkeypatch.setattr(rf, "CHECKED", 0)
    assert not same(rf.reach(net, layers, (3, 48, 48))["0"], whole_lines(net, layers, 48)["0"])


@pytest.mark.slow
def test_strips_give_what_the_whole_input_gives_on_a_resnet() -> None:
    import torchvision

    net = torchvision.models.resnet18().eval()
    layers = probe(net, torch.randn(3, 224, 224))
    found, oracle = rf.reach(net, layers, (3, 224, 224)), whole_lines(net, layers, 224)
    assert [name for name in layers if not same(found[name], oracle[name])] == []


@pytest.mark.slow
def test_reach_of_the_default_model() -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        from efficientnet_lite_pytorch import EfficientNet

        module = EfficientNet.from_name("efficientnet-lite0").eval()
    names = ["_conv_stem", "_blocks.0", "_blocks.2", "_blocks.4", "_blocks.10"]
    found = rf.reach(module, probe(module, torch.randn(3, 224, 224), names), (3, 224, 224))
    assert [int((found[name].bottom - found[name].top).max()) for name in names] == [3, 7, 19, 67, 224]
    assert [int((found[name].right - found[name].left).max()) for name in names] == [3, 7, 19, 67, 224]


def brute_side(slope: NDArray[np.float64], y: float, x: float) -> int:
    """Grow the square pixel by pixel until it holds 90 %."""
    for side in range(1, 4 * max(slope.shape)):
        rows = [i for i in range(slope.shape[0]) if y - side / 2 <= i + 1e-9 and i + 1 <= y + side / 2 + 1e-9]
        cols = [j for j in range(slope.shape[1]) if x - side / 2 <= j + 1e-9 and j + 1 <= x + side / 2 + 1e-9]
        if slope[np.ix_(rows, cols)].sum() >= 0.9 * slope.sum():
            return side
    raise AssertionError


@pytest.mark.parametrize("middle", [(5.0, 5.0), (0.5, 7.25), (3.5, 9.9), (9.99, 0.1)])
def test_side_holding_is_the_brute_force(middle: tuple[float, float]) -> None:
    slope = np.random.default_rng(0).random((10, 12)) ** 4
    point = (np.array(middle[0]), np.array(middle[1]))
    assert rf.side_holding(slope, point) == brute_side(slope, *middle)
    assert rf.side_holding(np.zeros((4, 4)), point) is None


def test_focus_of_one_convolution_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 5, bias=False)).eval()
    weight = torch.full((2, 3, 5, 5), 1e-3)
    weight[:, :, 1:4, 1:4] = 1.0
    net[0].weight.data = weight
    images = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0)) + 1
    layers = probe(net, images[0])
    # the gradient lies in 3 × 3 pixels around (y + 2.5), while the position is drawn at (y + ½) · 32 / 28
    sides = []
    for y, x in rf._places(layers["0"], 6, 4).tolist():
        off = max(abs(y + 2.5 - (y + 0.5) * 32 / 28), abs(x + 2.5 - (x + 0.5) * 32 / 28))
        sides.append(int(np.ceil(2 * (off + 1.5) - 1e-9)))
    assert rf.focus(net, layers, images, seed=4, batch=4)["0"] == np.median(sides)


def test_focus_ignores_batch_and_grows_with_depth() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(*[nn.Conv2d(3 if i == 0 else 4, 4, 3, padding=1) for i in range(6)]).eval()
    images = torch.randn(9, 3, 24, 24)
    layers = probe(net, images[0], ["0", "2", "5"])
    found = rf.focus(net, layers, images, seed=1, batch=4)
    assert found == rf.focus(net, layers, images, seed=1, batch=9)
    assert 1 <= found["0"] <= 3
    assert found["0"] < found["2"] < found["5"] <= 13
    assert rf.focus(net, {"2": layers["2"]}, images, seed=1)["2"] == found["2"]


def test_focus_of_dead_units_is_the_stride() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 4, stride=4), nn.ReLU()).eval()
    net[0].weight.data.zero_()
    net[0].bias.data.fill_(-1)
    layers = probe(net, torch.randn(3, 16, 16))
    assert rf.focus(net, layers, torch.randn(3, 3, 16, 16))["1"] == 4


def test_focus_of_tokens_and_vectors() -> None:
    torch.manual_seed(0)
    vit = VisionTransformer(image_size=32, patch_size=8, num_layers=1, num_heads=2, hidden_dim=24, mlp_dim=32).eval()
    images = torch.randn(3, 3, 32, 32)
    found = rf.focus(vit, probe(vit, images[0], ["conv_proj", "encoder", "encoder.ln"]), images)
    assert found["conv_proj"] == 8
    assert found["encoder"] > 8


GRID = Layer(name="x", units=1, height=7, width=7)


def test_focus_box_is_centred_and_clipped() -> None:
    box = boxes.focus_box(GRID, np.array([0, 3]), np.array([6, 3]), 40.0, (224, 224))
    assert box.tolist() == [[188, 0, 224, 36], [92, 92, 132, 132]]


def test_to_source_by_hand() -> None:
    # a source of 500 × 400 resized to 256 on its shorter side and cut to 224: pixel i lies at 1.5625 (i + 16.5) − ½
    geometry = Geometry(scale_y=1.5625, scale_x=1.5625, offset_y=25.28125, offset_x=74.5, height=400, width=500)
    same = Geometry(scale_y=1, scale_x=1, offset_y=0, offset_x=0, height=10, width=10)
    asked = [(0, 0, 224, 224), (0, 0, 1, 1), (2, 3, 5, 7), (-9, 12, -5, 14)]
    found = boxes.to_source(np.array(asked, np.float64), [geometry, geometry, same, same])
    assert found.tolist() == [[74, 25, 425, 375], [74, 25, 76, 27], [2, 3, 5, 7], [0, 9, 1, 10]]
