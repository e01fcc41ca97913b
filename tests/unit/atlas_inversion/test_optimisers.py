"""NAdam and the plain gradient by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from atlas.inversion import optimisers


def slope(at: Tensor) -> Tensor:
    """Of −(x − 1)⁴ + sin 3x."""
    return -4 * (at - 1) ** 3 + 3 * torch.cos(3 * at)


def by_hand(at: np.ndarray, rate: float) -> np.ndarray:
    """The formulas of torch.optim.NAdam's documentation, maximising, 30 steps (it gives the same to 1e-6)."""
    mean, square, product = np.zeros_like(at), np.zeros_like(at), 1.0
    for t in range(1, 31):
        grad = -slope(torch.from_numpy(at)).numpy()
        now = 0.9 * (1 - 0.5 * 0.96 ** (t * 0.004))
        later = 0.9 * (1 - 0.5 * 0.96 ** ((t + 1) * 0.004))
        product *= now
        mean = 0.9 * mean + 0.1 * grad
        square = 0.999 * square + 0.001 * grad**2
        ahead = later * mean / (1 - product * later) + (1 - now) * grad / (1 - product)
        at = at - rate * ahead / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
    return at


def gap(rate: float = 1.0) -> float:
    at = torch.linspace(-2, 2, 7, dtype=torch.float64)
    wanted, step = by_hand(at.numpy(), rate), optimisers.nadam(rate)
    for _ in range(30):
        at = at + step(slope(at))
    return float(np.abs(at.numpy() - wanted).max())


@pytest.mark.parametrize("rate", [1.0, 0.05])
def test_nadam_by_hand(rate: float) -> None:
    assert gap(rate) < 1e-9


def test_mutant_another_momentum_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = optimisers.nadam
    monkeypatch.setattr(optimisers, "nadam", lambda rate: real(rate, decay=0.0))
    assert gap() > 1e-3


def test_plain_is_the_gradient_times_the_rate() -> None:
    assert optimisers.plain(6.0)(torch.tensor([0.5, -1.0])).tolist() == [3.0, -6.0]
