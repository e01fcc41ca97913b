"""`actlas run --dry-run`: estimate what a run would compute, reuse and take, writing nothing."""

from __future__ import annotations

import importlib
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from flows import progress, registry
from flows.config import RunConfig
from flows.dry_run import probe as probes
from flows.model import prepared
from flows.pipeline import extras, format1, growth, layout_frames, run_images, selections
from flows.pipeline.answers import RunEstimate, StageEstimate
from flows.pipeline.layout_frames import Frames
from flows.pipeline.plan import Planner
from flows.pipeline.run_images import RunImages
from flows.planning import costs
from flows.planning.context import PlanContext
from flows.planning.costs import Estimate, Probe, Size
from flows.planning.tasks import Output
from flows.stages import cells, image_listing
from flows.stages.shared import reading
from flows.stages.shared.left_out import LeftOut
from storage.store.store import Store

LAYING_OUT = 250 << 20
"""Memory of a layout beside its samples, in bytes: as measured with 10,000 and 100,000 of them, without the libraries."""


def estimate(config: RunConfig) -> RunEstimate:
    """Return what a run of this configuration would compute and reuse, with seconds, bytes on disk and memory.

    The figures come from a probe of 64 images on this machine; for layouts and extras, from measured rates. Nothing is
    written into the store.
    """
    store = Store(Path(config.store))
    store.check_writable()
    if config.of is not None:
        return _of_selection(store, config)
    planner, outputs, old, images = _plan(store, config)
    chosen = {"subset": images.subset.about() if images.subset is not None else None}
    return _answer(store, planner, outputs, old, {**images.left.as_dict(), **chosen})


def _of_selection(store: Store, config: RunConfig) -> RunEstimate:
    """Return what a selection would compute and reuse: the samples are chosen, and nothing is written."""
    prepared.forget()
    planner = selections.plan(config)
    taken = [outcome.output for outcome in planner.inherited()]
    outputs = [output for step in planner.steps() for output in step.outputs]
    chosen = {"subset": None, "selection": planner.selection_record()}
    return _answer(store, planner, [*taken, *planner.selections(), *outputs], {}, {**LeftOut().as_dict(), **chosen})


def _answer(
    store: Store,
    planner: PlanContext,
    outputs: Sequence[Output],
    old: Mapping[Output, str],
    images: Mapping[str, Any],
) -> RunEstimate:
    """Return how many of these results are stored, and what the others would take; `images` says which images are used."""
    missing = [output for output in outputs if not _is_stored(store, output, old)]
    probe = _probe(planner, missing)
    rows = _rows(planner, store, outputs, set(missing), probe)
    answer = {
        "name": planner.config.run_name,
        "store": planner.config.store,
        "images": planner.images,
        **images,
        "computed": len(missing),
        "reused": len(outputs) - len(missing),
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "bytes": sum(row["bytes"] for row in rows),
        "memory_bytes": _memory(planner, missing, probe),
        "free_bytes": shutil.disk_usage(_nearest_existing(store.root)).free,
        "probe": {"images": probe.images, "seconds": round(probe.seconds, 1)} if probe else None,
        "frames": {layer: frame.about() for layer, frame in planner.frames.items()},
        "stages": rows,
    }
    return cast(RunEstimate, answer)


def _is_stored(store: Store, output: Output, old: Mapping[Output, str]) -> bool:
    keys = [output.key, *([old[output]] if output in old else [])]
    return any(store.find(output.stage, key) is not None for key in keys)


def _plan(store: Store, config: RunConfig) -> tuple[Planner, list[Output], dict[Output, str], RunImages]:
    """Plan the run and name all its results; also return the keys of format 1 that it would take over, and what it leaves out."""
    layout_frames.check_kind(store, config)
    prepared.forget()
    reading.forget()
    progress.current().say(f"model {config.model}: loading")
    model = prepared.prepare(config)
    config = extras.of_run(config, model.model)
    progress.current().say(f"images {config.images}: listing")
    config = growth.grown(store, config)
    listed, table = image_listing.plan_listing(store, config)
    images = run_images.plan(config, listed, table)
    planner = Planner(config, model, listed.key, table, Frames(store, config), images.chosen)
    old = format1.plan(store, config, model, listed.key, table)
    if old is not None:
        format1.adopt_frames(store, planner, old)
    old_keys = format1.old_keys(planner, old) if old is not None else {}
    steps = planner.steps() if config.until != "listing" else []
    outputs = [output for step in steps for output in step.outputs]
    later = [output for step in planner.later_steps() for output in step.outputs]
    reused = [output for output in later if _is_stored(store, output, old_keys)]
    return planner, [*images.outputs, *outputs, *reused], old_keys, images


