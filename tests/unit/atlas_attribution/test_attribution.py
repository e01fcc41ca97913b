"""Gradients, path integrals and Grad-CAM: against captum, against numbers worked out by hand, against their own sum."""

from __future__ import annotations

from collections.abc import Callable

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from support.nets import W1, Chain, V, noise, pixel, seeded
from torch import Tensor, nn

from atlas.attribution.grad_cam import grad_cam
from atlas.attribution.gradients import completeness_gap, gradient, gradient_x_input, integrated_gradients, smoothgrad
from atlas.attribution.methods import METHODS, Settings, attribute
from atlas.attribution.scores import Score, class_logit, class_probability, unit
from atlas.model.activations import probe


class Small(nn.Module):
    """Convolutions with a rectifier in place after the layer that Grad-CAM looks at."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.last = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.one(x), inplace=True)
        x = F.relu(self.two(x), inplace=True)
        return self.last(x.mean((2, 3)))


SMALL = seeded(Small())
X = noise(3, 3, 9, 8)
TWO = probe(SMALL.float(), torch.zeros(3, 9, 8), ["two"])["two"]
SMALL.double()


def by_captum(method: str, net: nn.Module, x: Tensor, index: int) -> Tensor:
    if method == "gradient":
        return captum.attr.Saliency(net).attribute(x, target=index, abs=False)
    if method == "gradient-x-input":
        return captum.attr.InputXGradient(net).attribute(x, target=index)
    if method == "integrated-gradients":
        return captum.attr.IntegratedGradients(net).attribute(x, target=index, n_steps=50)
    return captum.attr.LayerGradCam(net, net.two).attribute(x, target=index, relu_attributions=True)[:, 0]


@pytest.mark.parametrize("method", ["gradient", "gradient-x-input", "integrated-gradients", "grad-cam"])
@pytest.mark.parametrize("index", [0, 2])
def test_equals_captum(method: str, index: int) -> None:
    ours = attribute(SMALL, X, class_logit(index), method, Settings(layer=TWO)).raw
    assert (ours - by_captum(method, SMALL, X.clone().requires_grad_(), index)).abs().max() < 1e-5
    assert ours.abs().max() > 1e-3


def test_smoothgrad_is_the_mean_gradient_over_the_noise_it_says() -> None:
    found = smoothgrad(SMALL, X, class_logit(1), samples=5, noise=0.2, seed=7)
    for one, ours in zip(X, found, strict=True):
        torch.manual_seed(7)
        deviation = torch.full((5, *one.shape), 0.2 * float(one.max() - one.min()))
        copies = one + torch.normal(0, deviation)
        assert torch.allclose(ours, gradient(SMALL, copies, class_logit(1)).mean(0), atol=1e-9)


def test_smoothgrad_depends_on_its_seed_alone_and_leaves_the_generator_as_it_was() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    whole = smoothgrad(SMALL, X, class_logit(0), samples=3, seed=1)
    assert torch.equal(torch.rand(1), expected)
    assert torch.allclose(whole[1:2], smoothgrad(SMALL, X[1:2], class_logit(0), samples=3, seed=1), atol=1e-12)
    assert not torch.allclose(whole, smoothgrad(SMALL, X, class_logit(0), samples=3, seed=2))


# --- by hand: x = (2, 1). W1 x = (0, 1, 5) — the first is at its kink and passes nothing; W2 (0, 1, 5) = (-4.5, 3.5).
# Only the second output lives, V2 = -3: through W2's second row (-2, 1, 0.5), units 2 and 3 get -3 and -1.5, and
# through W1 the picture gets -3 · (-1, 3) - 1.5 · (2, 1) = (0, -10.5).
GRADIENT = torch.tensor([0.0, -10.5], dtype=torch.float64)


def test_gradient_and_what_builds_on_it_by_hand() -> None:
    net, x, score = Chain(nn.ReLU, share=False), pixel(2.0, 1.0), class_logit(0)
    assert torch.equal(gradient(net, x, score).flatten(), GRADIENT)
    assert torch.equal(gradient_x_input(net, x, score).flatten(), GRADIENT * torch.tensor([2.0, 1.0]))
    # Without biases nothing changes its side between 0 and x, so the path's mean gradient is the gradient itself.
    assert torch.allclose(integrated_gradients(net, x, score).flatten(), GRADIENT * torch.tensor([2.0, 1.0]))


def test_grad_cam_by_hand() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return (self.layer(x).sum((2, 3)) * torch.tensor([1.0, -2.0])).sum(1, keepdim=True)

    net = Two().eval()
    x = torch.tensor([[[[1.0, 4.0, 0.0]], [[0.0, 3.0, 2.0]]]])
    layer = probe(net, torch.zeros(2, 5, 6), ["layer"], axes={"layer": "bchw"})["layer"]
    # Every position of unit 1 moves the score by 1, of unit 2 by -2: the map is max(0, a1 - 2 a2).
    assert torch.equal(grad_cam(net, x, class_logit(0), layer), torch.tensor([[[1.0, 0.0, 0.0]]]))


def test_probability_by_hand() -> None:
    class Plain(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)

    x = pixel(0.3, -0.4)
    p = x.flatten().softmax(0)
    found = gradient(Plain().eval(), x, class_probability(0)).flatten()
    assert torch.allclose(found, torch.stack([p[0] * (1 - p[0]), -p[0] * p[1]]))


def test_units_by_hand() -> None:
    net = Chain(nn.ReLU, share=False)
    layer = probe(net.float(), torch.zeros(2, 1, 1), ["first"], axes={"first": "bchw"})["first"]
    net.double()
    for channel in range(3):
        expected = torch.tensor(W1[channel], dtype=torch.float64)
        assert torch.equal(gradient(net, pixel(2.0, 1.0), unit(layer, channel)).flatten(), expected)
        assert torch.equal(gradient(net, pixel(2.0, 1.0), unit(layer, channel, (0, 0))).flatten(), expected)


def test_the_mean_of_a_unit_and_its_positions() -> None:
    mean = gradient(SMALL, X, unit(TWO, 2))
    parts = [gradient(SMALL, X, unit(TWO, 2, (y, x))) for y in range(5) for x in range(4)]
    assert torch.allclose(mean, torch.stack(parts).mean(0))
    y2x1 = parts[2 * 4 + 1].abs().amax((0, 1))
    seen = torch.zeros(9, 8, dtype=torch.bool)
    seen[2:7, 1:6] = True
    assert (y2x1[~seen] == 0).all()
    assert y2x1[seen].any()


def complete(net: nn.Module, x: Tensor, score: Score, found: Tensor, baseline: Tensor | None = None) -> bool:
    return bool((completeness_gap(net, x, score, found, baseline).abs() < 1e-4).all())


@pytest.mark.parametrize("seed", range(3))
def test_integrated_gradients_are_complete_on_linear_nets(seed: int) -> None:
    net = seeded(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 5)), seed)
    baseline, score = noise(1, 3, 9, 8, seed=9), class_logit(seed)
    found = integrated_gradients(net, X, score, baseline=baseline, steps=3)
    assert complete(net, X, score, found, baseline)


def test_integrated_gradients_of_a_kink_by_hand() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 1), nn.ReLU()).double().eval()
    net[1].weight.data, net[1].bias.data = torch.tensor([[1.0, 0.0]]).double(), torch.tensor([-1.0]).double()
    # relu(x1 - 1) from 0 to 3: the slope is 0 for a third of the way, then 1, so x1's share is 3 · 2/3 = 2.
    found = integrated_gradients(net, pixel(3.0, 5.0), class_logit(0), steps=400).flatten()
    assert found[0] == pytest.approx(2.0, abs=0.01)
    assert found[1] == 0


def test_maps_are_of_the_pictures_size_and_signed_where_they_say() -> None:
    for method in METHODS:
        found = attribute(SMALL, X, class_logit(0), method, Settings(layer=TWO, samples=2, steps=2))
        assert found.map.shape == (3, 9, 8), method
        assert found.signed == bool((found.map < 0).any()), method
    raw = gradient(SMALL, X, class_logit(0))
    assert torch.equal(attribute(SMALL, X, class_logit(0), "gradient").map, raw.abs().max(1).values)


def test_pictures_of_a_batch_do_not_touch_each_other_and_stay_as_they_are() -> None:
    before = X.clone()
    for method in METHODS:
        told = Settings(layer=TWO, samples=2, steps=3)
        whole = attribute(SMALL, X, class_logit(1), method, told).map
        assert torch.allclose(whole[1:2], attribute(SMALL, X[1:2], class_logit(1), method, told).map, atol=1e-12)
    assert torch.equal(X, before)
    assert not X.requires_grad


def test_works_under_no_grad() -> None:
    with torch.no_grad():
        assert gradient(SMALL, X, class_logit(0)).abs().max() > 0


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda: gradient(SMALL, X, class_logit(3)), "no class 3; its classes are 0 to 2"),
        (lambda: unit(TWO, 4), "layer two has no unit 4; its units are 0 to 3"),
        (lambda: unit(TWO, 0, (5, 0)), "no position 5,0; its grid is 5 × 4"),
        (lambda: attribute(SMALL, X, class_logit(0), "lime"), "no attribution method 'lime'"),
        (lambda: gradient(nn.Sequential(nn.Flatten()).train(), X, class_logit(0)), "training mode"),
        (lambda: grad_cam(SMALL, X, unit(probe_one(), 0), TWO), "does not depend on layer two"),
        (lambda: smoothgrad(SMALL, X, class_logit(0), samples=0), "at least 1 sample"),
    ],
)
def test_says_what_is_wrong(broken: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        broken()


def probe_one() -> object:
    layer = probe(SMALL.float(), torch.zeros(3, 9, 8), ["one"])["one"]
    SMALL.double()
    return layer


def test_mutant_the_gradient_times_the_input_is_not_complete_where_there_is_a_kink() -> None:
    score = class_logit(0)
    assert not complete(SMALL, X, score, gradient_x_input(SMALL, X, score))


def test_mutant_grad_cam_without_a_copy_reads_what_came_after_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    from atlas.attribution import grad_cam as module

    def uncopied(output: Tensor, keep: Callable[[Tensor], None]) -> Tensor:
        keep(output)
        return output

    monkeypatch.setattr(module, "_capture_first_tensor", uncopied)
    ours = grad_cam(SMALL, X, class_logit(0), TWO)
    assert (ours - by_captum("grad-cam", SMALL, X.clone().requires_grad_(), 0)).abs().max() > 1e-3


@pytest.mark.parametrize("method", ["gradient", "gradient-x-input", "integrated-gradients", "grad-cam"])
def test_mutant_another_class_is_not_captums(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "class_logit", lambda index: class_probability(index))
    with pytest.raises(AssertionError):
        test_equals_captum(method, 2)


def test_mutant_noise_of_another_size_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch.normal
    monkeypatch.setattr(torch, "normal", lambda mean, std, *told, **more: right(mean, 2 * std, *told, **more))
    ours = smoothgrad(SMALL, X, class_logit(1), samples=5, noise=0.2, seed=7)
    monkeypatch.undo()
    assert not torch.allclose(ours, smoothgrad(SMALL, X, class_logit(1), samples=5, noise=0.2, seed=7), atol=1e-6)


def test_mutant_a_sign_is_seen_by_the_hand_calculation() -> None:
    net = Chain(nn.ReLU, share=False)
    net.third.weight.data = -net.third.weight.data
    assert not torch.equal(gradient(net, pixel(2.0, 1.0), class_logit(0)).flatten(), GRADIENT)
    assert V[1] == -3.0
