"""Further ways uphill, beside Adam: NAdam, which MACO is published with, and the plain gradient of 2013."""

from __future__ import annotations

import torch
from torch import Tensor

from atlas.inversion.ascent import Ascent


def nadam(
    rate: float, *, slow: float = 0.9, slower: float = 0.999, epsilon: float = 1e-8, decay: float = 4e-3
) -> Ascent:
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


def plain(rate: float) -> Ascent:
    """Follow the gradient itself, at a constant rate."""
    return lambda gradient: rate * gradient
