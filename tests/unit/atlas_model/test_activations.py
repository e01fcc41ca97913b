"""Layers are found, told apart, and recorded as they are when they finish."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

from atlas.arrays import Layer
from atlas.model import activations, axes
from atlas.model.activations import (
    AmbiguousAxesError,
    UnknownLayerError,
    VaryingLayerError,
    probe,
    recording,
    run_to,
    view,
)
from atlas.model.axes import LayerOutput


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(0)
    return models.resnet18(weights=None, num_classes=10).eval()


def example(size: int = 32, channels: int = 3) -> Tensor:
    return torch.randn(channels, size, size, generator=torch.Generator().manual_seed(0))


CONV = LayerOutput(name="conv", shape=(3, 96, 14, 14), larger=None, units=1)
TOLD = [
    # convolutions in front, then: shape for 3 images of 224 × 224, for 2 of 288 × 256, kind → axes, units, grid, prefix
    ([], (3, 8, 56, 56), (2, 8, 72, 64), 0, ("bchw", 8, 56, 56, 0)),
    ([], (3, 56, 56, 8), (2, 72, 64, 8), 0, ("bhwc", 8, 56, 56, 0)),
    ([], (3, 7, 7, 7), (2, 7, 9, 8), 0, ("bchw", 7, 7, 7, 0)),
    ([], (3, 7, 7, 7), (2, 9, 8, 7), 0, ("bhwc", 7, 7, 7, 0)),
    ([], (3, 8, 1, 1), None, 0, ("bchw", 8, 1, 1, 0)),
    ([], (3, 1, 1, 8), None, 0, ("bhwc", 8, 1, 1, 0)),
    ([], (3, 14, 14, 14), None, 1, ("bchw", 14, 14, 14, 0)),
    ([], (3, 14, 14, 14), None, 0, None),  # either way
    ([CONV], (3, 8, 14, 14), None, 0, ("bchw", 8, 14, 14, 0)),
    ([CONV], (3, 7, 7, 192), None, 0, ("bhwc", 192, 7, 7, 0)),  # merged by two
    ([CONV], (3, 3, 197, 197), None, 0, None),  # attention's weights
    ([], (3, 3, 197, 197), (2, 3, 289, 289), 0, None),  # and where they grow with the image
    ([CONV], (3, 3, 197, 64), None, 0, None),  # heads
    ([CONV], (3, 4, 49, 64), None, -1, None),  # windows, through a linear layer
    ([CONV], (192, 49, 96), None, 0, None),  # windows in the batch
    ([CONV], (3, 196, 96), None, 0, ("btc", 96, 14, 14, 0)),
    ([CONV], (3, 197, 96), None, 0, ("btc", 96, 14, 14, 1)),
    ([CONV], (3, 201, 96), None, 0, ("btc", 96, 14, 14, 5)),  # class and four register tokens
    ([CONV], (3, 49, 192), None, 0, ("btc", 192, 7, 7, 0)),
    ([CONV], (3, 768, 196), None, 0, None),  # a mixer's turned tokens
    ([CONV], (3, 197, 200), None, 0, None),  # either way
    ([CONV], (3, 197, 200), None, -1, ("btc", 200, 14, 14, 1)),  # a linear layer works on the last axis
    ([CONV], (3, 100, 96), None, 0, None),
    ([], (3, 197, 768), None, 0, ("btc", 768, 14, 14, 1)),  # patches cut by hand: the only square within reach
    ([CONV], (3, 1, 96), None, 0, ("btc", 96, 1, 1, 0)),
    ([CONV], (3, 1000), None, 0, ("bc", 1000, 1, 1, 0)),
    ([], (3,), None, 0, None),
    ([], (3, 8, 4, 14, 14), None, 0, None),
    ([], (), None, 0, None),
]


@pytest.mark.parametrize(("before", "shape", "other", "units", "expected"), TOLD)
def test_axes(before: list[LayerOutput], shape: Any, other: Any, units: int, expected: Any) -> None:
    seen = [*before, LayerOutput(name="it", shape=shape, larger=other, units=units)]
    found = axes.infer_layers(seen, (224, 224), {})["it"]
    if expected is None:
        assert isinstance(found, AmbiguousAxesError)
        assert "it" in str(found)
        assert "\n" not in str(found)
    else:
        assert isinstance(found, Layer)
        assert (found.axes, found.units, found.height, found.width, found.prefix) == expected


def test_axes_that_were_said() -> None:
    seen = [LayerOutput(name="it", shape=(3, 14, 14, 14), larger=None)]
    message = str(axes.infer_layers(seen, (224, 224), {})["it"])
    assert "3 × 14 × 14 × 14" in message
    assert "bchw, bhwc" in message
    assert "--axes it=" in message
    said = axes.infer_layers(seen, (224, 224), {"it": "bhwc"})["it"]
    assert isinstance(said, Layer)
    assert said.axes == "bhwc"
    assert "can't be read as btc" in str(axes.infer_layers(seen, (224, 224), {"it": "btc"})["it"])


def test_probe_on_residual_swin_and_vit(resnet: nn.Module) -> None:
    swin = SwinTransformer([4, 4], 24, [1, 1], [2, 2], [4, 4], num_classes=5).eval()
    vit = VisionTransformer(image_size=32, patch_size=8, num_layers=1, num_heads=2, hidden_dim=24, mlp_dim=32).eval()
    found = probe(resnet, example(64), ["fc", "layer2", "avgpool"])
    assert [(x.name, x.units, x.height, x.axes) for x in found.values()] == [
        ("layer2", 128, 8, "bchw"),
        ("avgpool", 512, 1, "bchw"),
        ("fc", 10, 1, "bc"),
    ]
    assert probe(swin, example(), ["features.3"])["features.3"] == Layer(
        name="features.3", units=48, height=4, width=4, axes="bhwc"
    )
    assert probe(vit, example(), ["encoder"])["encoder"] == Layer(
        name="encoder", units=24, height=4, width=4, axes="btc", prefix=1
    )


class Odd(nn.Module):
    """Gives a dict, calls one module twice, keeps one that never runs, and takes one size only."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.relu, self.unused = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(3, 4, 1)
        self.both, self.flat, self.head = Both(), nn.Flatten(), nn.Linear(4 * 12 * 12, 5)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.relu(self.stem(x))
        x = self.relu(-self.both(x)["out"][0])
        return {"logits": self.head(self.flat(x))}


