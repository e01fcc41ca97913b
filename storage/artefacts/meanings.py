"""The vectors of a layer's strongest patches and the scores of its units, in runs made `--with meaning`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.artefacts import tables
from storage.store.results import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """The scores of one unit by an encoder, None where it has too few patches; compare them within one encoder alone."""

    encoder: str
    weights: str
    mis: float | None
    mis_positive: float | None
    mis_negative: float | None


def of_unit(result: Result, unit: int) -> Meaning:
    """Read the scores of a unit."""
    row: dict[str, Any] = tables.read_sorted(result.file("meaning.parquet"), "unit", [unit]).to_pylist()[0]
    return Meaning(**{name: value for name, value in row.items() if name != "unit"})


def vectors_of(result: Result, unit: int, sign: str) -> NDArray[np.float64]:
    """Read the unit vectors `n d` of a unit's patches of one sign, strongest first; those that could not be read lack."""
    from storage.artefacts import arrays

    rows = tables.read_sorted(result.file("encoded.parquet"), "unit", [unit]).to_pylist()
    chosen = np.array([row["row"] for row in rows if row["sign"] == sign and row["row"] >= 0], np.int64)
    return unit_vectors(arrays.read_array(result.file("vectors.zarr"), "vectors", chosen))


def unit_vectors(stored: NDArray[np.float16]) -> NDArray[np.float64]:
    """Return stored vectors at length 1, which half precision has rounded."""
    vectors = stored.astype(np.float64)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
