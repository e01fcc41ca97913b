"""Attribution by forward mode against gradients, finite differences and a hand calculation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from support import corpus
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F

from atlas.arrays import Layer
from atlas.model import activations, forward_mode
from atlas.model.forward_mode import NoTangentError
from storage import models
from storage.models.loading import find_logits

Net = tuple[nn.Module, Tensor, Layer, Callable[[Any], Tensor]]


def prepared(module: nn.Module, side: int, name: str, axes: str | None = None, seed: int = 0) -> Net:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(3, 3, side, side, generator=generator)
    layer = activations.probe(module.eval(), images[0], [name], axes={name: axes} if axes else None)[name]
    return module, images, layer, find_logits


def places(layer: Layer, count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    high = torch.randint(0, layer.height, (count,), generator=generator)
    return high, torch.randint(0, layer.width, (count,), generator=generator)


def by_gradients(net: Net, y: Tensor, x: Tensor, classes: list[int]) -> Tensor:
    """Return h·∂logit/∂h at the positions by a backward pass per class, `b len(classes)`."""
    module, images, layer, logits = net
    seen: list[Tensor] = []

    def change(raw: Tensor) -> Tensor:
        seen.append(raw.detach().clone().requires_grad_())
        return seen[0].clone()

    with forward_mode.replacing(module, layer, change), torch.enable_grad():
        scores = logits(module(images))
    rows = torch.arange(len(images))
    found = []
    for number in classes:
        (gradient,) = torch.autograd.grad(scores[:, number].sum(), seen[0], retain_graph=True)
        product = activations.view(gradient, layer) * activations.view(seen[0].detach(), layer)
        found.append(product[rows, :, y, x].sum(1))
    return torch.stack(found, dim=1)


def difference(net: Net, made: Tensor, y: Tensor, x: Tensor, count: int) -> float:
    """Return the largest difference to the gradients over some classes, as a part of the largest attribution."""
    classes = torch.linspace(0, made.shape[1] - 1, min(count, made.shape[1])).long().tolist()
    expected = by_gradients(net, y, x, classes)
    return float((made[:, classes] - expected).abs().max() / expected.abs().max())


def made_by(net: Net) -> tuple[Tensor, Tensor, Tensor]:
    module, images, layer, logits = net
    y, x = places(layer, len(images))
    return forward_mode.attribution(module, images, layer, y, x, logits), y, x


class Tokens(nn.Module):
    """A vision transformer as small as can be: patches, a class token, places, two of torch's encoder layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.patch = nn.Conv2d(3, 16, 8, stride=8)
        self.token, self.place = nn.Parameter(torch.randn(1, 1, 16)), nn.Parameter(torch.randn(1, 17, 16))
        self.blocks = nn.Sequential(
            *(nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True) for _ in range(2))
        )
        self.head = nn.Linear(16, 7)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        tokens = self.patch(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], 1) + self.place
        return {"logits": self.head(self.blocks(tokens)[:, 0])}


def lite0() -> Net:
    return prepared(models.load("efficientnet-lite0").module, 64, "_blocks.10")


def swin() -> Net:
    from torchvision.models.swin_transformer import SwinTransformer

    torch.manual_seed(2)
    net = SwinTransformer([2, 2], 8, [1, 1], [2, 2], [4, 4], num_classes=9, stochastic_depth_prob=0.0)
    return prepared(net, 32, "features.1.0.attn", "bhwc")


NETS: dict[str, Callable[[], Net]] = {
    "lite0": lite0,
    "small, in-place ReLU": lambda: prepared(corpus.net(), 32, "features.2"),
    "batch norm before in-place ReLU": lambda: prepared(corpus.net(), 32, "features.1"),
    "vector": lambda: prepared(corpus.net(), 32, "flatten", "bc"),
    "ViT": lambda: prepared(Tokens(), 32, "blocks.0", "btc"),
    "Swin": swin,
}


@pytest.mark.parametrize("name", NETS)
def test_equals_the_gradient_of_each_class(name: str) -> None:
    net = NETS[name]()
    made, y, x = made_by(net)
    assert difference(net, made, y, x, 8) < 1e-4


def test_all_layouts_of_axes_are_covered() -> None:
    assert {NETS[name]()[2].axes for name in NETS if name != "lite0"} == {"bchw", "bhwc", "btc", "bc"}


def summed(net: Net) -> Tensor:
    """Return the attributions added up over all positions, `b k`."""
    module, images, layer, logits = net
    total = torch.zeros(())
    for y in range(layer.height):
        for x in range(layer.width):
            at = torch.full((len(images),), y), torch.full((len(images),), x)
            total = total + forward_mode.attribution(module, images, layer, *at, logits)
    return total


def test_before_the_last_linear_layer_they_sum_to_logit_minus_bias() -> None:
    for name in ("features.5", "flatten"):
        net = prepared(corpus.net(), 32, name, "bc" if name == "flatten" else None)
        module, images = net[0], net[1]
        expected = module(images) - module.head.bias
        assert (summed(net) - expected).abs().max() < 1e-4 * expected.abs().max()


