"""Processor time of the thumbnails of the strongest patches, and what it is spent on.

    python benchmarks/thumbnails.py IMAGES [--limit 604] [--fault each]

The default model and its four layers up to `patches`; then the thumbnails are cut again, on one thread. `--fault each` cuts a
box anew for each unit that has it, which takes several times as long.
"""

from __future__ import annotations

import argparse
import functools
import io
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from flows import cores
from flows.config import RunConfig
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from storage.images import crops
from storage.images.decode import decode
from storage.images.sources import read


def requested(images: str, limit: int) -> list[Any]:
    """Run up to the patches; return the arguments with which their thumbnails were cut."""
    cut, seen = crops.crops, list[Any]()

    def kept(*given: Any, **options: Any) -> list[bytes]:
        seen.extend(given)
        return cut(*given, **options)

    crops.crops = kept
    with tempfile.TemporaryDirectory() as folder:
        pipeline.run(RunConfig(images=images, store=folder, limit=limit, until="patches"), Inline())
    crops.crops = cut
    return seen


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def parts(source: Any, rows: Any, ids: np.ndarray, boxes: np.ndarray, size: int) -> dict[str, float]:
    """Return the seconds of each part, over the distinct boxes."""
    spent = dict.fromkeys(("decode", "resize", "JPEG"), 0.0)
    distinct: dict[int, set[tuple[int, ...]]] = {}
    for identity, box in zip(ids.tolist(), boxes.tolist(), strict=True):
        distinct.setdefault(identity, set()).add(tuple(box))
    for row, data in read(source, rows):
        for number, box in enumerate(sorted(distinct.get(rows["image_id"][row].as_py(), ()))):
            started = time.process_time()
            if not number:
                image = decode(data)
                spent["decode"] += time.process_time() - started
                started = time.process_time()
            scale = size / max(box[2] - box[0], box[3] - box[1])
            shape = tuple(max(1, round((box[n + 2] - box[n]) * scale)) for n in (0, 1))
            small = image.resize(shape, Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
            resized = time.process_time()
            small.save(io.BytesIO(), "JPEG", quality=crops.QUALITY)
            spent["resize"] += resized - started
            spent["JPEG"] += time.process_time() - resized
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("--limit", type=int, default=604)
    parser.add_argument("--fault", choices=["each"])
    args = parser.parse_args()
    cores.share_cores()
    given = requested(args.images, args.limit)
    ids, boxes = given[2], given[3]
    if args.fault:
        functools.cache = lambda function: function  # type: ignore[assignment]
    total = seconds(lambda: crops.crops(*given, threads=1))
    distinct = len(np.unique(np.column_stack([ids, boxes]), axis=0))
    print(f"{len(ids):,} thumbnails, {distinct:,} distinct boxes of {len(np.unique(ids)):,} images: {total:.1f} s")
    for name, spent in parts(*given).items():
        print(f"{name}: {spent:.1f} s")


if __name__ == "__main__":
    main()
