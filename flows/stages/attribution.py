"""Attribution: what each cell's samples speak for, as the model's classes; the samples pass by once for all grids."""

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
from flows.stages import cells, collect, listing, reading
from flows.stages.passes import fill, pass_settings, passes
from flows.stages.writing import drafting, outcome
from storage.artefacts import arrays, tables
from storage.artefacts import samples as sample_arrays
from storage.errors import ModelError
from storage.store.store import Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


FIELDS = ("mean", "used", "classes", "share", "sample", "sample_classes", "sample_values")


def compute(store: Store, task: Task) -> list[Outcome]:
    """Attribute the samples of the grids named, all of one layer."""
    config, layer = RunConfig(**task.how["config"]), str(task.outputs[0].layer)
    samples = sample_arrays.read_positions(list(sample_arrays.results(store, "collect", task.reads["collect"])))
    places = [_places(store, task.reads["cells"][str(output.grid)]) for output in task.outputs]
    drawn = [class_cells.choose_samples(p["offsets"], p["members"], config.attribution_per_cell) for p in places]
    means = [ClassMeans(len(p["row"]), *d) for p, d in zip(places, drawn, strict=True)]
    wanted = np.unique(np.concatenate([sample for _, sample in drawn]))
    _pass(
        reading.prepared_model(task), config, listing.read(store, task.reads["listing"]), layer, samples, wanted, means
    )
    return [
        _write(store, output, place, mean.finish(), mean.nonfinite)
        for output, place, mean in zip(task.outputs, places, means, strict=True)
    ]


def _places(store: Store, key: str) -> dict[str, NDArray[Any]]:
    path = store.get("cells", key).path / "cells.zarr"
    return {name: arrays.read_array(path, name) for name in ("row", "col", "offsets", "members")}


def _pass(
    subj: prepared.PreparedModel,
    config: RunConfig,
    rows: pa.Table,
    layer: str,
    samples: dict[str, NDArray[Any]],
    wanted: NDArray[np.int64],
    means: list[ClassMeans],
) -> None:
    """Show every grid the attributions of the samples `wanted`, which stand in the order of their images."""
    module, found = subj.module_exposing([layer]), subj.layers[layer]
    image_id, done = samples["image_id"][wanted], 0
    with progress.current().bar(f"attribution {layer}", len(wanted), "samples") as advance:
        for images, numbers in passes(subj, config, rows, image_id):
            chosen = wanted[numbers]
            y, x = fill(samples["y"][chosen], subj.device), fill(samples["x"][chosen], subj.device)
            try:
                given = forward_mode.attribution(module, images, found, y, x, subj.model.logits)
            except forward_mode.NoTangentError as error:
                raise ModelError(f"--with attribution: {error}") from None
            for mean in means:
                mean.add(chosen, given[: len(chosen)].float().cpu().numpy())
            done += len(chosen)
            advance(done)


def _write(store: Store, output: Output, place: dict[str, NDArray[Any]], made: CellClasses, nonfinite: int) -> Outcome:
    with drafting(store, output) as page:
        arrays.write_group(page.path / "attribution.zarr", {name: getattr(made, name) for name in FIELDS})
        cell, rank = np.nonzero(made.classes >= 0)
        best = made.classes[cell, rank]
        columns: dict[str, NDArray[Any]] = {
            "row": place["row"][cell],
            "col": place["col"][cell],
            "rank": rank.astype(np.int16),
            "class": best,
        }
        columns |= {"mean": made.mean[cell, best], "share": made.share[cell, rank], "samples": made.used[cell]}
        tables.write_table(page.path / "attribution.parquet", pa.table(columns))
        page.counts = {"cells": len(made.used), "samples": len(made.sample), "nonfinite": nonfinite}
    return outcome(page)


def plan(context: PlanContext) -> list[Task]:
    """Return one task per layer, which passes each sample once for all grids."""
    return [_task(context, layer) for layer in context.layers] if context.grids else []


def _task(context: PlanContext, layer: str) -> Task:
    keys = {str(grid): cells.key(context, layer, grid) for grid in context.grids}
    outputs = [
        Output(stage="attribution", key=_key(context, layer, keys[str(grid)]), layer=layer, grid=grid)
        for grid in context.grids
    ]
    reads = {"collect": collect.keys(context, layer), "cells": keys, "listing": context.listing}
    return context.task("attribution", outputs, reads)


def _key(context: PlanContext, layer: str, cells_key: str) -> str:
    model = context.model
    reads = {
        "collect": collect.keys(context, layer),
        "cells": cells_key,
        "fingerprint": model.fingerprints[layer],
        "model": model.whole,
    }
    settings = pass_settings(context, "attribution") | {
        "layer": asdict(model.layers[layer]),
        "scores": model.model.logits.__qualname__,
        "top": TOP,
        "per_cell": context.config.attribution_per_cell,
    }
    return context.key("attribution", reads, settings)


def cost(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """A pass in forward mode for each sample used."""
    used = min(size.samples, (size.per_cell or size.samples) * size.cells)
    return Estimate(
        seconds=costs.THERE_AND_BACK * probe.collect * used,
        bytes=4 * size.classes * size.cells + 8 * TOP * used + 8 * used,
    )
