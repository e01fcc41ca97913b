"""Folding batch norm changes no layer's output or gradient by more than rounding."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from atlas.arrays import Layer
from atlas.model import folding
from atlas.model.activations import Recordable, probe, recording, run_to


def lite0() -> nn.Module:
    with contextlib.redirect_stdout(io.StringIO()):
        from efficientnet_lite_pytorch import EfficientNet

        return EfficientNet.from_name("efficientnet-lite0", num_classes=10)


NETS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    # builder, input size, batch norms that can be folded: all, but for densenet those after a concatenation
    "lite0": (lite0, 64, 49),
    "resnet18": (lambda: models.resnet18(num_classes=10), 64, 20),
    "googlenet": (lambda: models.googlenet(num_classes=10, init_weights=False, aux_logits=False), 64, 57),
    "mobilenet_v3": (lambda: models.mobilenet_v3_small(num_classes=10), 64, 34),
    "densenet": (lambda: models.DenseNet(8, (2, 2), 16, num_classes=10), 32, 5),
}


def lived_in(module: nn.Module) -> nn.Module:
    """Give batch norms statistics and weights as after training, since fresh ones hardly do anything."""
    generator = torch.Generator().manual_seed(0)
    for child in module.modules():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            for tensor, low, high in (
                (child.running_mean, -0.5, 0.5),
                (child.running_var, 0.3, 3.0),
                (child.weight, -1.5, 1.5),
                (child.bias, -0.5, 0.5),
            ):
                tensor.data.uniform_(low, high, generator=generator)
    return module.eval().requires_grad_(False)


def example(size: int) -> Tensor:
    return torch.randn(3, size, size, generator=torch.Generator().manual_seed(1))


def everything(target: nn.Module | Recordable, x: Tensor, layers: dict[str, Layer]) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    with recording(target, layers, seen.__setitem__, clone=True) as run:
        run(x)
    return seen


def furthest(a: dict[str, Tensor], b: dict[str, Tensor]) -> tuple[float, str]:
    """Return the largest relative difference and the layer that has it."""
    assert a.keys() == b.keys()
    return max((((a[n] - b[n]).abs().max() / a[n].abs().max().clamp(min=1e-12)).item(), n) for n in a)


@pytest.mark.parametrize("name", NETS)
def test_every_layer_and_its_gradient_stay(name: str) -> None:
    make, size, pairs = NETS[name]
    torch.manual_seed(0)
    module = lived_in(make())
    layers = probe(module, example(size))
    folded = folding.fold(module, example(size))
    assert len(folded.pairs) == pairs
    x = torch.stack([example(size), -example(size)])
    with torch.no_grad():
        assert furthest(everything(module, x, layers), everything(folded, x, layers))[0] < 1e-4
    gradients_stay(module.double(), example(size).double(), layers)


def gradients_stay(module: nn.Module, image: Tensor, layers: dict[str, Layer]) -> None:
    """In float64, since in float32 a value next to zero may fall on the other side of a ReLU, where slopes jump."""
    folded = folding.fold(module, image)
    x, y = (image[None].clone().requires_grad_() for _ in range(2))
    plain, ours = everything(module, x, layers), everything(folded, y, layers)
    for layer in list(layers)[:: max(1, len(layers) // 6)]:
        (theirs,) = torch.autograd.grad(plain[layer].square().mean(), x, retain_graph=True)
        (mine,) = torch.autograd.grad(ours[layer].square().mean(), y, retain_graph=True)
        assert (theirs - mine).norm() <= 1e-9 * theirs.norm(), layer


def small() -> nn.Module:
    torch.manual_seed(0)
    return lived_in(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 1, bias=False),
                      nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(5 * 36, 6), nn.BatchNorm1d(6))
    )  # fmt: skip


def test_folding_by_hand() -> None:
    folded = folding.fold(small(), example(8))
    assert dict(folded.pairs) == {"0": "1", "3": "4", "6": "7"}
    conv, norm = small()[0], small()[1]
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    assert torch.allclose(folded.module[0].weight, conv.weight * scale[:, None, None, None])
    assert torch.allclose(folded.module[0].bias, (conv.bias - norm.running_mean) * scale + norm.bias)
    assert isinstance(folded.module[1], nn.Identity)


def test_the_module_itself_stays_as_it_was() -> None:
    module = small()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    folding.fold(module, example(8))
    assert module.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_naming_a_folded_convolution_changes_no_other_layer() -> None:
    module = small()
    layers, folded = probe(module, example(8)), folding.fold(module, example(8))
    alone = everything(folded, example(8)[None], {"4": layers["4"]})
    among = everything(folded, example(8)[None], layers)
    assert torch.equal(alone["4"], among["4"])
    assert torch.equal(among["0"], module[0](example(8)[None]))


def test_stops_before_the_folded_convolution_runs() -> None:
    module = small()
    layers, folded = probe(module, example(8), ["3"]), folding.fold(module, example(8))
    ran: list[int] = []
    folded.module[3].register_forward_hook(lambda *_: ran.append(1))
    run_to(folded, example(8)[None], layers, lambda name, out: None)
    assert ran == []


class Kept(nn.Module):
    """Uses the convolution's output beside the batch norm, in one of several ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how, self.conv, self.norm = how, nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
        self.wrap = nn.Sequential(self.conv) if how == "wrapped" else nn.Identity()
        if how == "tied":
            self.twin = nn.Conv2d(3, 4, 1)
            self.twin.weight = self.conv.weight
        if how == "computed":
            nn.utils.parametrizations.weight_norm(self.conv)
        if how == "listed":
            object.__setattr__(self, "also", [self.norm])

    def forward(self, x: Tensor) -> Tensor:
        y = self.wrap(x) if self.how == "wrapped" else self.conv(x)
        z = self.also[0](y) if self.how == "listed" else self.norm(y * 1.0 if self.how == "copied" else y)
        if self.how == "twice":
            z = z + self.norm(self.conv(x + 1))
        if self.how == "tied":
            z = z + self.twin(x)
        return z + y.mean() if self.how == "used" else z


