"""A fused graph hides no value that is not a number: its bounds hold, and where they end it looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx

from atlas.model import bounds, fusing
from atlas.model.bounds import LargeValuesError, add_checks

PICTURES = torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(1)) * 4 - 2


def conv(scale: float = 1.0, inputs: int = 3, outputs: int = 3, **settings: Any) -> nn.Conv2d:
    """Return a seeded convolution with weights of this size."""
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, **settings)
    generator = torch.Generator().manual_seed(outputs)
    for parameter in layer.parameters():
        parameter.data = scale * torch.randn(parameter.shape, generator=generator)
    return layer.requires_grad_(False)


def fused(module: nn.Module | Callable[[Tensor], Tensor]) -> fx.GraphModule:
    graph: fx.GraphModule = make_fx(module)(PICTURES)
    assert fusing.merge_rectifiers(graph.graph, fusing.convolve_clamped, {**fusing.RECTIFIERS, **fusing.IN_PLACE})
    return graph


def checks(graph: fx.GraphModule) -> int:
    count = add_checks(graph)
    graph.recompile()
    return count


class Overflowing(nn.Module):
    """Gives infinities of both signs, whose sum is not a number, before its last rectifier."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = conv(1e30), conv(1e30), conv()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.last(self.second(F.relu(self.first(x)))))


def test_values_that_overflow_are_not_hidden() -> None:
    net = Overflowing()
    assert net(PICTURES).isnan().any()
    with pytest.raises(ValueError, match="its weights are too large"):
        checks(fused(net))


def test_mutant_without_bounds_what_overflows_is_hidden() -> None:
    graph = fused(Overflowing())
    graph.recompile()
    assert not graph(PICTURES).isnan().any()


def test_only_the_input_is_looked_at_where_rectifiers_have_limits() -> None:
    net = nn.Sequential(conv(100), nn.ReLU6(), conv(100), nn.ReLU6(), conv(100), nn.ReLU6(inplace=True))
    graph = fused(net)
    assert checks(graph) == 1
    assert torch.equal(graph(PICTURES), net(PICTURES))
    for wrong in (torch.nan, torch.inf, -1e9):
        shown = PICTURES.clone()
        shown[1, 2, 3, 4] = wrong
        with pytest.raises(LargeValuesError):
            graph(shown)


def test_growing_values_are_looked_at_again() -> None:
    layers = [part for _ in range(12) for part in (conv(1e5), nn.ReLU())]
    assert 2 <= checks(fused(nn.Sequential(*layers))) <= 4


def changed(x: Tensor, operation: Callable[[Tensor], object]) -> Tensor:
    """Return x after an operation in place on a view of it."""
    operation(x[:, :, 1:])
    return x


FIRST, SECOND = conv(), conv()
WAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "scaled": lambda x: x * 1e3,
    "added": lambda x: x + x.mean((2, 3), keepdim=True),
    "joined": lambda x: torch.cat([x, x - 2 * x], 1)[:, :3],
    "pooled": lambda x: F.max_pool2d(x, 2),
    "averaged": lambda x: F.avg_pool2d(x, 3, padding=1),
    "bordered": lambda x: F.pad(x, [1, 0, 0, 0], value=1e4),
    "gated": lambda x: x * torch.sigmoid(x.mean((2, 3), keepdim=True)),
    "normalised": lambda x: F.batch_norm(x, torch.ones(3), torch.full((3,), 1e-3), torch.ones(3), torch.zeros(3)),
    "added in place": lambda x: x.add_(x),
    "a view enlarged": lambda x: changed(x, lambda part: part.mul_(1e3)),
    "a view filled": lambda x: changed(x, lambda part: part.fill_(1e6)),
    "another function": lambda x: x.exp(),
}


@pytest.mark.parametrize("way", WAYS)
def test_bounds_hold(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert beyond_bounds(WAYS[way]) == []


def beyond_bounds(way: Callable[[Tensor], Tensor]) -> list[str]:
    """Run a graph with this between two convolutions; name the nodes whose values exceed their bounds."""
    graph = fused(lambda x: F.relu(SECOND(way(F.relu(FIRST(x))))))
    known = bounds._Bounds(graph)
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            known.known[node] = 2.0
        known.follow(node)

    class Watching(fx.Interpreter):  # type: ignore[misc]
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
                largest[n] = float(value.abs().max())
            return value

    largest: dict[fx.Node, float] = {}
    Watching(graph).run(PICTURES.clone())
    return [str(node) for node, value in largest.items() if not value <= known.of(node) * (1 + 1e-6)]


def test_mutant_a_bound_too_small_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bounds._RULES, torch.ops.aten.mul.Tensor, bounds._first)
    assert beyond_bounds(WAYS["scaled"])


def test_mutant_views_that_share_nothing_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "_is_mutable", lambda target: False)
    assert beyond_bounds(WAYS["a view enlarged"])
