"""Fused passes give what the model gives, values and gradients, and leave alone what they cannot know."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from support.nets import seeded
from torch import Tensor, nn

from atlas.inversion import fused
from atlas.inversion.fused import Fused
from atlas.inversion.render import frozen, layer_forward
from atlas.model import fusing
from atlas.model.activations import probe


class Blocks(nn.Module):
    """Borders even and uneven, both rectifiers, a depthwise convolution, a residual, and a rectifier used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.deep = nn.Conv2d(8, 8, 5, groups=8)
        self.point = nn.Conv2d(8, 8, 1, bias=False)
        self.last = nn.Conv2d(8, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.stem(F.pad(x, [0, 1, 0, 1])))
        y = F.relu(self.deep(F.pad(x, [2, 2, 2, 2])))
        kept = self.point(y)
        return self.last(F.relu(kept) + x + kept)


class Looking(nn.Module):
    """Decides by a value, which no trace can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        found = F.relu(self.conv(x))
        return found if found.sum() > 1e9 else 2 * found


class Drifting(nn.Module):
    """Gives other values at every call, so that its trace is not what it gives next."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.calls = nn.Conv2d(3, 4, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return F.relu(self.conv(x)) * float(self.calls)


PICTURES = torch.rand(4, 3, 20, 16, generator=torch.Generator().manual_seed(3))


def seen_by(module: nn.Module, layer: str = "") -> Fused:
    name = layer or list(dict(module.named_children()))[-1]
    found = probe(module, torch.zeros(3, 20, 16), [name])[name]
    see = layer_forward(module, [found], (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    assert isinstance(see, Fused)
    return see


def traced(see: Fused) -> object:
    leaf = PICTURES.clone().requires_grad_()
    see(leaf)
    return see._traced[tuple(PICTURES.shape)]


def test_values_and_gradients_are_the_models() -> None:
    module = seeded(Blocks()).float()
    with frozen(module):
        see = seen_by(module)
        wanted = fused._with_gradient(see.forward, PICTURES)
        assert traced(see) is not see.forward
        for here, there in zip(wanted, fused._with_gradient(see, PICTURES), strict=True):
            torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-6)


def test_what_is_fused() -> None:
    module = seeded(Blocks()).float()
    with frozen(module):
        graph = traced(seen_by(module)).graph  # type: ignore[attr-defined]
    targets = [node.target for node in graph.nodes if node.op == "call_function"]
    # The even border and two rectifiers go; the uneven border stays, and so does the rectifier of what is used twice.
    assert targets.count(torch.ops.aten.constant_pad_nd.default) == 1
    assert targets.count(fused.convolve_rectified) == 2
    assert targets.count(torch.ops.aten.relu.default) == 1


@pytest.mark.parametrize("module", [Looking(), Drifting()], ids=["looks at values", "drifts"])
def test_what_no_trace_can_follow_runs_as_it_is(module: nn.Module) -> None:
    module = seeded(module).float()
    with frozen(module):
        see = seen_by(module, "conv")
        see.forward = (lambda whole: lambda x: {"out": whole(x)})(module)
        assert traced(see) is see.forward


def test_without_gradients_nothing_is_traced() -> None:
    module = seeded(Blocks()).float()
    see = seen_by(module)
    with torch.no_grad():
        see(PICTURES)
    assert not see._traced


def test_mutant_a_wrong_fusion_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fusing.RECTIFIERS, torch.ops.aten.hardtanh.default, lambda node: (0.0, 0.5))
    module = seeded(Blocks()).float()
    with frozen(module):
        see = seen_by(module)
        assert traced(see) is see.forward
