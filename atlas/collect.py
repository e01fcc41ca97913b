"""What one pass over a shard keeps of a layer: sampled vectors, the strongest patches, and counts.

A layer's activations `b c h w` are reduced where they are made (on the device, batch by batch); what stays per image
and unit is one value and one position for each sign. Nothing else of them is kept, so memory follows the shard, never
the set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas import sampling, topk
from atlas.arrays import CAPACITY, SIGNS, Int, Layer, Samples, TopK


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One layer's result for one shard.

    `extreme` and `extreme_count` are, per sign and unit, the best value and how many images share it (ties decide where
    that is many); `nonfinite` counts NaN and infinities per unit; `images` is how many images took part.
    """

    samples: Samples
    top: dict[str, TopK]
    extreme: dict[str, NDArray[np.float32]]
    extreme_count: dict[str, Int]
    nonfinite: Int
    images: int


class LayerReduction:
    """Reduce one layer's activations over the images of one shard, whose ids and key hashes are given `n`, `n`."""

    def __init__(
        self,
        layer: Layer,
        image_id: Int,
        key_hash: NDArray[np.uint64],
        *,
        seed: int,
        samples_per_image: int = 1,
        patches_per_image: int = 1,
        capacity: int = CAPACITY,
    ) -> None:
        self.layer, self.image_id, self.key_hash = layer, image_id, key_hash
        self.capacity = capacity
        self.patches = min(patches_per_image, layer.height * layer.width)
        n = len(image_id)
        places = [
            sampling.positions(seed, key_hash, layer.height, layer.width, sample=s) for s in range(samples_per_image)
        ]
        self.y = np.stack([place[0] for place in places], axis=1)
        self.x = np.stack([place[1] for place in places], axis=1)
        self.used = np.zeros(n, np.bool_)
        self._nonfinite: dict[int, Int] = {}  # by image, so that a batch that comes again is counted once
        self._vectors = np.zeros((n, samples_per_image, layer.units), np.float32)
        self._value = {s: np.full((n, self.patches, layer.units), np.nan, np.float32) for s in SIGNS}
        self._place = {s: np.full((n, self.patches, layer.units), -1, np.int32) for s in SIGNS}

    def add(self, first: int, activation: Tensor, valid: NDArray[np.bool_]) -> None:
        """Take in the activations `b c h w` of the images from `first` on; rows not valid count for nothing."""
        count = min(len(activation), len(self.image_id) - first)
        rows = slice(first, first + count)
        activation = activation[:count].float()
        self.used[rows] = valid[:count]
        self._vectors[rows] = self._gather(activation, rows).cpu().numpy()
        flat = activation.permute(0, 2, 3, 1).flatten(1, 2)  # b (h w) c: what channels-last already is in memory
        finite = True
        for sign in SIGNS:
            value, place = self._strongest(flat, sign)
            finite = finite and bool(torch.isfinite(value).all())
            self._value[sign][rows], self._place[sign][rows] = value.cpu().numpy(), place.cpu().numpy()
        if not finite:
            self._add_nonfinite(rows, flat, valid[:count])

    def finish(self) -> Part:
        """Return the shard's part; images that never came are marked gaps."""
        for sign in SIGNS:
            self._value[sign][~self.used] = np.nan
        top = {sign: self._select(sign) for sign in SIGNS}
        extreme = {sign: top[sign].value[:, 0].copy() for sign in SIGNS}
        shares = {sign: np.nansum(self._value[sign] == extreme[sign], axis=(0, 1)).astype(np.int64) for sign in SIGNS}
        return Part(
            samples=self._samples(),
            top=top,
            extreme=extreme,
            extreme_count=shares,
            nonfinite=sum(self._nonfinite.values(), np.zeros(self.layer.units, np.int64)),
            images=int(self.used.sum()),
        )

    def _gather(self, activation: Tensor, rows: slice) -> Tensor:
        """Return the vectors `b s c` at the sampled positions."""
        y = torch.from_numpy(self.y[rows].astype(np.int64)).to(activation.device)
        x = torch.from_numpy(self.x[rows].astype(np.int64)).to(activation.device)
        image = torch.arange(len(activation), device=activation.device)[:, None]
        return activation[image, :, y, x]

    def _strongest(self, flat: Tensor, sign: str) -> tuple[Tensor, Tensor]:
        """Return values and flat positions `b m c` of each image's best m positions, in row-major order of position."""
        if self.patches == 1:
            # The first of equals is returned, on every device: torch documents it for max and min along a dimension.
            best = flat.max(dim=1, keepdim=True) if sign == "positive" else flat.min(dim=1, keepdim=True)
            return best.values, best.indices.to(torch.int32)
        order = flat.sort(dim=1, descending=sign == "positive", stable=True).indices[:, : self.patches]
        place = order.sort(dim=1).values
        return flat.gather(1, place), place.to(torch.int32)

    def _add_nonfinite(self, rows: slice, flat: Tensor, valid: NDArray[np.bool_]) -> None:
        """Count NaN and infinities, and find the strongest finite positions of the images that have any."""
        wrong = ~torch.isfinite(flat)
        wrong[torch.from_numpy(~valid).to(flat.device)] = False
        for start, counted in enumerate(wrong.sum(dim=1).cpu().numpy(), rows.start):
            self._nonfinite[start] = counted
        for sign in SIGNS:
            worst = -torch.inf if sign == "positive" else torch.inf
            cleaned = torch.where(torch.isfinite(flat), flat, torch.full_like(flat, worst))
            value, place = self._strongest(cleaned, sign)
            self._value[sign][rows], self._place[sign][rows] = value.cpu().numpy(), place.cpu().numpy()

    def _select(self, sign: str) -> TopK:
        units, width = self.layer.units, self.layer.width
        place = self._place[sign].reshape(-1, units)
        return topk.select(
            self._value[sign].reshape(-1, units),
            np.repeat(self.image_id, self.patches),
            np.repeat(self.key_hash, self.patches),
            (place // width).astype(np.int32),
            (place % width).astype(np.int32),
            sign,
            self.capacity,
        )

    def _samples(self) -> Samples:
        """Return the samples image by image; a gap keeps its image_id, and y = x = −1."""
        repeat = self.y.shape[1]
        gap = ~np.repeat(self.used, repeat)
        vectors = self._vectors.reshape(-1, self.layer.units)
        vectors[gap] = 0
        return Samples(
            activations=vectors,
            image_id=np.repeat(self.image_id, repeat),
            y=np.where(gap, np.int32(-1), self.y.reshape(-1)).astype(np.int32),
            x=np.where(gap, np.int32(-1), self.x.reshape(-1)).astype(np.int32),
        )
