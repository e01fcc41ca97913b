"""Load a shard's images as batches of pixels, decoded in the background, with a record of every image."""

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
from storage.images.contract import Source
from storage.images.decode import decode
from storage.images.sources import read
from storage.models.preprocessing import Preprocess

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
"""Facts about an image that was read: its upright size in pixels, its bytes' hash, and the rejection (null if used)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Images `first … first + b` of a shard. Invalid rows (rejected, removed, or past the end) hold zeros.

    Every batch has the same size, so that an image's activations never depend on the number of images in its batch.
    """

    first: int
    pixels: NDArray[Any]
    valid: NDArray[np.bool_]
    facts: list[dict[str, Any]]


def load(source: Source, rows: pa.Table, preprocess: Preprocess, *, batch: int, threads: int) -> Iterator[Batch]:
    """Yield the images of `rows` in order, `batch` at a time; rows of removed images stay empty.

    Raises Unreadable for transient errors: the attempt fails and is retried. A rejected image is recorded as a fact.
    """
    ids = rows["image_id"].to_pylist()
    decoded = _decoded(source, rows, preprocess, threads, ahead=2 * batch)
    pending = next(decoded, None)
    for first in range(0, len(rows), batch):
        valid, pixels, facts = np.zeros(batch, np.bool_), preprocess.blank(batch), []
        while pending is not None and pending[0] < first + batch:
            index, array, fact = pending
            facts.append({"image_id": ids[index], **fact})
            if array is not None:
                pixels[index - first], valid[index - first] = array, True
            pending = next(decoded, None)
        yield Batch(first=first, pixels=pixels, valid=valid, facts=facts)


Decoded = tuple[int, NDArray[Any] | None, dict[str, Any]]


def _decoded(source: Source, rows: pa.Table, preprocess: Preprocess, threads: int, ahead: int) -> Iterator[Decoded]:
    """Decode in order in `threads` threads, at most `ahead` images in advance."""
    queue: deque[Future[Decoded]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        for index, data in read(source, rows):
            if isinstance(data, Unreadable):
                raise data
            queue.append(pool.submit(_decode_one, index, data, preprocess))
            if len(queue) > ahead:
                yield queue.popleft().result()
        while queue:
            yield queue.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _decode_one(index: int, data: bytes | Rejected, preprocess: Preprocess) -> Decoded:
    digest = hashlib.sha256(data).hexdigest() if isinstance(data, bytes) else None
    try:
        if isinstance(data, Rejected):
            raise data
        image = decode(data)
        fact = {"width": image.width, "height": image.height, "sha256": digest, "reason": None, "detail": None}
        return index, preprocess.pixels(image), fact
    except Rejected as error:
        fact = {"width": None, "height": None, "sha256": digest, "reason": error.reason, "detail": error.detail}
        return index, None, fact
