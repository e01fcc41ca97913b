"""Draw random numbers per picture, so that a picture does not depend on the others in its batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

Draws = Sequence[np.random.Generator]
"""One generator per picture of a batch. NumPy's, since torch's CPU generator keeps only 32 bits of a seed."""

_SEED_BITS = (1 << 64) - 1


def start_draws(seeds: Iterable[int], attempt: int = 0) -> Draws:
    """Start one generator per seed; each attempt at the same seed draws different numbers."""
    return [np.random.default_rng([int(seed) & _SEED_BITS, attempt]) for seed in seeds]


def normal(draws: Draws, shape: tuple[int, ...]) -> Tensor:
    """Draw standard normal numbers `b *shape`."""
    return _stack(draws, lambda draw: draw.standard_normal(shape, dtype=np.float32))


def uniform(draws: Draws, low: float, high: float, shape: tuple[int, ...] = ()) -> Tensor:
    """Draw numbers `b *shape`, uniform between low and high."""
    return _stack(draws, lambda draw: draw.uniform(low, high, shape))


def choice(draws: Draws, values: Sequence[float]) -> Tensor:
    """Draw one of the values for each picture, `b`."""
    return _stack(draws, lambda draw: np.asarray(values[int(draw.integers(len(values)))]))


def _stack(draws: Draws, one: Callable[[np.random.Generator], object]) -> Tensor:
    return torch.from_numpy(np.stack([np.asarray(one(draw), dtype=np.float32) for draw in draws]))
