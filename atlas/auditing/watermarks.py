"""Find groups of pictures that show nearly the same thing at the same place: a watermark, a logo, a date.

The pictures are freed from their large shapes and shadows, and cut into overlapping tiles. A tile of a picture is compared
with those of the others at that place, moved by up to a quarter of a tile, by their correlation over pixels and colours.
A watermark is the mean of a group of tiles that correlate; its members are all pictures that correlate with that mean.
Plain tiles do not count, nor do those with edges of one direction only, such as a horizon: these are alike by chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from atlas.arrays import Byte, Float

SIDE, TILES, LEAST_TILE = 112, 7, 4
"""Longer side of the pictures compared, tiles along it, and the least side of a tile."""

ALIKE = 0.6
"""The correlation of two tiles that show nearly the same. With the mean of a group it is larger: see `_members`."""

CONTRAST, CROSSING = 4.0, 0.1
"""The contrast that a tile must have, of 255, and the share of its second direction in its edges."""

EXEMPLARS = 32
"""Pictures whose tiles are compared with those of all: a group of a tenth has one among them in 97 % of cases."""

MOST = 5
"""Watermarks looked for."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """The pictures that have it, `n`, and the box of its tile as shares of height and width: left, top, right, bottom."""

    members: Flags
    box: tuple[float, float, float, float]


def watermarks(pixels: Byte, least: int) -> list[Watermark]:
    """Return the watermarks that at least `least` of the pictures `n h w c` share, but not all; the most frequent first.

    Of tiles that share half of their pictures, that with most is returned.
    """
    if len(pixels) < max(2, least):
        return []
    fine = _details(pixels)
    side = max(LEAST_TILE, max(fine.shape[1:3]) // TILES)
    groups = [
        (place, members) for place in _places(fine, side) if (members := _group(fine, side, *place, least)) is not None
    ]
    groups.sort(key=lambda group: -int(group[1].sum()))
    chosen: list[tuple[tuple[int, int], Flags]] = []
    for place, members in groups:
        if all(_overlap(members, other) < 0.5 for _, other in chosen):
            chosen.append((place, members))
    return [Watermark(members=members, box=_box(fine, side, *place)) for place, members in chosen[:MOST]]


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


def _places(fine: Float, side: int) -> Iterator[tuple[int, int]]:
    """Yield the upper left corners of tiles, half a tile apart, and along the far edges."""
    rows, columns = (
        sorted({*range(0, max(1, length - side), max(1, side // 2)), max(0, length - side)})
        for length in fine.shape[1:3]
    )
    for y in rows:
        for x in columns:
            yield y, x


def _group(fine: Float, side: int, y: int, x: int, least: int) -> Flags | None:
    """Return the pictures that share a tile at a place, if there are at least `least` of them, and others."""
    drawn = np.random.default_rng(0).permutation(len(fine))[:EXEMPLARS]
    own = _vectors(fine[drawn, y : y + side, x : x + side])
    if not own.any():
        return None
    nearest = np.full((len(own), len(fine)), -1.0, np.float32)
    for tiles in _moved(fine, side, y, x, step=2):
        np.maximum(nearest, own @ _vectors(tiles).T, out=nearest)
    alike = nearest >= ALIKE
    best = int(alike.sum(axis=1).argmax())
    if alike[best].sum() < max(2, least // 2):
        return None
    members = _members(fine, side, y, x, own[best])
    return members if least <= members.sum() < len(members) else None


def _members(fine: Float, side: int, y: int, x: int, exemplar: Float) -> Flags:
    """Return the pictures that correlate with the mean of the tiles like an exemplar.

    Where tiles are a common picture and independent noise, their correlation with the mean is the root of that with each
    other.
    """
    vectors = [_vectors(tiles) for tiles in _moved(fine, side, y, x, step=1)]
    for bound in (ALIKE, ALIKE**0.5):
        nearest = np.stack([tiles @ exemplar for tiles in vectors])
        best = nearest.argmax(axis=0)
        members = nearest.max(axis=0) >= bound
        chosen = np.stack([vectors[way][i] for i, way in enumerate(best.tolist())])[members]
        total = chosen.sum(axis=0)
        exemplar = total / max(1e-9, float(np.linalg.norm(total)))
    return np.asarray(members, np.bool_)


def _moved(fine: Float, side: int, y: int, x: int, step: int) -> Iterator[Float]:
    """Yield the tiles of all pictures at a place and moved from it by up to a quarter of their side."""
    reach, (height, width) = side // 4, fine.shape[1:3]
    for top in range(max(0, y - reach), min(height - side, y + reach) + 1, step):
        for left in range(max(0, x - reach), min(width - side, x + reach) + 1, step):
            yield fine[:, top : top + side, left : left + side]


def _vectors(tiles: Float) -> Float:
    """Return tiles `n s s c` as vectors of length 1, `n d`; zero for a tile that is plain or has edges of one direction."""
    centred = tiles - tiles.mean(axis=(1, 2), keepdims=True)
    flat = centred.reshape(len(tiles), -1)
    length = np.linalg.norm(flat, axis=1)
    good = (length >= CONTRAST * flat.shape[1] ** 0.5) & (_crossing(centred) >= CROSSING)
    return np.asarray(np.where(good, 1 / np.maximum(length, 1e-9), 0)[:, None] * flat, np.float32)


def _crossing(tiles: Float) -> Float:
    """Return the share of the weaker direction of a tile's edges, from 0 to 0.5 (the structure tensor, Förstner 1987)."""
    down, across = (np.diff(tiles, axis=axis)[:, : tiles.shape[1] - 1, : tiles.shape[2] - 1] for axis in (1, 2))
    yy, xx, xy = ((a * b).sum(axis=(1, 2, 3)) for a, b in ((down, down), (across, across), (down, across)))
    weaker = (yy + xx) / 2 - np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
    return np.asarray(weaker / np.maximum(yy + xx, 1e-9), np.float32)


def _overlap(first: Flags, second: Flags) -> float:
    """Return the share of the smaller group that is in both."""
    return float((first & second).sum() / max(1, min(first.sum(), second.sum())))


def _box(fine: Float, side: int, y: int, x: int) -> tuple[float, float, float, float]:
    height, width = fine.shape[1:3]
    return x / width, y / height, (x + side) / width, (y + side) / height
