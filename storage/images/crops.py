"""Cut thumbnails out of images, decoding each image once."""

from __future__ import annotations

import functools
import io
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from storage.errors import Rejected, Unreadable
from storage.images.contract import Source
from storage.images.decode import decode
from storage.images.sources import read

QUALITY = 85


def crops(
    source: Source,
    rows: pa.Table,
    image_id: NDArray[np.int64],
    boxes: NDArray[np.int32],
    size: int,
    *,
    threads: int,
    advance: Callable[[int], None] = lambda done: None,
) -> list[bytes]:
    """Return a JPEG of at most `size` pixels a side for each box `n 4` of the image with that id.

    `rows` are the listing's rows of at least those images, in the order of their ids. A rejected image gives empty bytes;
    a transient failure or a changed image raises Unreadable.
    """
    wanted: dict[int, list[int]] = defaultdict(list)
    for place, identity in enumerate(image_id.tolist()):
        wanted[identity].append(place)
    thumbnails: list[bytes] = [b""] * len(image_id)
    rows = rows.filter(pa.array([identity in wanted for identity in rows["image_id"].to_pylist()], pa.bool_()))
    pending: deque[Future[list[tuple[int, bytes]]]] = deque()
    done = 0

    def collect() -> None:
        nonlocal done
        for place, data in pending.popleft().result():
            thumbnails[place] = data
        done += 1
        advance(done)

    ids = rows["image_id"].to_pylist()
    with ThreadPoolExecutor(threads, thread_name_prefix="crop") as pool:
        for index, data in read(source, rows):
            if isinstance(data, Unreadable):
                raise data
            if isinstance(data, Rejected):
                continue
            places = wanted[ids[index]]
            pending.append(pool.submit(_cut_thumbnails, data, places, boxes[places], size))
            if len(pending) > 4 * threads:
                collect()
        while pending:
            collect()
    return thumbnails


def _cut_thumbnails(data: bytes, places: Sequence[int], boxes: NDArray[np.int32], size: int) -> list[tuple[int, bytes]]:
    try:
        image = decode(data)
    except Rejected:
        return []
    # Many units respond to the same position, and to a vector's the whole image is: each box is cut once.
    cut = functools.cache(lambda box: thumbnail(image, box, size))
    return [(place, cut(tuple(box))) for place, box in zip(places, boxes.tolist(), strict=True)]


def thumbnail(image: Image.Image, box: tuple[int, ...], size: int) -> bytes:
    """Return a box of an image as a JPEG whose longer side is `size` pixels."""
    left, top, right, bottom = box
    scale = size / max(right - left, bottom - top, 1)
    shape = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    out = io.BytesIO()
    small = image.resize(shape, Image.Resampling.BILINEAR, box=(left, top, right, bottom), reducing_gap=2.0)
    small.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
