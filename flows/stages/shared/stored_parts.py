"""Make the results of a shard of a subset from those of whole shards, without the model, where their peaks are stored."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas import topk
from atlas.arrays import SIGNS, Peaks, Samples, TopK
from atlas.collect import Part
from storage.artefacts import peaks as peak_arrays
from storage.artefacts import samples as sample_arrays
from storage.artefacts import tables
from storage.errors import Damaged
from storage.images.shards import Ids
from storage.store.store import Result, Store

log = logging.getLogger(__name__)

Keys = Sequence[Sequence[str | None]]
"""Stage, layer and key of the results of whole shards, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardParts:
    """What a pass over a shard gives: the facts of its images, its part of each layer, and the images' first classes."""

    facts: pa.Table
    parts: Mapping[str, Part]
    choices: pa.Table | None


def find(store: Store, wholes: Sequence[Keys], layers: Sequence[str], ids: Ids) -> ShardParts | None:
    """Return what a pass over these images would give, from the first `wholes` that are stored and suffice."""
    for keys in wholes:
        results: dict[tuple[str | None, str | None], list[Result]] = {}
        for stage, layer, key in keys:
            if (result := store.find(str(stage), str(key))) is not None:
                results.setdefault((stage, layer), []).append(result)
        if not keys or sum(map(len, results.values())) < len(keys):
            continue
        try:
            facts = _rows(results["images", None], "images.parquet", ids)
            chosen = results.get(("choices", None))
            choices = None if chosen is None else _rows(chosen, "choices.parquet", ids)
            parts = {layer: part_of(results["collect", layer], results["peaks", layer], ids) for layer in layers}
        except Damaged as damage:
            log.warning("%s; the images pass again", damage)
            continue
        complete = {name: part for name, part in parts.items() if part is not None}
        if len(facts) == len(ids) and len(complete) == len(layers):
            return ShardParts(facts=facts, parts=complete, choices=choices)
    return None


def _rows(parts: Sequence[Result], file: str, ids: Ids) -> pa.Table:
    read = pa.concat_tables(tables.read_table(part.file(file)) for part in parts)
    return read.filter(pa.array(np.isin(read["image_id"].to_numpy(), ids)))


def part_of(collect: Sequence[Result], peak_parts: Sequence[Result], ids: Ids) -> Part | None:
    """Return a layer's part of these images, equal to that of a pass over them.

    None where a whole shard has NaN or infinities: they are counted by unit alone, and not by image.
    """
    if any(sample_arrays.read_top(part)[1]["nonfinite"].any() for part in collect):
        return None
    peaks = _joined([_chosen_peaks(peak_arrays.read(part), ids) for part in peak_parts])
    top = {sign: _select(peaks, number, sign) for number, sign in enumerate(SIGNS)}
    extreme = {sign: top[sign].value[:, 0].copy() for sign in SIGNS}
    counts = {sign: _sharing(peaks, number, extreme[sign]) for number, sign in enumerate(SIGNS)}
    samples = _samples(collect, ids)
    used = np.unique(samples.image_id[samples.y >= 0])
    return Part(
        samples=samples,
        top=top,
        extreme=extreme,
        extreme_count=counts,
        nonfinite=np.zeros(len(peaks.value), np.int64),
        images=len(used),
        peaks=peaks,
    )


def _select(peaks: Peaks, number: int, sign: str) -> TopK:
    y, x = peaks.y[:, number].T, peaks.x[:, number].T
    return topk.select(peaks.value[:, number].T, peaks.image_id, peaks.key_hash, y, x, sign)


def _sharing(peaks: Peaks, number: int, extreme: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return how many images have each unit's best value."""
    count: NDArray[np.int64] = (peaks.value[:, number] == extreme[:, None]).sum(axis=1, dtype=np.int64)
    return count


def _chosen_peaks(peaks: Peaks, ids: Ids) -> Peaks:
    keep = np.isin(peaks.image_id, ids)
    by_image = {name: getattr(peaks, name)[keep] for name in ("image_id", "key_hash")}
    return Peaks(**by_image, **{name: getattr(peaks, name)[:, :, keep] for name in ("value", "y", "x")})


def _joined(parts: Sequence[Peaks]) -> Peaks:
    by_image = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("image_id", "key_hash")}
    by_unit = {name: np.concatenate([getattr(part, name) for part in parts], axis=2) for name in ("value", "y", "x")}
    return Peaks(**by_image, **by_unit)


def _samples(parts: Sequence[Result], ids: Ids) -> Samples:
    chosen = [_chosen_samples(sample_arrays.read_whole(part), ids) for part in parts]
    names = sample_arrays.FIELDS
    return Samples(**{name: np.concatenate([getattr(part, name) for part in chosen]) for name in names})


def _chosen_samples(samples: Samples, ids: Ids) -> Samples:
    keep = np.isin(samples.image_id, ids)
    return Samples(**{name: getattr(samples, name)[keep] for name in sample_arrays.FIELDS})
