"""Gallery: a picture of what every unit of a layer wants to see, and how it does against the unit's strongest patch."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pyarrow as pa

from atlas import seeds
from atlas.inversion import objectives
from atlas.inversion.recipes import PICTURE_RECIPES
from atlas.inversion.visualise import Visualised, visualise
from flows import progress
from flows.config import RunConfig
from flows.model import prepared
from flows.stages import reading
from flows.stages.tasks import Outcome, Task
from flows.stages.writing import drafting, outcome
from storage.artefacts import arrays, galleries, tables
from storage.store.store import Store

BATCH, TRIES = 16, 3
GREY = 128


def compute(store: Store, task: Task) -> list[Outcome]:
    """Draw the units of one layer."""
    config, output = RunConfig(**task.how["config"]), task.outputs[0]
    made = _drawn(reading.prepared_model(task), config, str(output.layer))
    patch = galleries.strongest(store.get("patches", task.reads["patches"]))
    pictures = made.pictures.copy()
    pictures[made.dead] = GREY
    with drafting(store, output) as page:
        facts = {"value": made.value, "best": made.best, "patch": patch, "dead": made.dead}
        arrays.write_group(page.path / "gallery.zarr", {"pictures": pictures, **facts}, chunk_rows=64)
        unit, ratio = np.arange(len(patch), dtype=np.int32), galleries.ratio(made.best, patch)
        tables.write_table(page.path / "gallery.parquet", pa.table({"unit": unit, **facts, "ratio": ratio}))
        page.json("gallery.json", {"recipe": asdict(PICTURE_RECIPES[config.recipe])})
        page.counts = {"units": len(patch), "dead": int(made.dead.sum())}
    return [outcome(page)]


def _drawn(subj: prepared.PreparedModel, config: RunConfig, name: str) -> Visualised:
    layer, side = subj.layers[name], config.icon_size
    with progress.current().bar(f"gallery {name}", layer.units, "pictures") as advance:
        return visualise(
            subj.drawing(),
            lambda rows: objectives.channel(name, rows.tolist()),
            [layer],
            recipe=PICTURE_RECIPES[config.recipe],
            seeds=seeds.seeds(config.seed, [f"{name}:{unit}" for unit in range(layer.units)]),
            mean=subj.model.mean,
            std=subj.model.std,
            size=(side, side),
            own_size=subj.model.preprocess.size,
            judge=lambda rows: objectives.peak(name, rows.tolist()),
            batch=BATCH,
            tries=TRIES,
            progress=lambda done, total: advance(done),
        )
