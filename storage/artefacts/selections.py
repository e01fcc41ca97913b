"""The samples of a layer that a selection has: written as a pass writes them, with their numbers in the source."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from atlas.arrays import Float, Int, Samples
from storage.artefacts import tables
from storage.store.results import Result

CHOSEN = "chosen.parquet"


def write(folder: Path, samples: Samples, numbers: Int, across: Float | None) -> None:
    """Write selected samples with their numbers among the source's; `across` is each one's place from left to right."""
    from storage.artefacts import samples as sample_arrays

    sample_arrays.write_samples(folder, samples)
    columns = {"sample": numbers} | ({} if across is None else {"across": across})
    tables.write_table(folder / CHOSEN, pa.table(columns))


def numbers(result: Result) -> Int:
    """Return the number of each sample among those of the source."""
    return np.array(tables.read_table(result.file(CHOSEN), ["sample"])["sample"].to_numpy())


def across(result: Result) -> Float | None:
    """Return the place of each sample from left to right, None where the layout decides."""
    path = result.file(CHOSEN)
    return (
        np.array(tables.read_table(path, ["across"])["across"].to_numpy()) if "across" in tables.names(path) else None
    )


def image_ids(results: Iterable[Result]) -> Int:
    """Return the images that these samples are from, ascending."""
    ids = [
        tables.read_table(result.file("positions.parquet"), ["image_id"])["image_id"].to_numpy() for result in results
    ]
    return np.unique(np.concatenate(ids))