def test_lite0_sums_to_logit_minus_bias() -> None:
    net = prepared(models.load("efficientnet-lite0").module, 64, "_conv_head")
    module, images, _, logits = net
    net = (module, images, activations.probe(module, images[0], ["_avg_pooling"])["_avg_pooling"], logits)
    expected = module(images) - module._fc.bias
    assert (summed(net) - expected).abs().max() < 1e-4 * expected.abs().max()


def test_equals_finite_differences() -> None:
    module, images, layer, logits = prepared(Tokens(), 32, "blocks.0", "btc")
    module, images, step = module.double(), images.double(), 1e-5
    y, x = places(layer, len(images))
    made = forward_mode.attribution(module, images, layer, y, x, logits)

    def scaled(by: float) -> Tensor:
        def change(raw: Tensor) -> Tensor:
            return raw + by * placed

        placed = torch.zeros(())
        with activations.recording(module, {layer.name: layer}, lambda _, a: tokens.append(a.clone())) as run:
            tokens: list[Tensor] = []
            run(images)
        grid = forward_mode.own_value(y, x)(tokens[0]).flatten(2).transpose(1, 2)
        placed = torch.cat([torch.zeros(len(images), layer.prefix, layer.units, dtype=torch.float64), grid], 1)
        with forward_mode.replacing(module, layer, change):
            return logits(module(images))

    with activations.slow_attention():
        expected = (scaled(step) - scaled(-step)) / (2 * step)
    assert (made - expected).abs().max() < 1e-4 * expected.abs().max()


def test_inference_mode_around_it_does_no_harm() -> None:
    net = NETS["small, in-place ReLU"]()
    outside, *_ = made_by(net)
    with torch.inference_mode():
        inside, *_ = made_by(net)
    assert torch.equal(outside, inside)


def test_a_call_of_a_shared_layer_is_moved_alone() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(5)
            self.conv, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.conv(self.conv(x).tanh()).tanh().mean((2, 3)))

    first, second = (prepared(Shared(), 16, f"conv@{call}") for call in (0, 1))
    for net in (first, second):
        made, y, x = made_by(net)
        assert difference(net, made, y, x, 4) < 1e-4
    assert not torch.allclose(made_by(first)[0], made_by(second)[0])


@dataclass
class Output:
    scores: Tensor
    other: int = 3


@pytest.mark.parametrize("wrap", [lambda t: (None, t), lambda t: [t, 1], lambda t: {"a": t}, lambda t: Output(t)])
def test_outputs_that_hold_their_tensor_are_rebuilt(wrap: Callable[[Tensor], Any]) -> None:
    class Inner(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return wrap(x * 2)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: Tensor) -> Tensor:
            return activations.first_tensor(self.inner(x)).square().sum((2, 3))

    module, images, layer, logits = prepared(Outer(), 4, "inner", "bchw")
    made, y, x = made_by((module, images, layer, logits))
    value = 2 * images[torch.arange(3), :, y, x]
    assert torch.allclose(made, 2 * value.square(), rtol=1e-5)


def test_a_layer_that_does_not_reach_the_scores_is_refused() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            self.left(x)
            return self.right(x).mean((2, 3))

    net = prepared(Branches(), 8, "left")
    with pytest.raises(NoTangentError, match="left does not reach the class scores"):
        made_by(net)
    right = activations.probe(net[0], net[1][0], ["right"])["right"]
    with pytest.raises(NoTangentError, match="left does not reach layer right"):
        forward_mode.layer_tangent(net[0], net[1], net[2], forward_mode.own_value(*places(net[2], 3)), right)


def test_mutant_no_hook_is_left_behind() -> None:
    net = NETS["small, in-place ReLU"]()
    made_by(net)
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in net[0].modules())
    with forward_mode.replacing(net[0], net[2], lambda raw: raw):
        assert any(child._forward_hooks for child in net[0].modules())


@pytest.mark.parametrize("fault", ["next column", "all ones", "whole image"])
def test_mutant_a_wrong_tangent_is_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, right = NETS["small, in-place ReLU"](), forward_mode.own_value

    def wrong(y: Tensor, x: Tensor, unit: Tensor | None = None) -> forward_mode.Direction:
        if fault == "next column":
            return right(y, (x + 1) % net[2].width, unit)
        return (lambda a: (right(y, x)(a) != 0).float()) if fault == "all ones" else (lambda a: a)

    monkeypatch.setattr(forward_mode, "own_value", wrong)
    made, y, x = made_by(net)
    assert difference(net, made, y, x, 4) > 1e-2


def test_mutant_a_tangent_lost_on_the_way_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    net = NETS["small, in-place ReLU"]()
    monkeypatch.setattr(net[0].pool, "forward", lambda x: F.adaptive_avg_pool2d(x.detach().clone(), 1))
    monkeypatch.setattr(net[0].pool, "forward", lambda x: forward_ad.unpack_dual(F.adaptive_avg_pool2d(x, 1)).primal)
    with pytest.raises(NoTangentError, match="does not reach the class scores"):
        made_by(net)