def _probe(planner: PlanContext, missing: Sequence[Output]) -> Probe | None:
    """Probe the stages of the missing results; None if none of them takes time."""
    stages = [
        row for row in registry.STAGES if row.name in {output.stage for output in missing} and row.cost != "nothing"
    ]
    if not stages:
        return None
    names = {"collect", *(row.name for row in stages if row.probed), *(row.cost_of for row in stages if row.cost_of)}
    layers = {output.layer for output in missing}
    chosen = [layer for layer in planner.layers if layer in layers] or planner.layers
    return probes.probe(planner.config, planner.model.loaded, planner.table, names, chosen)


def _rows(
    planner: PlanContext, store: Store, outputs: Iterable[Output], missing: set[Output], probe: Probe | None
) -> list[StageEstimate]:
    """Return, per stage and layer, how many results would be computed and reused, and their cost."""
    rows: dict[tuple[str, str | None], StageEstimate] = {}
    together = Counter(output.shard for output in missing)
    for output in outputs:
        blank = StageEstimate(stage=output.stage, layer=output.layer, computed=0, reused=0, seconds=0.0, bytes=0)
        row = rows.setdefault((output.stage, output.layer), blank)
        row["computed" if output in missing else "reused"] += 1
        if output in missing and probe is not None:
            cost = scale(output.stage, output.layer, _size(planner, store, output, together[output.shard]), probe)
            row["seconds"] = round(row["seconds"] + cost.seconds, 3)
            row["bytes"] += round(cost.bytes)
    return list(rows.values())


def scale(stage: str, layer: str | None, size: Size, probe: Probe) -> Estimate:
    """Scale the probed cost of a stage to a result's size: the cost of this layer, or of another that was probed."""
    row = registry.stage(stage)
    measured = row.cost_of or row.name
    first = next((cost for (name, _), cost in probe.costs.items() if name == measured), costs.NOTHING)
    module = importlib.import_module(row.module)
    law: costs.Law = getattr(module, row.cost, None) or getattr(costs, row.cost)
    return law(probe.costs.get((measured, layer), first), size, probe)


def _size(planner: PlanContext, store: Store, output: Output, together: int) -> Size:
    config, layer = planner.config, output.layer
    samples = planner.samples
    return Size(
        images=planner.images if output.shard is None else _images_of(planner, output.shard),
        together=together,
        samples=samples,
        layers=len(planner.layers),
        units=planner.model.layers[layer].units if layer else 0,
        cells=_cells(planner, store, output, samples) if output.grid else 0,
        classes=len(planner.model.model.classes),
        input=planner.model.model.preprocess.size,
        method=config.layout,
        per_cell=config.attribution_per_cell,
    )


def _images_of(planner: PlanContext, number: int) -> int:
    """Return the rows of a shard; a shard without an image leaves a gap in the numbers."""
    return next(len(shard.rows) for shard in planner.shards if shard.number == number)


def _cells(planner: PlanContext, store: Store, output: Output, samples: int) -> float:
    """Return how many cells a grid has: counted if they are in the store, else estimated."""
    layer, grid = str(output.layer), int(output.grid or 0)
    stored = store.find("cells", cells.key(planner, layer, grid))
    return stored.counts["cells"] if stored else costs.filled_cells(samples, grid)


def _memory(planner: PlanContext, missing: Sequence[Output], probe: Probe | None) -> int | None:
    """Return the peak memory of the process: that of the probe, and of a layer's samples (twice) with their layout."""
    if probe is None:
        return None
    samples = planner.samples
    laid = [output.layer for output in missing if output.stage in ("layout", "moment", "cells")]
    largest = max((planner.model.layers[layer].units for layer in laid if layer), default=0)
    return probe.memory + (2 * 4 * samples * largest + LAYING_OUT if largest else 0)


def _nearest_existing(path: Path) -> Path:
    """Return the path, or its nearest existing parent."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())
