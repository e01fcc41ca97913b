"""Icons: each cell's average turned into a picture, with the proof that it is one of that cell."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.inversion import icons, recipes
from flows import progress, subject
from flows.config import RunConfig
from flows.stages.writing import outcome, writing
from flows.work import Outcome, Work
from storage import arrays, tables
from storage.store import Store

FIELDS = ("pictures", "cosine", "rank", "tries", "weak")
BATCH = 16


def compute(store: Store, work: Work) -> list[Outcome]:
    """Render the icons of one grid."""
    config, make = RunConfig(**work.how["config"]), work.makes[0]
    subj = subject.open_subject(config)
    group = arrays.read_group(store.get("cells", work.reads["cells"]).path / "cells.zarr")
    moment = arrays.read_array(store.get("moment", work.reads["moment"]).path / "moment.zarr", "moment")
    with progress.current().bar(f"icons {make.layer} {make.grid}", len(group["row"]), "icons") as advance:
        made = icons.icons(
            subj.drawing(),
            subj.layers[str(make.layer)],
            group["mean"],
            moment,
            recipe=recipes.RECIPES[config.recipe],
            seeds=_seeds(config.seed, str(make.layer), int(make.grid or 0), group["row"], group["col"]),
            mean=subj.model.mean,
            std=subj.model.std,
            size=config.icon_size,
            own_size=subj.model.preprocess.size,
            tries=config.icon_tries,
            batch=BATCH,
            progress=_forward(advance, len(group["row"])),
        )
    with writing(store, make) as page:
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


def _seeds(seed: int, layer: str, grid: int, row: NDArray[np.int32], col: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return one seed per cell, from what names the cell and nothing else."""
    names = [f"{seed}/{layer}/{grid}/{r},{c}" for r, c in zip(row.tolist(), col.tolist(), strict=True)]
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    return np.array([int.from_bytes(digest, "big") >> 1 for digest in digests], dtype=np.int64)
