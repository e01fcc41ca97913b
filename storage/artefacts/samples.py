"""The samples and strongest patches of a layer: written by shard, read joined and without gaps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np

from atlas.arrays import SIGNS, Samples, TopK
from storage.artefacts import arrays
from storage.store.store import Result, Store

FIELDS = ("activations", "image_id", "y", "x")
TOP_FIELDS = ("value", "image_id", "key_hash", "y", "x")


def write_samples(folder: Path, samples: Samples) -> None:
    """Write one shard's samples, gaps included: row i is sample i of the shard."""
    arrays.write_group(folder / "samples.zarr", {name: getattr(samples, name) for name in FIELDS})


def write_top(folder: Path, top: dict[str, TopK], counts: dict[str, np.ndarray]) -> None:
    """Write one shard's strongest patches of both signs, and its counts per unit."""
    columns = {f"{sign}_{name}": getattr(top[sign], name) for sign in SIGNS for name in TOP_FIELDS}
    arrays.write_group(folder / "top.zarr", columns | counts)


def read_samples(parts: Sequence[Result]) -> Samples:
    """Read all samples of a layer in the order of the shards, without gaps and non-finite vectors.

    Needs memory for all samples once, and for one shard more.
    """
    capacity = sum(part.counts["samples"] for part in parts)
    joined: dict[str, np.ndarray] = {}
    filled = 0
    for used in read_by_shard(parts):
        stop = filled + len(used.y)
        for name in FIELDS:
            array = getattr(used, name)
            if name not in joined:
                joined[name] = np.empty((capacity, *array.shape[1:]), array.dtype)
            joined[name][filled:stop] = array
        filled = stop
    return Samples(**{name: array[:filled] for name, array in joined.items()})


def read_by_shard(parts: Iterable[Result]) -> Iterator[Samples]:
    """Yield the samples of `read_samples`, one shard at a time."""
    for part in parts:
        yield Samples(**_used(arrays.read_group(part.path / "samples.zarr")))


def read_positions(parts: Sequence[Result]) -> dict[str, np.ndarray]:
    """Read `image_id`, `y` and `x` of the samples of `read_samples`, with memory for one shard's vectors only."""
    names = ("image_id", "y", "x")
    shards = [itemgetter(*names)(_used(arrays.read_group(part.path / "samples.zarr"))) for part in parts]
    return {name: np.concatenate(columns) for name, columns in zip(names, zip(*shards, strict=True), strict=True)}


def read_top(part: Result) -> tuple[dict[str, TopK], dict[str, np.ndarray]]:
    """Read one shard's strongest patches by sign, and its counts per unit."""
    group = arrays.read_group(part.path / "top.zarr")
    top = {sign: TopK(**{name: group.pop(f"{sign}_{name}") for name in TOP_FIELDS}) for sign in SIGNS}
    return top, group


def results(store: Store, stage: str, keys: Sequence[str]) -> Iterator[Result]:
    """Yield committed results by key."""
    for key in keys:
        yield store.get(stage, key)


def counts(samples: Samples) -> dict[str, int]:
    """Count one shard's samples: those used, and those excluded because a value is not finite."""
    taken = samples.y >= 0
    used = int((taken & _finite(samples.activations)).sum())
    return {"samples": used, "samples_nonfinite": int(taken.sum()) - used}


def total_counts(parts: Iterable[Result]) -> dict[str, int | None]:
    """Add up the counts of a layer's shards: samples `used` and `not_finite` (None if a shard lacks that count)."""
    shards = [part.counts for part in parts]
    # Older results lack this count; it is 0 for them if no activation was NaN or infinite.
    not_finite = [shard.get("samples_nonfinite", None if shard["nonfinite"] else 0) for shard in shards]
    known = [number for number in not_finite if number is not None]
    return {
        "used": sum(shard["samples"] for shard in shards),
        "not_finite": sum(known) if len(known) == len(not_finite) else None,
    }


def _used(group: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    keep = (group["y"] >= 0) & _finite(group["activations"])
    return {name: array[keep] for name, array in group.items()}


def _finite(activations: np.ndarray) -> np.ndarray:
    """Return which vectors `n c` have no NaN or infinity."""
    finite: np.ndarray = np.isfinite(activations).all(axis=1)
    return finite
