"""How many files a layer's part of a shard is, and what its commit costs, in each form of the store.

    python benchmarks/commits.py [--units 1280] [--images 1000] [--rounds 20]

Writes random parts of one size as format 1 did and as format 2 does, in turn, with every sync, and prints for each its files,
bytes and median seconds of writing and of committing, of which the disk's own share depends on its kind. Then it reads them
back. Prints the files that a million images and more would be, too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from atlas.arrays import CAPACITY, SIGNS, Samples, TopK
from storage.artefacts import arrays, samples
from storage.store.store import Result, Store, stage_key

IMAGENET, LAYERS = 1_281_167, 16


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=1280)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--folder", help="where the store is made; the disk matters")
    told = parser.parse_args(arguments)
    part = _part(told.images, told.units)
    with tempfile.TemporaryDirectory(dir=told.folder) as folder:
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in FORMS}
        for number in range(told.rounds):
            for name, write in FORMS.items():
                taken[name].append(_commit(Store(Path(folder)), f"{name} {number}", part, write))
    shards = -(-IMAGENET // told.images)
    for name, rounds in taken.items():
        middle = {key: round(statistics.median(one[key] for one in rounds), 4) for key in rounds[0]}
        middle["files_of_imagenet"] = int(middle["files"]) * shards * LAYERS
        print(json.dumps({"form": name, **middle}))
    return 0


Part = tuple[Samples, dict[str, TopK], dict[str, np.ndarray]]


def _part(images: int, units: int) -> Part:
    rng = np.random.default_rng(0)
    vectors = np.maximum(rng.normal(size=(images, units)), 0).astype(np.float32)
    y, x = rng.integers(0, 14, (2, images), np.int32)
    top = {sign: _top(rng, units, images, sign) for sign in SIGNS}
    counts: dict[str, np.ndarray] = {"nonfinite": np.zeros(units, np.int64)}
    for sign in SIGNS:
        counts[f"{sign}_extreme"], counts[f"{sign}_extreme_count"] = top[sign].value[:, 0], np.ones(units, np.int64)
    return Samples(activations=vectors, image_id=np.arange(images), y=y, x=x), top, counts


def _top(rng: np.random.Generator, units: int, images: int, sign: str) -> TopK:
    value = np.sort(rng.normal(size=(units, CAPACITY)).astype(np.float32), axis=1)
    image_id = rng.integers(0, images, value.shape)
    y, x = rng.integers(0, 14, (2, *value.shape), np.int32)
    key_hash = rng.integers(0, 1 << 64, value.shape, np.uint64)
    ordered = value[:, ::-1] if sign == "positive" else value
    return TopK(value=ordered, image_id=image_id, key_hash=key_hash, y=y, x=x)


def _as_format_1(folder: Path, part: Part) -> None:
    whole, top, counts = part
    columns = {f"{sign}_{name}": getattr(top[sign], name) for sign in SIGNS for name in samples.TOP_FIELDS}
    arrays.write_group(folder / "samples.zarr", {name: getattr(whole, name) for name in samples.FIELDS})
    arrays.write_group(folder / "top.zarr", columns | counts)


def _as_format_2(folder: Path, part: Part) -> None:
    whole, top, counts = part
    samples.write_samples(folder, whole)
    samples.write_top(folder, top, counts)


FORMS: dict[str, Callable[[Path, Part], None]] = {"format 1": _as_format_1, "format 2": _as_format_2}


def _commit(store: Store, name: str, part: Part, write: Callable[[Path, Part], None]) -> dict[str, float]:
    started = time.perf_counter()
    with store.draft("collect", stage_key("collect", 0, {}, {"name": name})) as draft:
        write(draft.path, part)
        written = time.perf_counter()
        result = draft.commit(samples.counts(part[0]))
    committed = time.perf_counter()
    _read(result)
    return {
        "files": sum(path.is_file() for path in result.path.rglob("*")),
        "bytes": sum(file["bytes"] for file in result.manifest["files"].values()),
        "write_seconds": written - started,
        "commit_seconds": committed - written,
        "read_seconds": time.perf_counter() - committed,
    }


def _read(result: Result) -> None:
    samples.read_samples([result])
    samples.read_top(result)


if __name__ == "__main__":
    sys.exit(main())
