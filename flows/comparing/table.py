"""Write a comparison as one Parquet table: a row per unit, cell, label and sample of every step and layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from flows.comparing.answers import ComparedLayer, Comparison
from flows.comparing.steps import Step
from storage.artefacts import tables

COLUMNS = pa.schema(
    [
        ("what", pa.large_string()),
        ("from", pa.large_string()),
        ("to", pa.large_string()),
        ("layer", pa.large_string()),
        # units
        ("unit", pa.int32()),
        ("drift", pa.float64()),
        ("overlap", pa.float64()),
        ("old_label", pa.large_string()),
        ("new_label", pa.large_string()),
        # cells
        ("grid", pa.int32()),
        ("row", pa.int32()),
        ("col", pa.int32()),
        ("state", pa.large_string()),
        ("old_samples", pa.int64()),
        ("new_samples", pa.int64()),
        ("stayed", pa.float64()),
        ("cosine", pa.float64()),
        # units and cells
        ("label_change", pa.float64()),
        # labels and samples
        ("label", pa.large_string()),
        ("samples", pa.int64()),
        ("shift", pa.float64()),
        ("dx", pa.float64()),
        ("dy", pa.float64()),
        ("distance", pa.float64()),
        # samples
        ("image_id", pa.int64()),
        ("y", pa.int32()),
        ("x", pa.int32()),
        ("old_x", pa.float64()),
        ("old_y", pa.float64()),
        ("new_x", pa.float64()),
        ("new_y", pa.float64()),
    ]
)
"""`what` is the kind of a row: unit, cell, label or sample; columns of other kinds are null."""


def write(path: Path, answer: Comparison, steps: Sequence[Sequence[Step]]) -> None:
    """Write the table, atomically replacing an older one."""
    write_whole(path, pa.concat_tables(_parts(answer, steps)))


def write_whole(path: Path, table: pa.Table) -> None:
    """Write a table, atomically replacing an older one."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        tables.write_table(fresh, table)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _parts(answer: Comparison, steps: Sequence[Sequence[Step]]) -> Iterator[pa.Table]:
    for described, layers in zip(answer["steps"], steps, strict=True):
        for layer, step in zip(described["layers"], layers, strict=True):
            place = {"from": described["from"], "to": described["to"], "layer": layer["layer"]}
            for what, rows in _rows(layer).items():
                yield pa.Table.from_pylist([{"what": what, **place, **row} for row in rows], schema=COLUMNS)
            yield _samples(step, place)


def _rows(layer: ComparedLayer) -> dict[str, Sequence[Mapping[str, Any]]]:
    cells = [{"grid": int(grid), **cell} for grid, changes in layer["cells"].items() for cell in changes["cells"]]
    return {"unit": layer["units"], "cell": cells, "label": layer["labels"]}


def _samples(step: Step, place: dict[str, str]) -> pa.Table:
    """Return a row per shared sample, with the image ids of the newer run."""
    pair = step.pair
    (old, new), rows, samples = pair.points, pair.rows[1], pair.after.samples
    names = pa.array([*pair.images.names, None], pa.large_string())
    columns: dict[str, Any] = {name: pa.array([text] * len(rows), pa.large_string()) for name, text in place.items()}
    columns |= {
        "what": pa.array(["sample"] * len(rows), pa.large_string()),
        "label": names.take(pa.array([n if n >= 0 else len(names) - 1 for n in pair.label.tolist()], pa.int64())),
        "image_id": samples.image_id[rows],
        "y": samples.y[rows],
        "x": samples.x[rows],
        "old_x": old[:, 0],
        "old_y": old[:, 1],
        "new_x": new[:, 0],
        "new_y": new[:, 1],
        "distance": step.moved,
    }
    return pa.table(
        [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(len(rows), f.type) for f in COLUMNS],
        schema=COLUMNS,
    )
