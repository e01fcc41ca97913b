"""Find the parts of a class's images that share something beside the class. Loads no torch.

Nothing here looks at units, so that chance can be measured by permuting the images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from statistics import median

import numpy as np
from numpy.typing import NDArray

from atlas.auditing.borders import bordered
from atlas.auditing.watermarks import watermarks
from flows.audit.answers import Box, Kind
from flows.audit.images import Pictures

LEAST, IN = 5, 10
"""The images of a part: at least five, and one in ten of the class's."""

MOST = 8
"""Folders, and sizes, that are tested: the most frequent."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePart:
    """A part of the images, `n`, with its kind, its name, and for a watermark the box of the input where it lies."""

    kind: Kind
    name: str
    members: Flags
    box: Box | None = None


def least_of(images: int) -> int:
    """Return how many images a part must have."""
    return max(LEAST, -(-images // IN))


def parts_of(pictures: Pictures) -> list[ImagePart]:
    """Return the parts of images of a class that are large enough to be tested, and leave five images or more."""
    least = least_of(len(pictures.rows))
    every = [*_by_folder(pictures), *_by_size(pictures), *_by_aspect(pictures), *_by_pixels(pictures, least)]
    return [part for part in every if least <= part.members.sum() <= len(part.members) - LEAST]


def _by_folder(pictures: Pictures) -> Iterator[ImagePart]:
    yield from _by_value("folder", [str(PurePosixPath(row["key"]).parent) for row in pictures.rows])


def _by_size(pictures: Pictures) -> Iterator[ImagePart]:
    yield from _by_value("size", [f"{row['width']} × {row['height']}" for row in pictures.rows])
    pixels = np.array([row["width"] * row["height"] for row in pictures.rows])
    middle = median(pixels.tolist())
    yield ImagePart(kind="size", name=f"more than {middle:,.0f} pixels", members=pixels > middle)
    yield ImagePart(kind="size", name=f"fewer than {middle:,.0f} pixels", members=pixels < middle)


def _by_aspect(pictures: Pictures) -> Iterator[ImagePart]:
    aspect = np.array([row["width"] / row["height"] for row in pictures.rows])
    middle = median(aspect.tolist())
    yield ImagePart(kind="aspect", name=f"wider than {middle:.2f} : 1", members=aspect > middle)
    yield ImagePart(kind="aspect", name=f"narrower than {middle:.2f} : 1", members=aspect < middle)


def _by_value(kind: Kind, values: list[str]) -> Iterator[ImagePart]:
    for value, _ in Counter(values).most_common(MOST):
        yield ImagePart(kind=kind, name=value, members=np.array([one == value for one in values], np.bool_))


def _by_pixels(pictures: Pictures, least: int) -> Iterator[ImagePart]:
    yield ImagePart(kind="border", name="a plain border", members=bordered(pictures.pixels))
    height, width = pictures.pixels.shape[1:3]
    for mark in watermarks(pictures.pixels, least, LEAST):
        left, top, right, bottom = mark.box
        name = f"at {round((left + right) / 2 * width)},{round((top + bottom) / 2 * height)} of {width} × {height}"
        box = Box(left=left, top=top, right=right, bottom=bottom)
        yield ImagePart(kind="watermark", name=name, members=mark.members, box=box)
