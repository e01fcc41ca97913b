"""Gradients: draw which pixels of each unit's nine strongest patches drive the unit."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from atlas import boxes
from atlas.arrays import Geometry
from atlas.attribution import patch_gradients
from atlas.boxes import SIDES
from flows import progress
from flows.config import RunConfig
from flows.model import gradient_method
from flows.planning import costs
from flows.planning.costs import Cost, Estimate, Probe, Size
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import collect, image_listing, patches
from flows.stages.patches import SIZE
from flows.stages.shared import reading
from flows.stages.shared.passes import fill_batch, pass_settings, passes
from flows.stages.shared.patch_boxes import PatchBoxes
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import arrays, tables
from storage.store.store import Result, Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


PATCHES = 9
"""Strongest patches of a unit with a gradient, as many as Zeiler & Fergus show."""

Columns = dict[str, NDArray[Any]]


def compute(store: Store, task: Task) -> list[Outcome]:
    """Draw the gradients of one layer."""
    config, output = RunConfig(**task.settings["config"]), task.outputs[0]
    model, method = reading.prepared_model(task), str(task.settings["method"])
    layer, units = model.layers[str(output.layer)], model.layers[str(output.layer)].units
    columns = _patches(store.get("patches", task.reads["patches"]))
    geometries = PatchBoxes(store, task.reads["images"], config).geometries(columns["image_id"])
    rows, done = image_listing.read(store, task.reads["listing"]), np.zeros(len(columns["unit"]), np.bool_)
    pictures = np.full((len(done), SIZE, SIZE, 3), patch_gradients.GREY, np.uint8)
    module = model.module_exposing([layer.name])
    with progress.current().bar(f"gradients {layer.name}", len(done), "patches") as advance:
        for images, numbers in passes(model, config, rows, columns["image_id"]):
            unit, y, x = (fill_batch(columns[name][numbers], model.device) for name in ("unit", "y", "x"))
            gradients = patch_gradients.PATCH_METHODS[method](
                module, images, patch_gradients.units_at(layer, unit, y, x)
            )
            for number, gradient in zip(numbers.tolist(), gradients.cpu().numpy(), strict=False):
                _place(pictures[number], gradient, columns["box"][number], geometries[number])
            done[numbers] = True
            advance(int(done.sum()))
    kept = np.flatnonzero(done)[np.lexsort((columns["rank"][done], columns["unit"][done]))]
    stored = {name: columns[name][kept] for name in ("unit", "rank", "image_id", "y", "x", "height", "width")}
    with drafting(store, output) as draft:
        arrays.write_group(draft.path / "gradients.zarr", {**stored, "picture": pictures[kept]}, chunk_rows=PATCHES)
        draft.json("gradients.json", {"method": method, "patches": PATCHES, "size": SIZE})
        draft.counts = {"gradients": len(kept), "units": units}
    return [outcome(draft)]


def _patches(result: Result) -> Columns:
    """Return the strongest patches of every unit in the order of their images, with the size of their pictures."""
    names = ["unit", "rank", "image_id", "y", "x", *(f"focus_{side}" for side in SIDES)]
    table = tables.read_table(result.file("patches.parquet"), [*names, "sign"])
    table = table.filter(pc.and_(pc.equal(table["sign"], "positive"), pc.less(table["rank"], PATCHES)))
    columns: Columns = {name: table[name].to_numpy() for name in names}
    order = np.lexsort((columns["rank"], columns["unit"], columns["image_id"]))
    columns = {name: column[order] for name, column in columns.items()}
    columns["box"] = np.stack([columns.pop(f"focus_{side}") for side in SIDES], axis=1)
    shapes = np.array([patch_gradients.fitted_size(box, SIZE) for box in columns["box"]]).reshape(-1, 2)
    return columns | {"height": shapes[:, 0].astype(np.int16), "width": shapes[:, 1].astype(np.int16)}


def _place(
    picture: NDArray[np.uint8], gradient: NDArray[np.float32], box: NDArray[np.int32], geometry: Geometry
) -> None:
    """Draw a patch's gradient into the upper left of its picture, in the size of its thumbnail."""
    shape = patch_gradients.fitted_size(box, SIZE)
    within = boxes.to_input(box[None], [geometry])[0]
    picture[: shape[0], : shape[1]] = patch_gradients.gradient_picture(patch_gradients.cut_box(gradient, within, shape))


def plan(context: PlanContext) -> list[Task]:
    """Return one task per layer. Raises UsageError, before any image is read, if a layer has no such method."""
    return [_task(context, layer) for layer in context.layers]


def _task(context: PlanContext, layer: str) -> Task:
    model = context.model
    method = gradient_method.choose(model.loaded, layer, context.config.gradients_method)
    reads = {"patches": patches.key(context, layer), "images": collect.image_keys(context)}
    settings = pass_settings(context, "gradients") | {
        "layer": asdict(model.layers[layer]),
        "method": method,
        "patches": PATCHES,
        "size": SIZE,
    }
    key = context.key("gradients", reads | {"fingerprint": model.fingerprints[layer]}, settings)
    output = Output(stage="gradients", key=key, layer=layer)
    return context.task("gradients", [output], reads | {"listing": context.listing}, {"method": method})


def cost(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """Count a pass forward and back for each patch of each unit."""
    drawn = PATCHES * size.units
    return Estimate(seconds=costs.THERE_AND_BACK * probe.collect * drawn, bytes=3 * SIZE**2 * drawn)
