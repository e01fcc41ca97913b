"""The cells of a grid: their averages, and if the run has them the fidelity of icons and the classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.arrays import Byte, CellClasses, Float, Int
from storage.store.results import Result

Columns = dict[str, np.ndarray]
STORED = {"coherence": "spread"}
"""Columns stored under another name until the store's next format."""
AVERAGES = ("row", "col", "count", "mean", "coherence", "offsets", "members")
FIDELITY = ("cosine", "rank", "tries", "weak")
CLASSES = ("classes", "mean", "share")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFacts:
    """The cells of a grid with the image of each member, the fidelity of each icon, and the top classes `n t`.

    `coherence` is the mean cosine of a cell's members to their mean: 1 if all are alike. Members of cell i are
    `members[offsets[i]:offsets[i+1]]`. Without icons every rank is 0; without attribution there are no classes.
    """

    grid: int
    row: NDArray[np.int32]
    col: NDArray[np.int32]
    count: Int
    mean: Float
    coherence: Float
    offsets: Int
    members: Int
    image_id: Int
    cosine: Float
    rank: Int
    tries: Int
    weak: np.ndarray
    classes: np.ndarray
    class_mean: Float
    class_share: Float

    @property
    def nbytes(self) -> int:
        """Total bytes of the arrays."""
        return sum(column.nbytes for column in columns(self).values() if isinstance(column, np.ndarray))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCells(CellFacts):
    """Cells with their icons `icon n s s 3`; without pixels if the run has none."""

    icon: Byte


def columns(cells: CellFacts) -> dict[str, Any]:
    """Return the fields of cells by name, including `grid`."""
    return {field.name: getattr(cells, field.name) for field in fields(cells)}


def read(
    grid: int,
    cells: Result,
    icons: Result | None,
    attribution: Result | None,
    collected: Callable[[], Sequence[Result]],
) -> CellFacts:
    """Read a grid's cells; read `collected` only for cells written before members' images were stored with them."""
    averages = {name: array(cells, name) for name in AVERAGES}
    n = len(averages["row"])
    images = _images(cells, averages["members"], collected)
    return CellFacts(grid=grid, image_id=images, **averages, **_fidelity(icons, n), **_classes(attribution, n))


def array(cells: Result, name: str) -> np.ndarray:
    """Read one column of a grid's cells."""
    from storage.artefacts import arrays

    return arrays.read_array(cells.file("cells.zarr"), STORED.get(name, name))


def rename_stored(table: pa.Table) -> pa.Table:
    """Rename the columns of a stored table of cells to the names that readers use."""
    names = {stored: name for name, stored in STORED.items()}
    return table.rename_columns([names.get(name, name) for name in table.column_names])


def pictures(icons: Result | None, n: int) -> Byte:
    """Read the icons of `n` cells, `n s s 3`; without a result they have no pixels."""
    from storage.artefacts import arrays

    if icons is None:
        return np.zeros((n, 0, 0, 3), np.uint8)
    return np.asarray(arrays.read_array(icons.file("icons.zarr"), "pictures"))


def attribution(result: Result) -> CellClasses:
    """Read a grid's attribution."""
    from storage.artefacts import arrays

    return CellClasses(**arrays.read_group(result.file("attribution.zarr")))


def _images(cells: Result, members: Int, collected: Callable[[], Sequence[Result]]) -> Int:
    from storage.artefacts import arrays, samples

    try:
        return np.asarray(arrays.read_array(cells.file("cells.zarr"), "image_id"))
    except LookupError:
        return samples.read_positions(collected())["image_id"][members]


def _fidelity(icons: Result | None, n: int) -> Columns:
    """Read the fidelity of `n` icons; without a result every rank is 0."""
    from storage.artefacts import arrays

    if icons is not None:
        return {name: arrays.read_array(icons.file("icons.zarr"), name) for name in FIDELITY}
    return {
        "cosine": np.full(n, np.nan, np.float32),
        "rank": np.zeros(n, np.int64),
        "tries": np.zeros(n, np.int64),
        "weak": np.zeros(n, np.bool_),
    }


def _classes(result: Result | None, n: int) -> Columns:
    """Read the top classes of `n` cells, their mean attribution and share; without a result they have no columns."""
    from storage.artefacts import arrays

    if result is None:
        empty = np.zeros((n, 0), np.float32)
        return {"classes": empty.astype(np.int32), "class_mean": empty, "class_share": empty}
    first, mean, share = (arrays.read_array(result.file("attribution.zarr"), name) for name in CLASSES)
    chosen = np.take_along_axis(mean, np.maximum(first, 0).astype(np.int64), 1)
    return {"classes": first, "class_mean": chosen, "class_share": share}
