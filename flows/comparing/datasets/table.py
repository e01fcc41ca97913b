"""Write a comparison of two datasets as one Parquet table: a row per cell, unit, label and sample of every layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from atlas.comparing.datasets import Side
from flows.comparing.datasets.answer_types import DatasetComparison, DatasetLayer
from flows.comparing.datasets.measure import LayerDifference
from flows.comparing.pairs import version_name
from flows.comparing.table import write_whole
from storage.run import Run

COLUMNS = pa.schema(
    [
        ("what", pa.large_string()),
        ("layer", pa.large_string()),
        # cells
        ("grid", pa.int32()),
        ("row", pa.int32()),
        ("col", pa.int32()),
        ("state", pa.large_string()),
        # cells and labels: `count` is of samples, or of images
        ("a_count", pa.int64()),
        ("b_count", pa.int64()),
        ("a_share", pa.float64()),
        ("b_share", pa.float64()),
        ("ratio", pa.float64()),
        # units and labels
        ("unit", pa.int32()),
        ("label", pa.large_string()),
        ("shift", pa.float64()),
        # the interval and p-value of the ratio, or of a unit's shift
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("p", pa.float64()),
        ("beyond", pa.bool_()),
        # samples
        ("run", pa.large_string()),
        ("image_id", pa.int64()),
        ("map_y", pa.float64()),
        ("map_x", pa.float64()),
        ("distance", pa.float64()),
    ]
)
"""`what` is the kind of a row: cell, unit, peak, label or sample; columns of other kinds are null."""


def write(path: Path, answer: DatasetComparison, layers: Sequence[LayerDifference]) -> None:
    """Write the table, atomically replacing an older one."""
    write_whole(path, pa.concat_tables(_parts(answer, layers)))


def _parts(answer: DatasetComparison, layers: Sequence[LayerDifference]) -> Iterator[pa.Table]:
    for facts, layer in zip(answer["layers"], layers, strict=True):
        place = {"layer": facts["layer"]}
        for what, rows in _rows(facts).items():
            yield pa.Table.from_pylist([{"what": what, **place, **row} for row in rows], schema=COLUMNS)
        for run, side in zip(layer.runs, layer.measured.sides, strict=True):
            yield _samples(run, side, facts["layer"])


def _rows(layer: DatasetLayer) -> dict[str, list[Mapping[str, Any]]]:
    return {
        "cell": [
            {"grid": int(grid), **cell, **_counts(cell["samples"], cell["shares"]), "beyond": cell["state"] != "even"}
            for grid, densities in layer["cells"].items()
            for cell in densities["cells"]
        ],
        "unit": [{**unit} for unit in layer["units"]],
        "peak": [{"unit": unit["unit"], **unit["peak"]} for unit in layer["units"] if unit["peak"] is not None],
        "label": [{**label, **_counts(label["images"], label["shares"])} for label in layer["labels"]],
    }


def _counts(count: Sequence[int], shares: Sequence[float]) -> dict[str, Any]:
    return {"a_count": count[0], "b_count": count[1], "a_share": shares[0], "b_share": shares[1]}


def _samples(run: Run, one: Side, layer: str) -> pa.Table:
    columns: dict[str, Any] = {
        "image_id": one.samples.image_id,
        "map_x": one.placed.points[:, 0],
        "map_y": one.placed.points[:, 1],
        "distance": one.placed.distance,
    }
    rows = len(one.image)
    texts = {"what": "sample", "layer": layer, "run": version_name(run)}
    columns |= {name: pa.array([text] * rows, pa.large_string()) for name, text in texts.items()}
    return pa.table(
        [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(rows, f.type) for f in COLUMNS],
        schema=COLUMNS,
    )
