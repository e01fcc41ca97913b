"""Small nets in double precision whose gradients can be worked out by hand, and rectifiers written in every way."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Functional(nn.Module):
    """A rectifier that no module hook can tell from the layers around it."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _rectified(x: Tensor) -> Tensor:
    return torch.relu(x)


with warnings.catch_warnings(action="ignore", category=FutureWarning):
    scripted = torch.jit.script(_rectified)


RECTIFIERS: dict[str, Callable[[], nn.Module]] = {
    "module": nn.ReLU,
    "in-place module": lambda: nn.ReLU(inplace=True),
    "relu6": nn.ReLU6,
    "in-place relu6": lambda: nn.ReLU6(inplace=True),
    "hardtanh": lambda: nn.Hardtanh(0.0, 6.0),
    "functional": lambda: Functional(F.relu),
    "in-place functional": lambda: Functional(lambda x: F.relu(x, inplace=True)),
    "method": lambda: Functional(lambda x: x.relu_()),
    "functional relu6": lambda: Functional(F.relu6),
    "clamp": lambda: Functional(lambda x: x.clamp(min=0)),
    "clamp of both": lambda: Functional(lambda x: torch.clamp(x, 0, 6)),
    "clip in place": lambda: Functional(lambda x: x.clip_(0)),
    "threshold": lambda: Functional(lambda x: F.threshold(x, 0.0, 0.0)),
    "scripted": lambda: Functional(scripted),
}
"""Fourteen ways to write max(x, 0), or that up to 6."""

W1 = ((1.0, -2.0), (-1.0, 3.0), (2.0, 1.0))
W2 = ((1.0, 0.5, -1.0), (-2.0, 1.0, 0.5))
V = (1.0, -3.0)
"""score = V · relu(W2 · relu(W1 · x)), with x = (x1, x2)."""


class Chain(nn.Module):
    """Two hidden layers of 1 × 1 convolutions on one pixel of two colours; `share` uses one rectifier for both."""

    def __init__(self, rectifier: Callable[[], nn.Module], *, share: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 1, bias=False).double()
        self.second = nn.Conv2d(3, 2, 1, bias=False).double()
        self.third = nn.Linear(2, 1, bias=False).double()
        self.relu = rectifier()
        self.again = self.relu if share else rectifier()
        for layer, weight in ((self.first, W1), (self.second, W2), (self.third, (V,))):
            layer.weight.data = torch.tensor(weight, dtype=torch.float64).view(layer.weight.shape)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu(self.first(x))
        hidden = self.again(self.second(hidden))
        out: Tensor = self.third(hidden.flatten(1))
        return out


def pixel(x1: float, x2: float) -> Tensor:
    return torch.tensor([x1, x2], dtype=torch.float64).view(1, 2, 1, 1)


def seeded(module: nn.Module, seed: int = 0) -> nn.Module:
    """Fill a module with seeded numbers, its batch norms' statistics too, in double precision and evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval().requires_grad_(False)
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.is_floating_point():
            drawn = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            value.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn / max(1, value[0].numel()) ** 0.5)
    return module


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
