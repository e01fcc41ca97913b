"""Receptive field: measure the reach and focus of the layers on the first images of the run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.model import receptive_field
from atlas.model.gradient_flow import why_no_gradient
from flows import progress
from flows.config import RunConfig
from flows.model import prepared
from flows.planning import costs, libraries
from flows.planning.costs import Cost, Estimate, Probe, Size
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import image_listing
from flows.stages.shared import reading
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import receptive_fields
from storage.errors import Incomplete
from storage.images import loader
from storage.store.store import Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


IMAGES = 64
"""Images that the focus is measured on."""
LISTED = 256
"""First images of the run to take them from: broken ones are skipped, so that they change nothing."""


def compute(store: Store, task: Task) -> list[Outcome]:
    """Measure all layers of the task in one go."""
    config = RunConfig(**task.settings["config"])
    model = reading.prepared_model(task)
    layers = {str(output.layer): model.layers[str(output.layer)] for output in task.outputs}
    rows = image_listing.read(store, task.reads["listing"], 0, task.settings["stop"])
    folded, size = model.folded_on_cpu(), model.model.preprocess.size
    with progress.current().bar("receptive fields", 2, "measures") as advance:
        reach = receptive_field.reach(folded, layers, (model.model.preprocess.channels, *size))
        advance(1)
        focus = receptive_field.focus(folded, layers, _images(model, rows, config), seed=config.seed)
    for name, layer in layers.items():
        if why := why_no_gradient(folded, layer, prepared.example(model.model)[None]):
            progress.current().say(f"  {name}: {why}; its focus is its stride, and its icons stay grey")
    outcomes = []
    for output in task.outputs:
        with drafting(store, output) as draft:
            name = str(output.layer)
            receptive_fields.write(
                draft.path,
                receptive_fields.Field(layer=layers[name], input_shape=size, reach=reach[name], focus=focus[name]),
            )
        outcomes.append(outcome(draft))
    return outcomes


def _images(model: prepared.PreparedModel, rows: pa.Table, config: RunConfig) -> Tensor:
    """Return the first usable images, normalised, `n c h w`."""
    source = reading.source_of(config)
    usable: list[NDArray[Any]] = []
    for batch in loader.load(source, rows, model.model.preprocess, batch=IMAGES, threads=2):
        usable += list(batch.pixels[batch.valid])
        if len(usable) >= IMAGES:
            break
    if not usable:
        raise Incomplete(f"none of the first {len(rows)} images can be used, so no receptive field can be measured")
    pixels = np.stack(usable[:IMAGES])
    return model.model.preprocess.normalise(torch.from_numpy(pixels))


def plan(context: PlanContext) -> list[Task]:
    """Return one task for all layers."""
    outputs = [Output(stage="field", key=key(context, layer), layer=layer) for layer in context.layers]
    stop = int(_first(context)["image_id"][-1].as_py()) + 1
    return [context.task("field", outputs, {"listing": context.listing}, {"stop": stop})]


def key(context: PlanContext, layer: str) -> str:
    """Return the key of a layer's receptive field."""
    return context.cached(("field", layer), lambda: _key(context, layer))


def _key(context: PlanContext, layer: str) -> str:
    rows = context.cached("field", lambda: context.rows_key(_first(context)))
    reads = {"fingerprint": context.model.fingerprints[layer], "rows": rows}
    settings = {
        "layer": asdict(context.model.layers[layer]),
        "seed": context.config.seed,
        "images": [IMAGES, LISTED],
    }
    return context.key("field", reads, settings | libraries.of_key("field"))


def _first(context: PlanContext) -> pa.Table:
    """Return the first images to measure on; a subset takes those of the whole, so that its fields are reused."""
    return context.live.slice(0, LISTED)


MEASURING = 0.5
"""Passes of collect that one pass of the measurement takes: it decodes nothing and ends early."""


def cost(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """Count a pass per row and column on a strip, those checked, and one forward and back per image; layers share them."""
    height, width = size.input
    strips = height * min(1, receptive_field.STRIP / width) + width * min(1, receptive_field.STRIP / height)
    passes = (strips + 2 * receptive_field.CHECKED) / size.layers + costs.THERE_AND_BACK * IMAGES
    return Estimate(seconds=MEASURING * passes * probe.collect, bytes=sum(probed.bytes.values()))
