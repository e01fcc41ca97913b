"""Optimisers: from the gradient of an objective to the step to take.

Written here rather than taken from torch.optim, whose import takes more than half as long again as torch's own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[Tensor], Tensor]
"""Takes the gradient, in every step anew, to what is to be added to the numbers. It remembers, so use it once."""


def adam(rate: float, *, slow: float = 0.9, slower: float = 0.999, epsilon: float = 1e-8) -> Step:
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


def nadam(rate: float, *, slow: float = 0.9, slower: float = 0.999, epsilon: float = 1e-8, decay: float = 4e-3) -> Step:
    """Start NAdam (Dozat 2016) uphill, with the momentum schedule of torch.optim.NAdam."""
    mean, square, steps, product = torch.zeros(()), torch.zeros(()), 0, 1.0

    def step(gradient: Tensor) -> Tensor:
        nonlocal mean, square, steps, product
        steps += 1
        now, later = (slow * (1 - 0.5 * 0.96 ** (at * decay)) for at in (steps, steps + 1))
        product *= now
        mean = torch.lerp(gradient, mean.to(gradient), slow)
        square = torch.lerp(gradient.square(), square.to(gradient), slower)
        spread = (square / (1 - slower**steps)).sqrt_().add_(epsilon)
        ahead: Tensor = gradient * ((1 - now) / (1 - product)) + mean * (later / (1 - product * later))
        return (ahead / spread).mul_(rate)

    return step


def plain(rate: float) -> Step:
    """Follow the gradient itself, at a constant rate."""
    return lambda gradient: rate * gradient
