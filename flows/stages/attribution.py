"""Attribution: how much of each class's score a cell's samples account for; one pass over the samples serves all grids."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas import class_cells
from atlas.arrays import CellClasses
from atlas.class_cells import TOP, ClassMeans
from atlas.model import forward_mode
from flows import progress
from flows.config import RunConfig
from flows.model import prepared
from flows.planning import costs
from flows.planning.costs import Cost, Estimate, Probe, Size
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import cells, image_listing
from flows.stages.shared import reading, sample_reads
from flows.stages.shared.passes import fill_batch, pass_settings, passes
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import arrays, tables
from storage.artefacts import cells as cell_arrays
from storage.artefacts import samples as sample_arrays
from storage.errors import ModelError
from storage.store.store import Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


FIELDS = ("mean", "used", "classes", "share", "sample", "sample_classes", "sample_values")


def compute(store: Store, task: Task) -> list[Outcome]:
    """Attribute the samples of the outputs' grids, all of one layer, to the classes."""
    config, layer = RunConfig(**task.settings["config"]), str(task.outputs[0].layer)
    samples = sample_arrays.read_positions(sample_reads.results(store, task.reads))
    places = [_places(store, task.reads["cells"][str(output.grid)]) for output in task.outputs]
    chosen = [class_cells.choose_samples(p["offsets"], p["members"], config.attribution_per_cell) for p in places]
    means = [ClassMeans(len(p["row"]), *d) for p, d in zip(places, chosen, strict=True)]
    used = np.unique(np.concatenate([sample for _, sample in chosen]))
    _pass(
        reading.prepared_model(task),
        config,
        image_listing.read(store, task.reads["listing"]),
        layer,
        samples,
        used,
        means,
    )
    return [
        _write(store, output, place, mean.finish(), mean.nonfinite)
        for output, place, mean in zip(task.outputs, places, means, strict=True)
    ]


def _places(store: Store, key: str) -> dict[str, NDArray[Any]]:
    return cell_arrays.read_columns(store.get("cells", key), ("row", "col", "offsets", "members"))


def _pass(
    model: prepared.PreparedModel,
    config: RunConfig,
    rows: pa.Table,
    layer: str,
    samples: dict[str, NDArray[Any]],
    used: NDArray[np.int64],
    means: list[ClassMeans],
) -> None:
    """Add the attributions of the samples `used`, in the order of their images, to the means of every grid."""
    module, facts = model.module_exposing([layer]), model.layers[layer]
    image_id, done = samples["image_id"][used], 0
    with progress.current().bar(f"attribution {layer}", len(used), "samples") as advance:
        for images, numbers in passes(model, config, rows, image_id):
            chosen = used[numbers]
            y, x = fill_batch(samples["y"][chosen], model.device), fill_batch(samples["x"][chosen], model.device)
            try:
                attributions = forward_mode.attribution(module, images, facts, y, x, model.model.logits)
            except forward_mode.NoTangentError as error:
                raise ModelError(f"--with attribution: {error}") from None
            for mean in means:
                mean.add(chosen, attributions[: len(chosen)].float().cpu().numpy())
            done += len(chosen)
            advance(done)


def _write(
    store: Store, output: Output, place: dict[str, NDArray[Any]], classes: CellClasses, nonfinite: int
) -> Outcome:
    with drafting(store, output) as draft:
        arrays.write_group(draft.path / "attribution.zarr", {name: getattr(classes, name) for name in FIELDS})
        cell, rank = np.nonzero(classes.classes >= 0)
        best = classes.classes[cell, rank]
        columns: dict[str, NDArray[Any]] = {
            "row": place["row"][cell],
            "col": place["col"][cell],
            "rank": rank.astype(np.int16),
            "class": best,
        }
        columns |= {"mean": classes.mean[cell, best], "share": classes.share[cell, rank], "samples": classes.used[cell]}
        tables.write_table(draft.path / "attribution.parquet", pa.table(columns))
        draft.counts = {"cells": len(classes.used), "samples": len(classes.sample), "nonfinite": nonfinite}
    return outcome(draft)


def plan(context: PlanContext) -> list[Task]:
    """Return one task per layer: it passes each sample once for all grids."""
    return [_task(context, layer) for layer in context.layers] if context.grids else []


def _task(context: PlanContext, layer: str) -> Task:
    keys = {str(grid): cells.key(context, layer, grid) for grid in context.grids}
    outputs = [
        Output(stage="attribution", key=_key(context, layer, keys[str(grid)]), layer=layer, grid=grid)
        for grid in context.grids
    ]
    reads = {**sample_reads.of(context, layer), "cells": keys, "listing": context.listing}
    return context.task("attribution", outputs, reads)


def _key(context: PlanContext, layer: str, cells_key: str) -> str:
    model = context.model
    reads = {
        **sample_reads.of(context, layer),
        "cells": cells_key,
        "fingerprint": model.fingerprints[layer],
        "model": model.whole,
    }
    settings = pass_settings(context, "attribution") | {
        "layer": asdict(model.layers[layer]),
        "scores": model.model.scores_name,
        "top": TOP,
        "per_cell": context.config.attribution_per_cell,
    }
    return context.key("attribution", reads, settings)


def cost(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """Count a pass in forward mode for each sample used."""
    used = min(size.samples, (size.per_cell or size.samples) * size.cells)
    return Estimate(
        seconds=costs.THERE_AND_BACK * probe.collect * used,
        bytes=4 * size.classes * size.cells + 8 * TOP * used + 8 * used,
    )
