"""Optimisers: from the gradient of an objective to the step to take.

Written here rather than taken from torch.optim, whose import takes more than half as long again as torch's own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Optimiser = Callable[[Tensor], Tensor]
"""Maps the gradient at each step to the update of the numbers. It has state: use it for one batch only."""


def adam(rate: float, *, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> Optimiser:
    """Start Adam (Kingma & Ba 2014) at a constant rate, as gradient ascent."""
    mean, square, steps = torch.zeros(()), torch.zeros(()), 0

    def step(gradient: Tensor) -> Tensor:
        nonlocal mean, square, steps
        steps += 1
        mean = torch.lerp(gradient, mean.to(gradient), beta1)
        square = torch.lerp(gradient.square(), square.to(gradient), beta2)
        spread = (square / (1 - beta2**steps)).sqrt_().add_(epsilon)
        return (mean / spread).mul_(rate / (1 - beta1**steps))

    return step


class AdamInPlaces:
    """Adam as `adam` has it, for a batch in whose places pictures start at different steps."""

    def __init__(
        self, numbers: Tensor, rate: float, *, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
    ):
        self.rate, self.beta1, self.beta2, self.epsilon = rate, beta1, beta2, epsilon
        self._mean, self._square = torch.zeros_like(numbers), torch.zeros_like(numbers)
        self._steps = torch.zeros(len(numbers), dtype=torch.float64)

    def restart(self, place: int) -> None:
        """Forget the steps of a place: another picture starts there."""
        for state in (self._mean, self._square, self._steps):
            state[place] = 0

    def step(self, gradient: Tensor) -> Tensor:
        """Return the update of the numbers."""
        self._steps += 1
        self._mean = torch.lerp(gradient, self._mean, self.beta1)
        self._square = torch.lerp(gradient.square(), self._square, self.beta2)
        spread = (self._square / self._correction(self.beta2, gradient)).sqrt_().add_(self.epsilon)
        return (self._mean / spread).mul_(self.rate / self._correction(self.beta1, gradient))

    def _correction(self, beta: float, like: Tensor) -> Tensor:
        """Return 1 − βᵗ of each place, in the shape of the numbers."""
        return (1 - beta**self._steps).to(like).view(-1, *[1] * (like.ndim - 1))


def nadam(
    rate: float, *, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, decay: float = 4e-3
) -> Optimiser:
    """Start NAdam (Dozat 2016) with the momentum schedule of torch.optim.NAdam, as gradient ascent."""
    mean, square, steps, product = torch.zeros(()), torch.zeros(()), 0, 1.0

    def step(gradient: Tensor) -> Tensor:
        nonlocal mean, square, steps, product
        steps += 1
        now, later = (beta1 * (1 - 0.5 * 0.96 ** (at * decay)) for at in (steps, steps + 1))
        product *= now
        mean = torch.lerp(gradient, mean.to(gradient), beta1)
        square = torch.lerp(gradient.square(), square.to(gradient), beta2)
        spread = (square / (1 - beta2**steps)).sqrt_().add_(epsilon)
        ahead: Tensor = gradient * ((1 - now) / (1 - product)) + mean * (later / (1 - product * later))
        return (ahead / spread).mul_(rate)

    return step


def plain(rate: float) -> Optimiser:
    """Follow the gradient itself, at a constant rate."""
    return lambda gradient: rate * gradient
