"""The samples and strongest patches of a layer: written by shard, read joined and without gaps.

A part written in format 1 has all of its columns in two Zarr groups; a part's manifest tells which form it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import pyarrow as pa

from atlas.arrays import SIGNS, Samples, TopK
from storage.artefacts import arrays, tables
from storage.store.store import Result, Store

FIELDS = ("activations", "image_id", "y", "x")
PLACES = ("image_id", "y", "x")
TOP_FIELDS = ("value", "image_id", "key_hash", "y", "x")
GROUP, POSITIONS, TOP, UNITS = "samples.zarr", "positions.parquet", "top.parquet", "units.parquet"
FIRST_TOP = "top.zarr"
"""The strongest patches and the counts per unit in format 1; its `samples.zarr` has the positions, too."""


def write_samples(folder: Path, samples: Samples) -> None:
    """Write one shard's samples, gaps included: row i is sample i of the shard."""
    arrays.write_group(folder / GROUP, {"activations": samples.activations})
    tables.write_table(folder / POSITIONS, pa.table({name: getattr(samples, name) for name in PLACES}))


def write_top(folder: Path, top: dict[str, TopK], counts: dict[str, np.ndarray]) -> None:
    """Write one shard's strongest patches, by unit, sign and rank, and its counts per unit."""
    columns = [_ranked(top[sign], number) for number, sign in enumerate(SIGNS)]
    joined = {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}
    order = np.lexsort((joined["rank"], joined["sign"], joined["unit"]))
    ranked = pa.table({name: column[order] for name, column in joined.items()})
    signs = pa.DictionaryArray.from_arrays(ranked["sign"].combine_chunks(), list(SIGNS)).cast(pa.large_string())
    ranked = ranked.set_column(ranked.column_names.index("sign"), "sign", signs)
    tables.write_table(folder / TOP, ranked, sorting=("unit",))
    unit = np.arange(len(counts["nonfinite"]), dtype=np.int32)
    tables.write_table(folder / UNITS, pa.table({"unit": unit, **counts}))


def _ranked(top: TopK, sign: int) -> dict[str, np.ndarray]:
    """Return the patches of one sign as columns, without the empty places."""
    unit, rank = np.nonzero(top.image_id >= 0)
    place: dict[str, np.ndarray] = {
        "unit": unit.astype(np.int32),
        "sign": np.full(len(unit), sign, np.int8),
        "rank": rank.astype(np.int16),
    }
    return place | {name: getattr(top, name)[unit, rank] for name in TOP_FIELDS}


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
        activations = arrays.read_array(part.file(GROUP), "activations")
        columns = {"activations": activations, **_places(part)}
        keep = (columns["y"] >= 0) & _finite(activations)
        yield Samples(**{name: column[keep] for name, column in columns.items()})


def read_whole(part: Result) -> Samples:
    """Read all samples of one shard, gaps and non-finite vectors included."""
    return Samples(activations=arrays.read_array(part.file(GROUP), "activations"), **_places(part))


def take(parts: Sequence[Result], numbers: np.ndarray) -> Samples:
    """Read some of the samples of `read_samples`, by their ascending numbers; shards without any are not read."""
    chosen: list[Samples] = []
    first = 0
    for part in parts:
        stop = first + part.counts["samples"]
        rows = numbers[slice(*np.searchsorted(numbers, (first, stop)))] - first
        if len(rows) or part is parts[-1]:  # the last gives an empty answer its shape
            used = next(read_by_shard([part]))
            chosen.append(Samples(**{name: getattr(used, name)[rows] for name in FIELDS}))
        first = stop
    return Samples(**{name: np.concatenate([getattr(some, name) for some in chosen]) for name in FIELDS})


def read_positions(parts: Sequence[Result]) -> dict[str, np.ndarray]:
    """Read `image_id`, `y` and `x` of the samples of `read_samples`, with memory for one shard's vectors at most."""
    shards = [_used_places(part) for part in parts]
    return {name: np.concatenate([shard[name] for shard in shards]) for name in PLACES}


def _used_places(part: Result) -> dict[str, np.ndarray]:
    places = _places(part)
    keep = places["y"] >= 0
    if part.counts.get("samples_nonfinite") != 0:  # else no vector need be read
        keep &= _finite(arrays.read_array(part.file(GROUP), "activations"))
    return {name: column[keep] for name, column in places.items()}


def _places(part: Result) -> dict[str, np.ndarray]:
    """Read image and position of all samples of a part, gaps included."""
    if POSITIONS in part.files:
        return columns_of(tables.read_table(part.file(POSITIONS), PLACES))
    return {name: arrays.read_array(part.file(GROUP), name) for name in PLACES}


def read_top(part: Result) -> tuple[dict[str, TopK], dict[str, np.ndarray]]:
    """Read one shard's strongest patches by sign, and its counts per unit."""
    if TOP not in part.files:
        group = arrays.read_group(part.file(FIRST_TOP))
        top = {sign: TopK(**{name: group.pop(f"{sign}_{name}") for name in TOP_FIELDS}) for sign in SIGNS}
        return top, group
    counts = columns_of(tables.read_table(part.file(UNITS)))
    units = len(counts.pop("unit"))
    rows = tables.read_table(part.file(TOP))
    negative = np.asarray(rows["sign"]) == "negative"
    columns = columns_of(rows.drop_columns(["sign"]))
    return {sign: _unranked(columns, negative == (sign == "negative"), units, sign) for sign in SIGNS}, counts


def _unranked(columns: dict[str, np.ndarray], chosen: np.ndarray, units: int, sign: str) -> TopK:
    """Return the chosen rows by unit and rank, the opposite of `_ranked`."""
    top = TopK.empty(units, sign)
    for name in TOP_FIELDS:
        getattr(top, name)[columns["unit"][chosen], columns["rank"][chosen]] = columns[name][chosen]
    return top


def columns_of(table: pa.Table) -> dict[str, np.ndarray]:
    """Return the columns of a table of numbers as new arrays."""
    return {name: np.array(table[name].to_numpy()) for name in table.column_names}


def results(store: Store, stage: str, keys: Sequence[str]) -> Iterator[Result]:
    """Yield committed results by key."""
    for key in keys:
        yield store.get(stage, key)


def counts(samples: Samples) -> dict[str, int]:
    """Count one shard's samples: those used, and those excluded because a value is not finite."""
    taken = samples.y >= 0
    used = int((taken & _finite(samples.activations)).sum())
    return {"samples": used, "samples_nonfinite": int(taken.sum()) - used}


class TotalCounts(TypedDict):
    """Samples of a layer that are used, and those left out as not finite."""

    used: int
    not_finite: int | None


def total_counts(parts: Iterable[Result]) -> TotalCounts:
    """Add up the counts of a layer's shards: samples `used` and `not_finite` (None if a shard lacks that count)."""
    shards = [part.counts for part in parts]
    # Older results lack this count; it is 0 for them if no activation was NaN or infinite.
    not_finite = [shard.get("samples_nonfinite", None if shard["nonfinite"] else 0) for shard in shards]
    known = [number for number in not_finite if number is not None]
    return {
        "used": sum(shard["samples"] for shard in shards),
        "not_finite": sum(known) if len(known) == len(not_finite) else None,
    }


def _finite(activations: np.ndarray) -> np.ndarray:
    """Return which vectors `n c` have no NaN or infinity."""
    finite: np.ndarray = np.isfinite(activations).all(axis=1)
    return finite
