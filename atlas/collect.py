"""Reduce a layer's activations over one shard to sampled vectors, the strongest patches, and counts.

Activations `b c h w` are reduced on the device, batch by batch, to one value and one position per image, unit and sign.
Nothing else is retained, so memory grows with the shard, not with the set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas import sampling, topk
from atlas.arrays import CAPACITY, SIGNS, Float, Int, Layer, Peaks, Samples, TopK


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One layer's result for one shard.

    `extreme` and `extreme_count` are, per sign and unit, the best value and the number of images that share it (if many
    do, ties decide the ranking); `nonfinite` counts NaN and infinities per unit; `images` counts the images included.
    `peaks` are there if they are kept.
    """

    samples: Samples
    top: dict[str, TopK]
    extreme: dict[str, NDArray[np.float32]]
    extreme_count: dict[str, Int]
    nonfinite: Int
    images: int
    peaks: Peaks | None = None


@dataclass(frozen=True, slots=True)
class Extremes:
    """The best value of each unit so far and the number of images that have it. Merges over disjoint sets of images."""

    value: Float
    images: Int

    @classmethod
    def empty(cls, units: int, sign: str) -> Extremes:
        return cls(topk.empty(units, sign, 1).value[:, 0].copy(), np.zeros(units, np.int64))

    @classmethod
    def of(cls, values: Float, best: TopK) -> Extremes:
        """Count the images that have the best value, given values `n m units` and the patches `best` among them."""
        extreme = best.value[:, 0].copy()
        return cls(extreme, (values == extreme).any(axis=1).sum(axis=0).astype(np.int64))

    def merge(self, other: Extremes, sign: str) -> Extremes:
        best = (np.maximum if sign == "positive" else np.minimum)(self.value, other.value)
        counts = [np.where(part.value == best, part.images, 0) for part in (self, other)]
        return Extremes(best, counts[0] + counts[1])


class _PeakTable:
    """The best value of each unit in each image of a shard, and its place, kept instead of dropped."""

    def __init__(self, layer: Layer, images: int) -> None:
        shape = (layer.units, len(SIGNS), images)
        self._width = layer.width
        self._value, self._place = np.full(shape, np.nan, np.float32), np.zeros(shape, np.int32)

    def add(self, sign: str, first: int, value: Float, place: NDArray[np.int32]) -> None:
        """Add one block's values and places `n 1 units`, of the images from `first` on."""
        number, images = SIGNS.index(sign), slice(first, first + len(value))
        finite = np.isfinite(value[:, 0])
        self._value[:, number, images] = np.where(finite, value[:, 0] + np.float32(0), np.nan).T  # −0.0 is 0.0
        self._place[:, number, images] = np.where(finite, place[: len(value), 0], 0).T

    def finish(self, image_id: Int, key_hash: NDArray[np.uint64]) -> Peaks:
        y, x = np.divmod(self._place, np.int32(self._width))
        return Peaks(image_id=image_id, key_hash=key_hash, value=self._value, y=y, x=x)


BLOCK = 2048
"""Images whose best values are buffered before they are merged into the strongest patches; this bounds memory."""


