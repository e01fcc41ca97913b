"""Images of a shard as batches of pixels, decoded in the background, every one accounted for."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.errors import Rejected, Unreadable
from storage.images.decode import decode
from storage.images.sources import Source, read
from storage.preprocessing import Preprocess

FACTS = pa.schema(
    [
        ("image_id", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("sha256", pa.large_string()),
        ("reason", pa.large_string()),
        ("detail", pa.large_string()),
    ]
)
"""What reading an image told: its size in pixels as shown, its bytes' hash, and why it was rejected (null if used)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Images `first … first + b` of a shard. Rows that are not valid (rejected, or past the end) hold zeros.

    Every batch has the same size, so that what an image gives never depends on how many came with it.
    """

    first: int
    pixels: NDArray[Any]
    valid: NDArray[np.bool_]
    facts: list[dict[str, Any]]


def load(source: Source, rows: pa.Table, preprocess: Preprocess, *, batch: int, threads: int) -> Iterator[Batch]:
    """Yield the images of `rows` in order, `batch` at a time.

    Raises Unreadable for what may pass: the attempt fails and is tried again. What an image *is* becomes a fact.
    """
    ids = rows["image_id"].to_pylist()
    for first, results in _in_batches(_decoded(source, rows, preprocess, threads, ahead=2 * batch), batch):
        valid = np.zeros(batch, np.bool_)
        pixels = preprocess.blank(batch)
        facts = []
        for place, (array, fact) in enumerate(results):
            facts.append({"image_id": ids[first + place], **fact})
            if array is not None:
                pixels[place], valid[place] = array, True
        yield Batch(first=first, pixels=pixels, valid=valid, facts=facts)


Decoded = tuple[NDArray[Any] | None, dict[str, Any]]


def _decoded(source: Source, rows: pa.Table, preprocess: Preprocess, threads: int, ahead: int) -> Iterator[Decoded]:
    """Decode in `threads` threads, at most `ahead` images before they are wanted; keep the order."""
    waiting: deque[Future[Decoded]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        for _, data in read(source, rows):
            if isinstance(data, Unreadable):
                raise data
            waiting.append(pool.submit(_one, data, preprocess))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _one(data: bytes, preprocess: Preprocess) -> Decoded:
    digest = hashlib.sha256(data).hexdigest()
    try:
        image = decode(data)
        fact = {"width": image.width, "height": image.height, "sha256": digest, "reason": None, "detail": None}
        return preprocess.pixels(image), fact
    except Rejected as error:
        blank = {"width": None, "height": None}
        return None, blank | {"sha256": digest, "reason": error.reason, "detail": error.detail}


def _in_batches(items: Iterator[Decoded], size: int) -> Iterator[tuple[int, list[Decoded]]]:
    first, group = 0, []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield first, group
            first, group = first + size, []
    if group:
        yield first, group
