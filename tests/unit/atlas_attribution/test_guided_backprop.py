"""Guided backpropagation and deconvnet: by hand for rectifiers in every spelling, by a second implementation, refused
where they mean nothing, and what the sanity check of Adebayo et al. (2018) says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from support.nets import RECTIFIERS, Chain, Functional, noise, pixel, seeded
from torch import Tensor, nn
from torchvision.models.googlenet import Inception as InceptionBlock
from torchvision.models.resnet import BasicBlock

from atlas.attribution.gradients import gradient
from atlas.attribution.guided_backprop import UndefinedMethodError, deconvnet, guided_backprop
from atlas.attribution.scores import class_logit, unit
from atlas.model.activations import probe

Method = Callable[..., Tensor]

# --- by hand, for support.nets.Chain at x = (1, 1): W1 x = (-1, 2, 3); relu gives (0, 2, 3); W2 of that (-2, 3.5).
# The start is V = (1, -3).
# Gradient:  second layer lives only in its second unit: (0, -3); W2ᵀ → (6, -3, -1.5); the first unit is off:
#            (0, -3, -1.5); W1ᵀ → -3 · (-1, 3) - 1.5 · (2, 1) = (0, -10.5).
# Guided:    (0, -3) keeps what is positive: (0, 0); nothing is left: (0, 0).
# Deconvnet: V clipped, whatever was on: (1, 0); W2ᵀ → (1, 0.5, -1), clipped: (1, 0.5, 0); W1ᵀ → (0.5, -0.5).
PLAIN, GUIDED, DECONV = (0.0, -10.5), (0.0, 0.0), (0.5, -0.5)
# --- and with V = (1, 3): guided (0, 3); W2ᵀ → (-6, 3, 1.5); on and positive: (0, 3, 1.5); W1ᵀ → (0, 10.5).
# Deconvnet: (1, 3); W2ᵀ → (-5, 3.5, 0.5), clipped (0, 3.5, 0.5); W1ᵀ → (-2.5, 11).
GUIDED_3, DECONV_3 = (0.0, 10.5), (-2.5, 11.0)


def found(method: Method, net: nn.Module) -> tuple[float, ...]:
    return tuple(method(net, pixel(1.0, 1.0), class_logit(0)).flatten().tolist())


@pytest.mark.parametrize("share", [False, True], ids=["apart", "shared"])
@pytest.mark.parametrize("spelling", RECTIFIERS)
def test_by_hand_in_every_spelling(spelling: str, share: bool) -> None:
    net = Chain(RECTIFIERS[spelling], share=share)
    assert (found(gradient, net), found(guided_backprop, net), found(deconvnet, net)) == (PLAIN, GUIDED, DECONV)
    net.third.weight.data = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    assert (found(guided_backprop, net), found(deconvnet, net)) == (GUIDED_3, DECONV_3)


def test_the_upper_limit_of_relu6_stops_guided_and_not_deconvnet() -> None:
    net = nn.Sequential(nn.ReLU6(), nn.Flatten()).eval()
    x = pixel(7.0, 5.0)
    assert guided_backprop(net, x, class_logit(0)).abs().sum() == 0
    assert deconvnet(net, x, class_logit(0)).flatten().tolist() == [1.0, 0.0]
    assert guided_backprop(net, x, class_logit(1)).flatten().tolist() == [0.0, 1.0]


@pytest.mark.parametrize("method", [guided_backprop, deconvnet])
def test_max_pooling_sends_the_signal_to_the_place_of_the_maximum(method: Method) -> None:
    """By hand: four pixels, halved to two by their maxima; relu of a difference."""

    class Pooled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            pooled = F.max_pool2d(F.relu(x, inplace=True), (1, 2))
            return (pooled.flatten(1) * torch.tensor([2.0, 5.0])).sum(1, keepdim=True)

    x = torch.tensor([[[[1.0, 3.0, 4.0, 2.0]]]])
    assert method(Pooled().eval(), x, class_logit(0)).flatten().tolist() == [0.0, 2.0, 5.0, 0.0]


def test_of_a_unit_at_a_position() -> None:
    net = Chain(lambda: Functional(lambda x: F.relu(x, inplace=True)), share=False)
    layer = probe(net.float(), torch.zeros(2, 1, 1), ["again"], axes={"again": "bchw"})["again"]
    net.double()
    # Unit 2 is on: W2's second row (-2, 1, 0.5); on and positive: (0, 1, 0.5); W1ᵀ → (-1, 3) + (1, 0.5) = (0, 3.5).
    assert guided_backprop(net, pixel(1.0, 1.0), unit(layer, 1, (0, 0))).flatten().tolist() == [0.0, 3.5]


@contextmanager
def rewritten(rule: str) -> Iterator[None]:
    """A second implementation: every relu that torch's functions and modules reach gives way to one with the rule."""

    class Ruled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return torch.where(x > 0, x, torch.zeros_like(x))

        @staticmethod
        def backward(ctx: Any, signal: Tensor) -> Tensor:
            passed = torch.where(signal > 0, signal, torch.zeros_like(signal))
            return passed if rule == "deconvnet" else torch.where(ctx.saved_tensors[0] > 0, passed, 0 * passed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "relu", lambda x, inplace=False: Ruled.apply(x))
        yield


