"""How numbers climb: from the gradient of an objective to the step to take.

Written here rather than taken from torch.optim, whose import takes more than half as long again as torch's own.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Ascent = Callable[[Tensor], Tensor]
"""Takes the gradient, in every step anew, to what is to be added to the numbers. It remembers, so use it once."""


def adam(rate: float, *, slow: float = 0.9, slower: float = 0.999, epsilon: float = 1e-8) -> Ascent:
    """Start Adam (Kingma & Ba 2014) at a constant rate, uphill."""
    mean, square, steps = torch.zeros(()), torch.zeros(()), 0

    def step(gradient: Tensor) -> Tensor:
        nonlocal mean, square, steps
        steps += 1
        mean = torch.lerp(gradient, mean.to(gradient), slow)
        square = torch.lerp(gradient.square(), square.to(gradient), slower)
        spread = (square / (1 - slower**steps)).sqrt_().add_(epsilon)
        return (mean / spread).mul_(rate / (1 - slow**steps))

    return step
