"""Keep the strongest patches of every unit where the activations are, without a value being asked for by the host.

A candidate's 64-bit key is its score, 32 bits in the order of the numbers, above its place in the total order of a
shard, 31 bits. So keys differ, and the smallest are exactly the strongest patches, in order; `torch.topk`, which is not
stable, can't go wrong on them. What was kept before is one more part of the next block: no merge of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

EMPTY = (1 << 63) - 1
"""The key of no patch; beyond any real one."""
ORDER_BITS = 31


@dataclass(frozen=True, slots=True)
class RunningTopK:
    """The best `keys` and `places` so far, `k units`, best first; `images` that have the best value, `units`."""

    sign: str
    keys: Tensor
    places: Tensor
    images: Tensor

    @classmethod
    def empty(cls, units: int, sign: str, capacity: int, device: torch.device) -> RunningTopK:
        keys = torch.full((capacity, units), EMPTY, dtype=torch.int64, device=device)
        images = torch.zeros(units, dtype=torch.int64, device=device)
        return cls(sign, keys, torch.full_like(keys, -1, dtype=torch.int32), images)

    def merge(self, value: Tensor, place: Tensor, order: Tensor) -> RunningTopK:
        """Return the best of these and of the images' candidates `n m units`, with their places in the total order `n m`.

        NaN and infinities are left out. An image must not come twice.
        """
        capacity, units = self.keys.shape
        keys = torch.cat([self.keys, _keys(value, order, self.sign).reshape(-1, units)])
        places = torch.cat([self.places, place.reshape(-1, units)])
        chosen = keys.topk(capacity, dim=0, largest=False, sorted=True)
        before, now = (values_of(kept[0], self.sign) for kept in (self.keys, chosen.values))
        images = torch.where(before == now, self.images, 0) + (value == now).any(dim=1).sum(dim=0)
        return RunningTopK(self.sign, chosen.values, places.gather(0, chosen.indices), images)

    def packed(self) -> Tensor:
        """Return everything as one tensor `2k + 1 units`, to be copied at once."""
        return torch.cat([self.keys, self.places.to(torch.int64), self.images[None]])


def values_of(keys: Tensor, sign: str) -> Tensor:
    """Return the activations in keys; −inf (+inf on the negative side) for none."""
    score = _reversible((keys >> ORDER_BITS).to(torch.int32)).view(torch.float32)
    value = (-score if sign == "positive" else score) + 0.0
    return torch.where(keys == EMPTY, -torch.inf if sign == "positive" else torch.inf, value)


def order_of(keys: Tensor) -> Tensor:
    """Return the places in the total order of a shard in keys; of no patch, any number."""
    return keys & ((1 << ORDER_BITS) - 1)


def _keys(value: Tensor, order: Tensor, sign: str) -> Tensor:
    score = (-value if sign == "positive" else value) + 0.0  # −0.0 is 0.0
    high = _reversible(score.view(torch.int32)).to(torch.int64) << ORDER_BITS
    return torch.where(torch.isfinite(value), high + order[..., None], EMPTY)


def _reversible(bits: Tensor) -> Tensor:
    """Turn the bits of a float32 into an int32 in the order of the numbers, and back."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)
