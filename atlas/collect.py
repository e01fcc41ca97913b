"""Reduce a layer's activations over one shard to sampled vectors, the strongest patches, and counts.

Activations `b c h w` are reduced batch by batch to one value and one position per image, unit and sign, and a block of
images to its strongest patches and counts, all of it where the activations are. The host copies a block's vectors while
the next block is computed, and the rest once a shard; it never waits for a value. Memory grows with the shard, not with
the set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas import running_topk, sampling, topk, transfers
from atlas.arrays import CAPACITY, SIGNS, Float, Int, Layer, Peaks, Samples, TopK
from atlas.running_topk import RunningTopK


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

    def parcels(self, images: slice, value: Tensor, place: Tensor) -> list[tuple[Tensor, transfers.Take]]:
        """Return one block's values and places `signs n units`, of these images, to be sent to the table."""
        finite = torch.isfinite(value)
        return [
            (torch.where(finite, value + 0.0, torch.nan).permute(2, 0, 1).contiguous(), _into(self._value, images)),
            (torch.where(finite, place, 0).permute(2, 0, 1).contiguous(), _into(self._place, images)),
        ]  # −0.0 is 0.0

    def finish(self, image_id: Int, key_hash: NDArray[np.uint64]) -> Peaks:
        y, x = np.divmod(self._place, np.int32(self._width))
        return Peaks(image_id=image_id, key_hash=key_hash, value=self._value, y=y, x=x)


def _into(table: NDArray[Any], images: slice) -> transfers.Take:
    """Return the reader of a block: it goes into these last places of a table."""

    def take(block: NDArray[Any]) -> None:
        table[..., images] = block

    return take


BLOCK = 2048
"""Images whose best values are buffered before they are merged into the strongest patches; this bounds memory."""


class TooManyCandidates(ValueError):
    """A shard has more candidates for the strongest patches than their keys can tell apart."""