class LayerReduction:
    """Reduces one layer's activations over the images of one shard, with their ids and key hashes `n`, `n`.

    Images come in order, in batches that do not cross a multiple of `block`.
    """

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
        block: int = BLOCK,
        keep_peaks: bool = False,
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
        self.nonfinite = np.zeros(layer.units, np.int64)
        self._nonfinite: dict[int, Int] = {}  # by image, so that a repeated batch is counted once
        self._vectors = np.zeros((n, samples_per_image, layer.units), np.float32)
        self._block, self._start = block, 0
        shape = (min(n, block), self.patches, layer.units)
        self._value = {sign: np.full(shape, np.nan, np.float32) for sign in SIGNS}
        self._place = {sign: np.full(shape, -1, np.int32) for sign in SIGNS}
        self._top = {sign: topk.empty(layer.units, sign, capacity) for sign in SIGNS}
        self._extremes = {sign: Extremes.empty(layer.units, sign) for sign in SIGNS}
        self._peaks = _PeakTable(layer, n) if keep_peaks else None

    def add(self, first: int, activation: Tensor, valid: NDArray[np.bool_]) -> None:
        """Add the activations `b c h w` of the images from `first` on; rows that are not valid are ignored."""
        while first >= self._start + self._block:  # several times if many images are missing
            self._fold()
        count = min(len(activation), len(self.image_id) - first)
        rows = slice(first, first + count)
        block_rows = slice(first - self._start, first - self._start + count)
        activation = activation[:count].float()
        self.used[rows] = valid[:count]
        self._vectors[rows] = self._gather(activation, rows).cpu().numpy()
        flat = activation.permute(0, 2, 3, 1).flatten(1, 2)  # b (h w) c: what channels-last already is in memory
        finite = True
        for sign in SIGNS:
            value, place = self._strongest(flat, sign)
            finite = finite and bool(torch.isfinite(value).all())
            self._value[sign][block_rows], self._place[sign][block_rows] = value.cpu().numpy(), place.cpu().numpy()
        if not finite:
            self._add_nonfinite(block_rows, flat, valid[:count])

    def finish(self) -> Part:
        """Return the shard's part; missing images are marked as gaps."""
        self._fold()
        return Part(
            samples=self._samples(),
            top=self._top,
            extreme={sign: self._extremes[sign].value for sign in SIGNS},
            extreme_count={sign: self._extremes[sign].images for sign in SIGNS},
            nonfinite=self.nonfinite,
            images=int(self.used.sum()),
            peaks=self._peaks.finish(self.image_id, self.key_hash) if self._peaks is not None else None,
        )

    def _fold(self) -> None:
        """Merge the block's best values into the strongest patches, and begin the next block."""
        rows = slice(self._start, self._start + self._block)
        unused = ~self.used[rows]
        for sign in SIGNS:
            value = self._value[sign][: len(unused)]
            value[unused] = np.nan
            if self._peaks is not None:
                self._peaks.add(sign, rows.start, value, self._place[sign])
            strongest = self._select(sign, rows, value)
            self._top[sign] = topk.merge([self._top[sign], strongest], sign, self.capacity)
            self._extremes[sign] = self._extremes[sign].merge(Extremes.of(value, strongest), sign)
            self._value[sign][:] = np.nan
        self.nonfinite += sum(self._nonfinite.values(), np.zeros(self.layer.units, np.int64))
        self._nonfinite = {}
        self._start += self._block

    def _gather(self, activation: Tensor, rows: slice) -> Tensor:
        """Return the vectors `b s c` at the sampled positions."""
        y = torch.from_numpy(self.y[rows].astype(np.int64)).to(activation.device)
        x = torch.from_numpy(self.x[rows].astype(np.int64)).to(activation.device)
        image = torch.arange(len(activation), device=activation.device)[:, None]
        return activation[image, :, y, x]

    def _strongest(self, flat: Tensor, sign: str) -> tuple[Tensor, Tensor]:
        """Return values and flat positions `b m c` of each image's best m positions, in row-major order of position."""
        if self.patches == 1:
            # Ties return the first on every device: torch documents this for max and min along a dimension.
            best = flat.max(dim=1, keepdim=True) if sign == "positive" else flat.min(dim=1, keepdim=True)
            return best.values, best.indices.to(torch.int32)
        order = flat.sort(dim=1, descending=sign == "positive", stable=True).indices[:, : self.patches]
        place = order.sort(dim=1).values
        return flat.gather(1, place), place.to(torch.int32)

    def _add_nonfinite(self, block_rows: slice, flat: Tensor, valid: NDArray[np.bool_]) -> None:
        """Count NaN and infinities, and find the strongest finite positions of the images that have any."""
        nonfinite = ~torch.isfinite(flat)
        nonfinite[torch.from_numpy(~valid).to(flat.device)] = False
        for row, counted in enumerate(nonfinite.sum(dim=1).cpu().numpy(), block_rows.start):
            self._nonfinite[row] = counted
        for sign in SIGNS:
            worst = -torch.inf if sign == "positive" else torch.inf
            cleaned = torch.where(torch.isfinite(flat), flat, torch.full_like(flat, worst))
            value, place = self._strongest(cleaned, sign)
            self._value[sign][block_rows], self._place[sign][block_rows] = value.cpu().numpy(), place.cpu().numpy()

    def _select(self, sign: str, rows: slice, value: Float) -> TopK:
        units, width = self.layer.units, self.layer.width
        place = self._place[sign][: len(value)].reshape(-1, units)
        return topk.select(
            value.reshape(-1, units),
            np.repeat(self.image_id[rows], self.patches),
            np.repeat(self.key_hash[rows], self.patches),
            (place // width).astype(np.int32),
            (place % width).astype(np.int32),
            sign,
            self.capacity,
        )

    def _samples(self) -> Samples:
        """Return the samples image by image; a gap has its image_id, and y = x = −1."""
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
