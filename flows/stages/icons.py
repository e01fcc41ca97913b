"""Icons: each cell's average turned into a picture, with the proof that it is one of that cell."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from atlas import seeds
from atlas.inversion import icons, recipes
from flows import progress
from flows.config import RunConfig
from flows.stages import reading
from flows.stages.tasks import Outcome, Output, Task
from flows.stages.writing import drafting, outcome
from storage.artefacts import arrays, tables
from storage.store.store import Store

FIELDS = ("pictures", "cosine", "rank", "tries", "weak")
BATCH = 16


def compute(store: Store, task: Task) -> list[Outcome]:
    """Render the icons of one grid."""
    config, output = RunConfig(**task.how["config"]), task.outputs[0]
    subj = reading.prepared_model(task)
    group = arrays.read_group(store.get("cells", task.reads["cells"]).path / "cells.zarr")
    moment = arrays.read_array(store.get("moment", task.reads["moment"]).path / "moment.zarr", "moment")
    with progress.current().bar(f"icons {output.layer} {output.grid}", len(group["row"]), "icons") as advance:
        made = icons.icons(
            subj.drawing(),
            subj.layers[str(output.layer)],
            group["mean"],
            moment,
            recipe=recipes.ICON_RECIPES[config.recipe],
            seeds=seeds.seeds(config.seed, _names(output, group["row"].tolist(), group["col"].tolist())),
            mean=subj.model.mean,
            std=subj.model.std,
            size=config.icon_size,
            own_size=subj.model.preprocess.size,
            tries=config.icon_tries,
            batch=BATCH,
            progress=_forward(advance, len(group["row"])),
        )
    with drafting(store, output) as page:
        arrays.write_group(page.path / "icons.zarr", {name: getattr(made, name) for name in FIELDS}, chunk_rows=64)
        scores = {name: getattr(made, name) for name in ("cosine", "rank", "tries", "weak")}
        tables.write_table(page.path / "icons.parquet", pa.table({"row": group["row"], "col": group["col"], **scores}))
        page.counts = {"icons": len(made.rank), "weak": int(made.weak.sum())}
    return [outcome(page)]


def _forward(advance: progress.Bar, count: int) -> Callable[[int, int], None]:
    """Tell a bar of icons done and to do; further tries of weak ones make the work longer, never less done."""
    furthest = 0

    def tell(done: int, total: int) -> None:
        nonlocal furthest
        furthest = max(furthest, done * count // max(total, 1))
        advance(furthest)

    return tell


def _names(output: Output, rows: list[int], cols: list[int]) -> list[str]:
    """Return what names each cell, and nothing else."""
    return [f"{output.layer}/{output.grid}/{row},{col}" for row, col in zip(rows, cols, strict=True)]