class Inception(nn.Module):
    """Two Inception blocks of torchvision's GoogLeNet: functional rectifiers in place, branches, max pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.one = InceptionBlock(6, 4, 3, 4, 2, 4, 3)
        self.two = InceptionBlock(15, 4, 3, 4, 2, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x)).mean((2, 3))


def residual() -> nn.Module:
    """Two of ResNet's blocks, each with one rectifier used twice, in place, once after `out += identity`."""
    blocks = BasicBlock(6, 6), BasicBlock(6, 6)
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())


NETS: dict[str, Callable[[], nn.Module]] = {"googlenet": Inception, "resnet": residual}


def differs(name: str, method: Method, rule: str) -> bool:
    """Say whether a method is other than the second implementation on a net of torchvision's blocks."""
    net, x = seeded(NETS[name]()), noise(2, 6, 8, 7)
    with rewritten(rule):
        expected = gradient(net, x, class_logit(2))
    assert expected.abs().max() > 1e-6
    return not torch.allclose(method(net, x, class_logit(2)), expected, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("name", NETS)
def test_equals_a_second_implementation_on_torchvisions_blocks(name: str) -> None:
    assert not differs(name, guided_backprop, "guided")
    assert not differs(name, deconvnet, "deconvnet")


@pytest.mark.filterwarnings("ignore")
def test_mutant_module_hooks_miss_functional_rectifiers() -> None:
    def by_hooks(net: nn.Module, x: Tensor, score: Any) -> Tensor:
        return captum.attr.GuidedBackprop(net).attribute(x.clone().requires_grad_(), target=2)

    assert differs("googlenet", by_hooks, "guided")


def test_mutant_the_plain_gradient_is_not_taken_for_either() -> None:
    assert differs("resnet", gradient, "guided")
    assert differs("resnet", guided_backprop, "deconvnet")


class Block(nn.Module):
    def __init__(self, inner: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def part_in_place(x: Tensor) -> Tensor:
    y = x + 0
    y[:, :1].relu_()
    return y


@pytest.mark.parametrize(
    ("inner", "says"),
    [
        (F.silu, "SiLU"),
        (F.gelu, "GELU"),
        (F.leaky_relu, "leaky ReLU"),
        (F.hardswish, "hard swish"),
        (lambda x: x * x.sigmoid(), "a sigmoid"),
        (lambda x: F.hardtanh(x), "a hardtanh that does not begin at 0"),
        (lambda x: x.clamp(max=6), "a clamp that does not begin at 0"),
        (lambda x: torch.maximum(x, torch.zeros(1)), "Maximum"),
        (lambda x: x * x, "a product of activations"),
        (lambda x: x**2, "Pow"),
        (lambda x: 1.0 / (x + 9), "Reciprocal"),
        (lambda x: x.flatten(2) @ x.flatten(2).transpose(1, 2), "a product of activations"),
        (part_in_place, "an in-place change of a part of a tensor"),
    ],
)
@pytest.mark.parametrize("method", [guided_backprop, deconvnet])
def test_refused_where_it_means_nothing(method: Method, inner: Callable[[Tensor], Tensor], says: str) -> None:
    net = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Conv2d(3, 3, 1), Block(inner)), nn.Flatten()).eval()
    with pytest.raises(UndefinedMethodError, match=rf"layer '1.1' computes {says}; use gradient") as refusal:
        method(net, torch.ones(1, 3, 2, 2), class_logit(0))
    assert "\n" not in str(refusal.value)


def test_what_is_computed_of_weights_alone_is_no_matter() -> None:
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 2, 1)), nn.ReLU(), nn.Flatten()).eval()
    assert guided_backprop(net, torch.ones(1, 3, 2, 2), class_logit(0)).shape == (1, 3, 2, 2)


def test_nothing_is_left_on_the_module() -> None:
    net = Chain(nn.ReLU, share=True)
    before = found(gradient, net)
    found(guided_backprop, net)
    assert found(gradient, net) == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
