"""The strongest patches of a unit as a table."""

from __future__ import annotations

import pyarrow as pa

SIDES = ("left", "top", "right", "bottom")
BOX = pa.struct([(side, pa.int32()) for side in SIDES])


def with_images(rows: pa.Table, layer: str, images: pa.Table) -> pa.Table:
    """Join stored patches of a layer with the path and label of their images; boxes, if there, become structs."""
    ids = rows["image_id"].to_pylist()
    by_id = {row["image_id"]: row for row in images.to_pylist()}
    columns = {
        "layer": pa.array([layer] * len(rows), pa.large_string()),
        "unit": rows["unit"],
        "sign": rows["sign"],
        "rank": rows["rank"],
        "value": rows["value"],
        "image_id": rows["image_id"],
        "path": pa.array([by_id[i]["path"] for i in ids], pa.large_string()),
        "label": pa.array([by_id[i]["label"] for i in ids], pa.large_string()),
        "y": rows["y"],
        "x": rows["x"],
    }
    boxes = [kind for kind in ("reach", "focus") if f"{kind}_left" in rows.column_names]
    return pa.table(columns | {kind: _boxes(rows, kind) for kind in boxes})


def _boxes(rows: pa.Table, kind: str) -> pa.Array:
    columns = [rows[f"{kind}_{side}"].combine_chunks() for side in SIDES]
    return pa.StructArray.from_arrays(columns, fields=list(BOX))