class LayerReduction:
    """Reduces one layer's activations over the images of one shard, with their ids and key hashes `n`, `n`.

    Images come in order, in batches that do not cross a multiple of `block`, on `device`.
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
        device: torch.device | str = "cpu",
    ) -> None:
        self.layer, self.image_id, self.key_hash = layer, image_id, key_hash
        self.capacity, self.device = capacity, torch.device(device)
        self.patches = min(patches_per_image, layer.height * layer.width)
        n = len(image_id)
        if n * self.patches >= 1 << running_topk.ORDER_BITS:
            raise TooManyCandidates(f"{n} images of {self.patches} patches")
        places = [
            sampling.positions(seed, key_hash, layer.height, layer.width, sample=s, edges=not layer.placed)
            for s in range(samples_per_image)
        ]
        self.y = np.stack([place[0] for place in places], axis=1)
        self.x = np.stack([place[1] for place in places], axis=1)
        self.used = np.zeros(n, np.bool_)
        self._at = transfers.upload(self.y.astype(np.int64) * layer.width + self.x, self.device)
        self._rows_by_hash = np.lexsort((image_id, key_hash))
        self._order = transfers.upload(self._places_in_order(), self.device)
        self._vectors = np.zeros((n, samples_per_image, layer.units), np.float32)
        self._block, self._start = block, 0
        self._buffer = _Buffer(min(n, block), self.patches, samples_per_image, layer.units, self.device)
        self._nonfinite = torch.zeros(layer.units, dtype=torch.int64, device=self.device)
        self._top = {sign: RunningTopK.empty(layer.units, sign, capacity, self.device) for sign in SIGNS}
        self._peaks = _PeakTable(layer, n) if keep_peaks else None
        self._delivery = transfers.Delivery(self.device)

    def add(self, first: int, activation: Tensor, valid: NDArray[np.bool_]) -> None:
        """Add the activations `b c h w` of the images from `first` on; rows that are not valid are ignored."""
        while first >= self._start + self._block:  # several times if many images are missing
            self._fold()
        count = min(len(activation), len(self.image_id) - first)
        rows = slice(first, first + count)
        block_rows = slice(first - self._start, first - self._start + count)
        self.used[rows] = valid[:count]
        flat = _wide(activation[:count]).permute(0, 2, 3, 1).flatten(1, 2)  # b (h w) c, as channels-last is in memory
        at = self._at[rows, :, None].expand(-1, -1, flat.shape[2])
        self._buffer.vectors[block_rows] = flat.gather(1, at)
        if not self._add_finite(block_rows, flat):
            self._add_nonfinite(block_rows, flat)

    def finish(self) -> Part:
        """Return the shard's part; missing images are marked as gaps."""
        self._fold()
        arrays: list[NDArray[Any]] = []
        self._delivery.send(
            (torch.cat([*(self._top[sign].packed() for sign in SIGNS), self._nonfinite[None]]), arrays.append)
        )
        self._delivery.finish()
        size = 2 * self.capacity + 1
        packed = {sign: arrays[0][number * size : (number + 1) * size] for number, sign in enumerate(SIGNS)}
        top = {sign: self._unpacked(sign, packed[sign]) for sign in SIGNS}
        return Part(
            samples=self._samples(),
            top=top,
            extreme={sign: top[sign].value[:, 0].copy() for sign in SIGNS},
            extreme_count={sign: packed[sign][-1].copy() for sign in SIGNS},
            nonfinite=arrays[0][-1].copy(),
            images=int(self.used.sum()),
            peaks=self._peaks.finish(self.image_id, self.key_hash) if self._peaks is not None else None,
        )

    def _places_in_order(self) -> Int:
        """Return the places of the shard's candidates `n m` in the order of key hash, y and x."""
        rank = np.empty(len(self.image_id), np.int64)
        rank[self._rows_by_hash] = np.arange(len(rank))
        return rank[:, None] * self.patches + np.arange(self.patches)

    def _fold(self) -> None:
        """Merge the block's best values into the strongest patches, and begin the next block.

        Memory may run out in between: nothing counts before everything is there, or is sent where it may come twice.
        """
        rows = slice(self._start, min(self._start + self._block, len(self.image_id)))
        count = rows.stop - rows.start
        if count > 0:
            value, place, order = self._buffer.value[:, :count], self._buffer.place[:, :count], self._order[rows]
            used = transfers.upload(self.used[rows], self.device)
            value = torch.where(used[:, None, None], value, torch.nan)
            wrong = torch.where(used[:, None], self._buffer.wrong[:count], 0).sum(dim=0, dtype=torch.int64)
            top = {sign: self._top[sign].merge(value[i], place[i], order) for i, sign in enumerate(SIGNS)}
            parcels = [] if self._peaks is None else self._peaks.parcels(rows, value[:, :, 0], place[:, :, 0])
            self._delivery.send((self._buffer.vectors[:count], self._take_vectors(rows)), *parcels)
            self._top, self._nonfinite = top, self._nonfinite + wrong
        self._start += self._block

    def _take_vectors(self, rows: slice) -> transfers.Take:
        def take(block: NDArray[Any]) -> None:
            self._vectors[rows] = block

        return take

    def _strongest(self, flat: Tensor, sign: str) -> tuple[Tensor, Tensor]:
        """Return values and flat positions `b m c` of each image's best m positions, in row-major order of position."""
        if self.patches == 1:
            # Ties return the first on every device: torch documents this for max and min along a dimension.
            best = flat.max(dim=1, keepdim=True) if sign == "positive" else flat.min(dim=1, keepdim=True)
            return best.values, best.indices.to(torch.int32)
        order = flat.sort(dim=1, descending=sign == "positive", stable=True).indices[:, : self.patches]
        place = order.sort(dim=1).values
        return flat.gather(1, place), place.to(torch.int32)

    def _add_finite(self, rows: slice, flat: Tensor) -> bool:
        """Add a batch without NaN and infinities, which their best values show; return whether it is one.

        A shortcut for the CPU: on a device the host would wait for the answer.
        """
        if self.device.type != "cpu":
            return False
        best = [self._strongest(flat, sign) for sign in SIGNS]
        if not all(bool(torch.isfinite(value).all()) for value, _ in best):
            return False
        for number, (value, place) in enumerate(best):
            self._buffer.value[number, rows], self._buffer.place[number, rows] = value, place
        self._buffer.wrong[rows] = 0
        return True

    def _add_nonfinite(self, rows: slice, flat: Tensor) -> None:
        """Count a batch's NaN and infinities by image, so that one added twice counts once; add the finite values."""
        self._buffer.wrong[rows] = (~torch.isfinite(flat)).sum(dim=1, dtype=torch.int32)
        for number, sign in enumerate(SIGNS):
            worst = -torch.inf if sign == "positive" else torch.inf
            value, place = self._strongest(torch.nan_to_num(flat, nan=worst, posinf=worst, neginf=worst), sign)
            self._buffer.value[number, rows], self._buffer.place[number, rows] = value, place

    def _unpacked(self, sign: str, packed: Int) -> TopK:
        """Return the strongest patches from keys and places `2k + 1 units`, which are in their order."""
        keys, places = (np.ascontiguousarray(part.T) for part in (packed[: self.capacity], packed[self.capacity : -1]))
        tensor, place = torch.from_numpy(keys), places.astype(np.int32)
        none = keys == running_topk.EMPTY
        order = np.where(none, 0, transfers.array(running_topk.order_of(tensor)))
        row = self._rows_by_hash[order // self.patches]
        best = TopK(
            value=transfers.array(running_topk.values_of(tensor, sign)),
            image_id=self.image_id[row],
            key_hash=self.key_hash[row],
            y=place // self.layer.width,
            x=place % self.layer.width,
        )
        return topk.clear(best, none, sign)

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


class _Buffer:
    """A block's best values and places `signs n m units`, sampled vectors, and numbers of NaN and infinities by image."""

    def __init__(self, images: int, patches: int, samples: int, units: int, device: torch.device) -> None:
        best = (len(SIGNS), images, patches, units)
        self.value = torch.zeros(best, device=device)
        self.place = torch.zeros(best, dtype=torch.int32, device=device)
        self.vectors = torch.zeros(images, samples, units, device=device)
        self.wrong = torch.zeros(images, units, dtype=torch.int32, device=device)


def _wide(activation: Tensor) -> Tensor:
    """Return activations in float32; on a device half precision as it is, which has the same order and is read sooner."""
    half = activation.dtype in (torch.bfloat16, torch.float16)
    return activation if half and activation.device.type != "cpu" else activation.float()