class Both(nn.Module):
    def forward(self, x: Tensor) -> dict[str, list[Tensor]]:
        return {"out": [x - 1, x + 1]}


def test_called_twice_never_run_and_unknown() -> None:
    odd = Odd().eval()
    found = probe(odd, example(12))
    assert list(found) == ["stem", "relu@0", "both", "relu@1", "flat", "head"]
    assert found["both"].units == 4
    for name, words in {
        "relu": "called 2 times; name one call: relu@0, relu@1",
        "unused": "exists but never runs",
        "steam": "no layer 'steam'; nearest: stem",
        "stem@0": "nearest: stem",
    }.items():
        with pytest.raises(UnknownLayerError, match=words) as error:
            probe(odd, example(12), ["stem", name])
        assert "\n" not in str(error.value)
        assert isinstance(error.value, LookupError)


def test_ambiguous_only_where_it_is_named() -> None:
    net = nn.Sequential(OrderedDict(turn=nn.Flatten(2), mix=nn.Softmax(-1))).eval()
    assert probe(net, example(16)) == {}
    with pytest.raises(AmbiguousAxesError, match="mix"):
        probe(net, example(16), ["mix"])


def test_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"call .eval\(\)"):
        probe(Odd(), example(12))


def test_views_share_memory_and_values() -> None:
    raw = torch.arange(2 * 7 * 5.0).view(2, 7, 5)
    seen = view((raw, None), Layer(name="x", units=5, height=2, width=3, axes="btc", prefix=1))
    assert seen.shape == (2, 5, 2, 3)
    assert seen[1, 4, 1, 2] == raw[1, 1 + 1 * 3 + 2, 4]
    assert seen.data_ptr() == raw[:, 1:].data_ptr()
    wide = view(torch.zeros(2, 1 + 24, 5), Layer(name="x", units=5, height=2, width=3, axes="btc", prefix=1))
    assert wide.shape == (2, 5, 4, 6)
    with pytest.raises(ValueError, match="23 tokens"):
        view(torch.zeros(2, 24, 5), Layer(name="x", units=5, height=2, width=3, axes="btc", prefix=1))
    square = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    assert view(square, Layer(name="x", units=5, height=3, width=4, axes="bhwc"))[1, 4, 2, 3] == square[1, 2, 3, 4]
    assert view(square[:, :, 0, 0], Layer(name="x", units=3, height=1, width=1, axes="bc")).shape == (2, 3, 1, 1)


def hooks_of(module: nn.Module) -> int:
    return sum(len(child._forward_hooks) + len(child._forward_pre_hooks) for child in module.modules())


def test_recording_sees_layers_before_anything_overwrites_them(resnet: nn.Module) -> None:
    x = example(64)[None]
    layers = probe(resnet, example(64), ["bn1", "layer1.0.relu@0", "layer1.0.relu@1", "layer3"])
    sums: dict[str, float] = {}
    with torch.no_grad(), recording(resnet, layers, lambda name, out: sums.update({name: out.sum().item()})) as run:
        run(x)
        by_hand = resnet.bn1(resnet.conv1(x))
    assert sums["bn1"] == by_hand.sum().item()
    assert by_hand.min() < 0
    assert list(sums) == ["bn1", "layer1.0.relu@0", "layer1.0.relu@1", "layer3"]
    assert hooks_of(resnet) == 0


