"""Find groups of pictures that show nearly the same thing at the same place: a watermark, a logo, a date.

The pictures are freed from their large shapes and shadows, and cut into overlapping tiles. A tile of a picture is compared
with those of the others at that place, moved by up to a quarter of a tile, by their correlation over pixels and colours.
A watermark is the mean of a group of tiles that correlate; its members are all pictures that correlate with that mean.
Plain tiles do not count, nor do those with edges of one direction only, such as a horizon: these are alike by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from atlas.arrays import Byte, Float, Int

SIDE, TILES, LEAST_TILE = 112, 7, 8
"""Longer side of the pictures compared, tiles along it, and the least side of a tile."""

ALIKE = 0.6
"""The correlation of two tiles that show nearly the same. With the mean of a group it is larger: see `_members`."""

CONTRAST, CROSSING = 4.0, 0.1
"""The contrast that a tile must have, of 255, and the share of its second direction in its edges."""

EXEMPLARS = 32
"""Pictures whose tiles are compared with those of all: a group of a tenth has one among them in 97 % of cases."""

MOST, SAME = 5, 0.5
"""Watermarks looked for, and the share of the pictures of the smaller of two that makes them one."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """The pictures that have it, `n`, and the box of its tile as shares of height and width: left, top, right, bottom."""

    members: Flags
    box: tuple[float, float, float, float]


def watermarks(pixels: Byte, least: int, others: int = 1) -> list[Watermark]:
    """Return the watermarks that `least` of the pictures `n h w c` share, and `others` or more lack; the most frequent first.

    Of tiles that touch, or share half of their pictures, that with most is returned.
    """
    if len(pixels) < max(2, least):
        return []
    tiles = _Tiles(_details(pixels))
    groups = [(place, members) for place in tiles.places() if (members := _group(tiles, *place, least)) is not None]
    groups.sort(key=lambda group: -int(group[1].sum()))
    chosen: list[tuple[tuple[int, int], Flags]] = []
    for place, members in groups:
        if not any(tiles.near(place, there) or _overlap(members, other) >= SAME for there, other in chosen):
            chosen.append((place, members))
    parts = [(place, members) for place, members in chosen if members.sum() <= len(pixels) - others]
    return [Watermark(members=members, box=tiles.box(*place)) for place, members in parts[:MOST]]


def _details(pixels: Byte) -> Float:
    """Reduce pictures to at most `SIDE`, and subtract from each pixel the mean around it."""
    factor = max(1, round(max(pixels.shape[1:3]) / SIDE))
    height, width = (length // factor * factor for length in pixels.shape[1:3])
    cut = pixels[:, :height, :width].astype(np.float32)
    small = cut.reshape(len(cut), height // factor, factor, width // factor, factor, -1).mean(axis=(2, 4))
    around = max(3, max(small.shape[1:3]) // TILES // 2 | 1)
    return np.asarray(small - _blurred(_blurred(small, around, 1), around, 2), np.float32)


def _blurred(pictures: Float, length: int, axis: int) -> Float:
    """Average over neighbours along an axis; the picture is continued by its edge."""
    pad = [(0, 0)] * pictures.ndim
    pad[axis] = (length // 2, length // 2)
    return np.asarray(sliding_window_view(np.pad(pictures, pad, "edge"), length, axis).mean(axis=-1), np.float32)


class _Tiles:
    """The tiles of pictures `n h w c`, at any place. A tile without its mean has the `length` of a vector there."""

    def __init__(self, pictures: Float) -> None:
        self.pictures, (self.height, self.width) = pictures, pictures.shape[1:3]
        self.side = min(self.height, self.width, max(LEAST_TILE, max(self.height, self.width) // TILES))
        area = self.side**2
        squares = self._sums(pictures.astype(np.float64) ** 2) - self._sums(pictures.astype(np.float64)) ** 2 / area
        length = np.sqrt(np.maximum(squares.sum(axis=-1), 0))
        plain = length < CONTRAST * (area * pictures.shape[-1]) ** 0.5
        self.weight = np.asarray(np.where(plain, 0, 1 / np.maximum(length, 1e-9)), np.float32)
        """One divided by the length, 0 for a plain tile: `n h w` by the upper left corner."""

    def _sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums over all tiles, by their upper left corner."""
        table = np.pad(values.cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0), (0, 0)))
        side = self.side
        sums = table[:, side:, side:] - table[:, :-side, side:] - table[:, side:, :-side] + table[:, :-side, :-side]
        return np.asarray(sums, np.float64)

    def places(self) -> list[tuple[int, int]]:
        """Return the upper left corners of tiles, half a tile apart, and along the far edges."""
        step = max(1, self.side // 2)
        rows, columns = (
            sorted({*range(0, length - self.side, step), length - self.side}) for length in (self.height, self.width)
        )
        return [(y, x) for y in rows for x in columns]

    def around(self, y: int, x: int, step: int) -> list[tuple[int, int]]:
        """Return a place, and those moved from it by up to a quarter of a tile."""
        reach = self.side // 4
        ways = range(-(reach // step) * step, reach + 1, step)
        moved = ((y + down, x + across) for down in ways for across in ways)
        return [(v, u) for v, u in moved if 0 <= v <= self.height - self.side and 0 <= u <= self.width - self.side]

    def flat(self, y: int, x: int, chosen: Int | slice = slice(None)) -> Float:
        """Return the tiles at a place as vectors, `n d`."""
        cut = self.pictures[chosen, y : y + self.side, x : x + self.side]
        return cut.reshape(len(cut), -1)

    def vectors(self, y: int, x: int, chosen: Int) -> Float:
        """Return tiles without their mean, of length 1; zero for one that is plain or has edges of one direction only."""
        cut = self.pictures[chosen, y : y + self.side, x : x + self.side]
        centred = cut - cut.mean(axis=(1, 2), keepdims=True)
        weight = np.where(_crossing(centred) >= CROSSING, self.weight[chosen, y, x], 0)
        return np.asarray(weight[:, None] * centred.reshape(len(cut), -1), np.float32)

    def correlation(self, vectors: Float, y: int, x: int) -> Float:
        """Return the correlation of vectors without a mean, `m d`, with the tiles of all pictures at a place, `m n`."""
        return np.asarray((vectors @ self.flat(y, x).T) * self.weight[:, y, x], np.float32)

    def near(self, first: tuple[int, int], second: tuple[int, int]) -> bool:
        """Tell whether two tiles touch."""
        return all(abs(a - b) <= self.side for a, b in zip(first, second, strict=True))

    def box(self, y: int, x: int) -> tuple[float, float, float, float]:
        """Return the box of a tile as shares of width and height."""
        return x / self.width, y / self.height, (x + self.side) / self.width, (y + self.side) / self.height


def _group(tiles: _Tiles, y: int, x: int, least: int) -> Flags | None:
    """Return the pictures that share a tile at a place, if there are at least `least` of them."""
    count = len(tiles.pictures)
    own = tiles.vectors(y, x, np.random.default_rng(0).permutation(count)[:EXEMPLARS])
    own = own[own.any(axis=1)]
    if not len(own):
        return None
    nearest = np.max([tiles.correlation(own, *place) for place in tiles.around(y, x, step=2)], axis=0)
    alike = (nearest >= ALIKE).sum(axis=1)
    best = int(alike.argmax())
    if alike[best] < max(2, least // 2):
        return None
    members = _members(tiles, y, x, own[best])
    return members if members.sum() >= least else None


def _members(tiles: _Tiles, y: int, x: int, exemplar: Float) -> Flags:
    """Return the pictures that correlate with the mean of the tiles like an exemplar.

    Where tiles are a common picture and independent noise, their correlation with the mean is the root of that with each
    other.
    """
    places = tiles.around(y, x, step=1)
    members = np.zeros(len(tiles.pictures), np.bool_)
    for bound in (ALIKE, ALIKE**0.5):
        nearest = np.stack([tiles.correlation(exemplar[None], *place)[0] for place in places])
        members, best = nearest.max(axis=0) >= bound, nearest.argmax(axis=0)
        exemplar = _mean(tiles, [(i, places[best[i]]) for i in np.flatnonzero(members).tolist()], exemplar)
    return members


def _mean(tiles: _Tiles, chosen: list[tuple[int, tuple[int, int]]], otherwise: Float) -> Float:
    """Return the mean of tiles of pictures at places, without its own mean and of length 1."""
    if not chosen:
        return otherwise
    cuts = [tiles.pictures[i, y : y + tiles.side, x : x + tiles.side] * tiles.weight[i, y, x] for i, (y, x) in chosen]
    mean = np.mean(cuts, axis=0)
    mean = mean - mean.mean(axis=(0, 1))
    return np.asarray(mean.ravel() / max(1e-9, float(np.linalg.norm(mean))), np.float32)


def _crossing(tiles: Float) -> Float:
    """Return the share of the weaker direction of a tile's edges, from 0 to 0.5 (the structure tensor, Förstner 1987)."""
    down, across = (np.diff(tiles, axis=axis)[:, : tiles.shape[1] - 1, : tiles.shape[2] - 1] for axis in (1, 2))
    yy, xx, xy = ((a * b).sum(axis=(1, 2, 3)) for a, b in ((down, down), (across, across), (down, across)))
    weaker = (yy + xx) / 2 - np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
    return np.asarray(weaker / np.maximum(yy + xx, 1e-9), np.float32)


def _overlap(first: Flags, second: Flags) -> float:
    """Return the share of the smaller group that is in both."""
    return float((first & second).sum() / max(1, min(first.sum(), second.sum())))
