"""Patches: find the strongest patches of every unit over all shards, with their boxes and thumbnails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas import topk
from atlas.arrays import SIGNS, TopK
from atlas.collect import Extremes
from flows import progress
from flows.config import RunConfig
from flows.cores import cores
from flows.planning import costs
from flows.planning.costs import Cost, Estimate, Probe, Size
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import collect, field, image_listing
from flows.stages.shared import reading
from flows.stages.shared.patch_boxes import PatchBoxes
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import receptive_fields, samples, tables
from storage.images import crops
from storage.store.store import Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


THUMBNAILS = 16
"""Patches of each sign of a unit that get a thumbnail."""
SIZE = 72
"""Longer side of a thumbnail in pixels."""
GROUP = 2048
"""Rows per row group: small, so that one unit's patches are one short read."""


def compute(store: Store, task: Task) -> list[Outcome]:
    """Find the patches of the outputs' layers; open each winning image once for all of them."""
    config = RunConfig(**task.settings["config"])
    places = PatchBoxes(store, task.reads["images"], config)
    merged = {str(output.layer): _merge(store, task.reads["collect"][str(output.layer)]) for output in task.outputs}
    records = {
        str(output.layer): _records(store, task.reads["field"][str(output.layer)], merged[str(output.layer)], places)
        for output in task.outputs
    }
    pictures = _thumbnails(store, task, records, config)
    return [
        _write(store, output, records[str(output.layer)], pictures[str(output.layer)], merged[str(output.layer)])
        for output in task.outputs
    ]


Merged = tuple[dict[str, TopK], dict[str, NDArray[Any]]]


def _merge(store: Store, keys: list[str]) -> Merged:
    """Merge the shards' parts one by one: memory holds two of them, whatever their number."""
    top: dict[str, TopK] = {}
    counts: dict[str, NDArray[Any]] = {}
    for part in samples.results(store, "collect", keys):
        further, part_counts = samples.read_top(part)
        top = {sign: topk.merge([top[sign], further[sign]] if top else [further[sign]], sign) for sign in SIGNS}
        counts = _add(counts, part_counts) if counts else part_counts
    return top, counts


def _add(a: dict[str, NDArray[Any]], b: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Add the counts of two disjoint sets of images."""
    joined: dict[str, NDArray[Any]] = {"nonfinite": a["nonfinite"] + b["nonfinite"]}
    for sign in SIGNS:
        both = [Extremes(part[f"{sign}_extreme"], part[f"{sign}_extreme_count"]) for part in (a, b)]
        best = both[0].merge(both[1], sign)
        joined |= {f"{sign}_extreme": best.value, f"{sign}_extreme_count": best.images}
    return joined


def _records(store: Store, field_key: str, merged: Merged, places: PatchBoxes) -> pa.Table:
    """Return one row per patch, sorted by unit, sign and rank, with boxes in pixels of the source image."""
    field = receptive_fields.read(store.get("field", field_key))
    columns: dict[str, list[NDArray[Any]]] = {}
    for sign in SIGNS:
        top = merged[0][sign]
        unit, rank = np.nonzero(top.image_id >= 0)
        picked = {"unit": unit.astype(np.int32), "sign": np.full(len(unit), sign), "rank": rank.astype(np.int16)}
        picked |= {name: getattr(top, name)[unit, rank] for name in ("value", "image_id", "y", "x")}
        for name, values in picked.items():
            columns.setdefault(name, []).append(values)
    joined = {name: np.concatenate(values) for name, values in columns.items()}
    order = np.lexsort((joined["rank"], joined["sign"] == "negative", joined["unit"]))
    joined = {name: values[order] for name, values in joined.items()}
    joined |= places.boxes(field, joined["image_id"], joined["y"], joined["x"])
    return pa.table(joined)


def _thumbnails(store: Store, task: Task, records: dict[str, pa.Table], config: RunConfig) -> dict[str, list[bytes]]:
    """Cut the thumbnails of all layers' best patches, each image opened once."""
    best = {layer: table.filter(pa.compute.less(table["rank"], THUMBNAILS)) for layer, table in records.items()}
    ids = np.concatenate([table["image_id"].to_numpy() for table in best.values()])
    boxes = np.concatenate([_focus(table) for table in best.values()])
    rows = image_listing.read(store, task.reads["listing"])
    source = reading.source_of(config)
    with progress.current().bar("patches", len(np.unique(ids)), "images") as advance:
        thumbnails = crops.crops(source, rows, ids, boxes, SIZE, threads=cores(), advance=advance)
    ends = np.cumsum([len(table) for table in best.values()])
    return {layer: thumbnails[end - len(best[layer]) : end] for layer, end in zip(best, ends.tolist(), strict=True)}


def _focus(table: pa.Table) -> NDArray[np.int32]:
    sides = ("left", "top", "right", "bottom")
    return np.stack([table[f"focus_{side}"].to_numpy() for side in sides], axis=1).astype(np.int32)


def _write(store: Store, output: Output, records: pa.Table, pictures: list[bytes], merged: Merged) -> Outcome:
    best = records.filter(pa.compute.less(records["rank"], THUMBNAILS)).select(["unit", "sign", "rank"])
    with drafting(store, output) as draft:
        tables.write_table(draft.path / "patches.parquet", records, row_group_size=GROUP)
        thumbnails = best.append_column("picture", pa.array(pictures, pa.large_binary()))
        tables.write_table(draft.path / "thumbnails.parquet", thumbnails, row_group_size=GROUP // 8)
        counts = merged[1]
        units = pa.table({"unit": np.arange(len(counts["nonfinite"]), dtype=np.int32), **counts})
        tables.write_table(draft.path / "units.parquet", units)
        draft.counts = {"patches": len(records), "thumbnails": len(pictures), "units": len(units)}
    return outcome(draft)


def plan(context: PlanContext) -> list[Task]:
    """Return one task for all layers, so that each winning image is opened once."""
    outputs = [Output(stage="patches", key=key(context, layer), layer=layer) for layer in context.layers]
    parts = {layer: collect.keys(context, layer) for layer in context.layers}
    fields = {layer: field.key(context, layer) for layer in context.layers}
    reads = {"listing": context.listing, "collect": parts, "images": collect.image_keys(context), "field": fields}
    return [context.task("patches", outputs, reads)]


def key(context: PlanContext, layer: str) -> str:
    """Return the key of a layer's patches."""
    reads = {
        "collect": collect.keys(context, layer),
        "images": collect.image_keys(context),
        "field": field.key(context, layer),
    }
    return context.key("patches", reads, {"thumbnails": THUMBNAILS, "size": SIZE})


def cost(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """Scale by the units, and read the images of the strongest patches once for all layers."""
    winners = min(size.images / size.layers, 2 * THUMBNAILS * size.units)
    scaled = costs.scale(probed, size.units, probed.counts.get("units", 0))
    reading_images = probe.decode * max(0.0, winners - probe.images / size.layers)
    return Estimate(seconds=scaled.seconds + reading_images, bytes=scaled.bytes)