def test_mutant_kept_without_a_copy_is_overwritten(resnet: nn.Module) -> None:
    layers = probe(resnet, example(64), ["bn1", "layer1"])
    kept: dict[bool, Tensor] = {}
    for clone in (True, False):
        with torch.no_grad():
            seen: dict[str, Tensor] = {}
            run_to(resnet, example(64)[None], layers, seen.__setitem__, clone=clone)
            kept[clone] = seen["bn1"]
    assert torch.equal(kept[True].relu(), kept[False])
    assert not torch.equal(kept[True], kept[False])


def test_gradients_flow_through_what_is_visited(resnet: nn.Module) -> None:
    layers = probe(resnet, example(64), ["bn1"])
    x = example(64)[None].requires_grad_()
    seen: dict[str, Tensor] = {}
    with recording(resnet, layers, seen.__setitem__) as run:
        run(x)  # the ReLU after it works in place
    (ours,) = torch.autograd.grad(seen["bn1"].square().sum(), x)
    y = example(64)[None].requires_grad_()
    (by_hand,) = torch.autograd.grad(resnet.bn1(resnet.conv1(y)).square().sum(), y)
    assert torch.allclose(ours, by_hand)


class InThread(nn.Module):
    """Runs its part in a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self.part, x).result()


def test_a_layer_of_another_thread_does_not_stop_it() -> None:
    net, seen = InThread().eval(), list[str]()
    layers = probe(net, example(8), ["part"])
    with torch.no_grad():
        run_to(net, example(8)[None], layers, lambda name, activation: seen.append(name))
        assert seen == ["part"]


def test_stops_after_the_last_layer_and_not_before(resnet: nn.Module) -> None:
    layers = probe(resnet, example(64), ["layer1", "layer2"])
    ran: list[str] = []
    handle = resnet.layer3.register_forward_pre_hook(lambda *_: ran.append("layer3"))
    seen: list[str] = []
    with recording(resnet, layers, lambda name, _: seen.append(name), stop=True) as run, torch.no_grad():
        assert run(example(64)[None]) is None
        assert run(example(64)[None]) is None
    assert seen == ["layer1", "layer2"] * 2
    assert ran == []
    with torch.no_grad():
        resnet(example(64)[None])
    handle.remove()
    assert ran == ["layer3"]


def test_hooks_go_when_the_visitor_fails(resnet: nn.Module) -> None:
    layers = probe(resnet, example(64), ["layer1"])

    def fail(name: str, out: Tensor) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), torch.no_grad():
        run_to(resnet, example(64)[None], layers, fail)
    assert hooks_of(resnet) == 0


def test_attention_is_recorded_alike_with_and_without_gradients() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0).eval()
    net = nn.Sequential(OrderedDict(patch=nn.Conv2d(3, 8, 8, 8), flat=Tokens(), block=layer)).eval()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    layers = activations.probe(net, example(32), ["block.linear1", "block"])
    assert layers["block.linear1"].axes == "btc"
    seen: list[str] = []
    with torch.no_grad():
        run_to(net, example(32)[None], layers, lambda name, _: seen.append(name))
    assert seen == ["block.linear1", "block"]
    assert torch.backends.mha.get_fastpath_enabled()


class Tokens(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)


class Irregular(nn.Module):
    """Runs its part as often as it is told, on as many images as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.part, self.calls, self.rows = nn.Conv2d(3, 4, 3), 1, 4

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.calls):
            self.part(x[: self.rows])
        return x


@pytest.mark.parametrize(
    ("probed", "calls", "rows", "words"),
    [
        (1, 0, 4, "layer part does not run for every image"),
        (1, 2, 4, "layer part runs more than once for some images"),
        (2, 1, 4, "layer part@1 does not run for every image"),
        (1, 1, 2, "layer part gives 2 outputs for 3 images"),
    ],
)
def test_a_layer_that_does_not_run_alike_for_every_image_is_refused(
    probed: int, calls: int, rows: int, words: str
) -> None:
    module = Irregular().eval()
    module.calls = probed
    layers = probe(module, example())
    module.calls, module.rows = calls, rows
    with recording(module, layers, lambda name, _: None) as run, pytest.raises(VaryingLayerError, match=words):
        run(torch.zeros(3, 3, 32, 32))


def test_a_layer_of_another_shape_is_refused() -> None:
    layer = Layer(name="part", units=4, height=8, width=8)
    activations.check_shape(layer, torch.zeros(2, 4, 8, 8))
    with pytest.raises(VaryingLayerError, match=r"layer part gives 4 × 8 × 4 for some images, 4 × 8 × 8 for others"):
        activations.check_shape(layer, torch.zeros(2, 4, 8, 4))
