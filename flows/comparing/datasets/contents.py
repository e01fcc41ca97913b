"""Tell which images of two runs have the same content, by the SHA-256 of what was read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from atlas.arrays import Int
from storage.artefacts import tables
from storage.run import Run

UNKNOWN = -1
"""The number of an image that was not read, or that is not the run's."""


def numbers(runs: Sequence[Run], within: Sequence[Int] | None = None) -> list[Int]:
    """Number the contents of the images of some runs: for each run by image id, equal where contents are equal.

    `within` are the images of each run that matter; the others' contents are unknown, as are those that were not read.
    """
    chosen = [None] * len(runs) if within is None else within
    digests = [_digests(run, ids) for run, ids in zip(runs, chosen, strict=True)]
    codes = pa.chunked_array([table["sha256"].combine_chunks() for table in digests], pa.large_string())
    code = codes.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    by_run, first = [], 0
    for run, table in zip(runs, digests, strict=True):
        number = np.full(run.version.about["ids"], UNKNOWN, np.int64)
        number[table["image_id"].to_numpy()] = code[first : first + len(table)]
        first += len(table)
        by_run.append(number)
    return by_run


def shared(both: Sequence[Int]) -> int:
    """Count the contents that two runs have in common, by the numbers of their images."""
    return int((np.intersect1d(both[0], both[1]) != UNKNOWN).sum())


def _digests(run: Run, ids: Int | None) -> pa.Table:
    """Return image_id and sha256 of the run's images that were read, or of these among them."""
    own = run.images()["image_id"].to_numpy()
    wanted = pa.array(own if ids is None else np.intersect1d(own, ids), pa.int64())
    parts = [_EMPTY]
    for part in run.results("images") if run.has("images") else ():
        facts = tables.read_table(part.file("images.parquet"), ["image_id", "sha256"]).cast(_EMPTY.schema)
        known = pc.greater(pc.binary_length(facts["sha256"]), 0)  # null where there is none, which a filter drops
        parts.append(facts.filter(pc.and_(known, pc.is_in(facts["image_id"], wanted))))
    return pa.concat_tables(parts)


_EMPTY = pa.schema([("image_id", pa.int64()), ("sha256", pa.large_string())]).empty_table()
