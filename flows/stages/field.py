"""Receptive field: reach and focus of the layers, measured on the first images of the run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.model import receptive_field
from flows import progress
from flows.config import RunConfig
from flows.model import prepared
from flows.stages import listing, reading
from flows.stages.tasks import Outcome, Task
from flows.stages.writing import drafting, outcome
from storage.artefacts import receptive_fields
from storage.errors import Incomplete
from storage.images import loader
from storage.store.store import Store

IMAGES = 64
"""Images that the focus is measured on."""
LISTED = 256
"""Images among which they are looked for: the first that can be used, so that broken ones change nothing."""


def compute(store: Store, task: Task) -> list[Outcome]:
    """Measure the layers named, in one go."""
    config = RunConfig(**task.how["config"])
    subj = reading.prepared_model(task)
    layers = {str(output.layer): subj.layers[str(output.layer)] for output in task.outputs}
    rows = listing.read(store, task.reads["listing"], 0, task.how["stop"])
    module, size = subj.model.module, subj.model.preprocess.size
    with progress.current().bar("receptive fields", 2, "measures") as advance:
        reach = receptive_field.reach(module, layers, (subj.model.preprocess.channels, *size))
        advance(1)
        focus = receptive_field.focus(module, layers, _images(subj, rows, config), seed=config.seed)
    done = []
    for output in task.outputs:
        with drafting(store, output) as page:
            name = str(output.layer)
            receptive_fields.write(
                page.path,
                receptive_fields.Field(layer=layers[name], input_shape=size, reach=reach[name], focus=focus[name]),
            )
        done.append(outcome(page))
    return done


def _images(subj: prepared.PreparedModel, rows: pa.Table, config: RunConfig) -> Tensor:
    """Return the first images that can be used, normalised, `n c h w`."""
    source = reading.source_of(config.images)
    found: list[NDArray[Any]] = []
    for batch in loader.load(source, rows, subj.model.preprocess, batch=IMAGES, threads=2):
        found += list(batch.pixels[batch.valid])
        if len(found) >= IMAGES:
            break
    if not found:
        raise Incomplete(f"none of the first {len(rows)} images can be used, so no receptive field can be measured")
    pixels = np.stack(found[:IMAGES])
    return subj.model.preprocess.normalise(torch.from_numpy(pixels))