@pytest.mark.parametrize("how", ["used", "wrapped", "tied", "computed", "copied", "twice"])
def test_what_is_used_otherwise_is_not_folded(how: str) -> None:
    module = lived_in(Kept(how))
    folded = folding.fold(module, example(8))
    assert not folded.pairs
    layers = probe(module, example(8))
    x = example(8)[None]
    assert furthest(everything(module, x, layers), everything(folded, x, layers))[0] == 0


def test_a_norm_called_by_the_back_door_undoes_all() -> None:
    module = lived_in(Kept("listed"))
    folded = folding.fold(module, example(8))
    assert torch.equal(folded.module(example(8)[None]), module(example(8)[None]))


def test_a_norm_that_does_more_is_not_folded() -> None:
    class Louder(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).relu()

    net = lived_in(nn.Sequential(nn.Conv2d(3, 4, 1), Louder(4)))
    assert not folding.fold(net, example(8)).pairs


def test_mutant_naming_gives_the_folded_convolution() -> None:
    module = small()
    layers, folded = probe(module, example(8)), folding.fold(module, example(8))
    without = folding.Folded(module=folded.module, unfolded={}, pairs=folded.pairs)
    worst, name = furthest(everything(module, example(8)[None], layers), everything(without, example(8)[None], layers))
    assert worst > 1e-2
    assert name in folded.pairs


def test_mutant_wrong_epsilon_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    right = folding._fold_into

    def wrong(conv: nn.Module, norm: nn.Module) -> None:
        norm.eps, kept = 0.1, norm.eps
        right(conv, norm)
        norm.eps = kept

    monkeypatch.setattr(folding, "_fold_into", wrong)
    assert not folding.fold(small(), example(8)).pairs


def test_moves_to_another_precision_whole() -> None:
    folded = folding.fold(small(), example(8)).to("cpu", torch.bfloat16)
    parts = (folded.module, *folded.unfolded.values())
    assert {p.dtype for part in parts for p in part.parameters()} == {torch.bfloat16}
    assert folded.module[0].weight.is_contiguous(memory_format=torch.channels_last)
