"""The cells of a grid: their averages, and if the run has them the fidelity of icons and the classes.

Cells written in format 1 have all of their columns in one Zarr group; the manifest tells which form a result has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from atlas.arrays import Byte, CellClasses, Cells, Float, Int
from storage.artefacts import tables
from storage.store.results import Result

Columns = dict[str, np.ndarray]
GROUP, TABLE, SAMPLES = "cells.zarr", "cells.parquet", "samples.parquet"
FACTS = ("row", "col", "count", "coherence")
PLACES = ("image_id", "y", "x")
SAMPLE_COLUMNS = {"members": "sample", **{name: name for name in PLACES}}
"""The columns of `SAMPLES` by the names of the arrays read from them."""
FIRST_NAMES = {"coherence": "spread"}
"""Columns that have another name in format 1."""
AVERAGES = ("row", "col", "count", "mean", "coherence", "offsets", "members")
FIDELITY = ("cosine", "rank", "tries", "weak")
CLASSES = ("classes", "mean", "share")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFacts(Cells):
    """The cells of a grid with the image of each member, the fidelity of each icon, and the top classes `n t`.

    `coherence` is the mean cosine of a cell's members to their mean: 1 if all are alike. Without icons every
    rank is 0; without attribution there are no classes.
    """

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
    averages = read_columns(cells, AVERAGES)
    n = len(averages["row"])
    images = _images(cells, averages["members"], collected)
    return CellFacts(grid=grid, image_id=images, **averages, **_fidelity(icons, n), **_classes(attribution, n))


def write(folder: Path, cells: Cells, places: Mapping[str, np.ndarray]) -> None:
    """Write a grid's cells, and their samples with image and position, in the order of the cells' members."""
    from storage.artefacts import arrays

    arrays.write_group(folder / GROUP, {"mean": cells.mean})
    tables.write_table(folder / TABLE, pa.table({name: getattr(cells, name) for name in FACTS}))
    samples = {"sample": cells.members, **{name: places[name] for name in PLACES}}
    tables.write_table(folder / SAMPLES, pa.table(samples))


def read_columns(cells: Result, names: Sequence[str]) -> Columns:
    """Read some columns of a grid's cells."""
    return {name: array(cells, name) for name in names}


def array(cells: Result, name: str, rows: Any = None) -> np.ndarray:
    """Read one column of a grid's cells, or some rows of it. Raises LookupError for one that they lack."""
    from storage.artefacts import arrays

    if SAMPLES not in cells.files:
        return arrays.read_array(cells.file(GROUP), FIRST_NAMES.get(name, name), rows)
    if name == "mean":
        return arrays.read_array(cells.file(GROUP), name, rows)
    if name == "offsets":
        column = np.append(0, np.cumsum(array(cells, "count"))).astype(np.int64)
    else:
        file, stored = (SAMPLES, SAMPLE_COLUMNS[name]) if name in SAMPLE_COLUMNS else (TABLE, name)
        column = np.array(tables.read_table(cells.file(file), [stored])[stored].to_numpy())
    return column if rows is None else column[rows]


def rename_stored(table: pa.Table) -> pa.Table:
    """Rename the columns of a stored table of cells to the names that readers use."""
    names = {stored: name for name, stored in FIRST_NAMES.items()}
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
    from storage.artefacts import samples

    try:
        return array(cells, "image_id")
    except LookupError:
        return np.asarray(samples.read_positions(collected())["image_id"][members])


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
