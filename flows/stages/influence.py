"""Influence: which units of the next layer each unit excites and inhibits, over its strongest patches."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from atlas import influence
from atlas.model.forward_mode import NoTangentError
from flows import progress
from flows.config import RunConfig
from flows.model import prepared
from flows.planning import costs
from flows.planning.costs import Cost, Estimate, Probe, Size
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import image_listing, patches
from flows.stages.shared import reading
from flows.stages.shared.passes import fill_batch, pass_settings, passes
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import tables
from storage.store.store import Result, Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


PATCHES = 8
"""Strongest patches of a unit that are followed into the next layer."""
CONNECTIONS = 16
"""Exciting and inhibiting later units stored for each unit."""
GROUP = 2048
"""Rows per row group: small, so that one unit's connections are one short read."""

Column = NDArray[Any]


def compute(store: Store, task: Task) -> list[Outcome]:
    """Follow one layer's units into the layer after it."""
    config, output, later = RunConfig(**task.settings["config"]), task.outputs[0], str(task.settings["later"])
    model = reading.prepared_model(task)
    patches = read_patches(store.get("patches", task.reads["patches"]), PATCHES)
    connections = influence.Connections(model.layers[str(output.layer)].units, model.layers[later].units)
    note = None
    try:
        _follow(
            model,
            config,
            image_listing.read(store, task.reads["listing"]),
            (str(output.layer), later),
            patches,
            connections,
        )
    except NoTangentError as error:
        note = str(error)
    with drafting(store, output) as draft:
        table = _table(connections.strongest(CONNECTIONS), later)
        tables.write_table(draft.path / "influence.parquet", table, row_group_size=GROUP)
        draft.json("influence.json", {"later": later, "patches": PATCHES, "note": note})
        draft.counts = {
            "connections": len(table),
            "patches": int(connections.patches.sum()),
            "units": len(connections.patches),
            "nonfinite": connections.nonfinite,
        }
    return [outcome(draft)]


def read_patches(result: Result, most: int) -> dict[str, Column]:
    """Return unit, image_id, y, x of the `most` strongest patches of each unit, in the order of their images.

    Patches of value zero are left out: the derivative along them is zero.
    """
    table = tables.read_table(result.file("patches.parquet"), ["unit", "sign", "rank", "value", "image_id", "y", "x"])
    strongest = pc.and_(pc.equal(table["sign"], "positive"), pc.less(table["rank"], most))
    table = table.filter(pc.and_(strongest, pc.not_equal(table["value"], 0)))
    columns = {name: table[name].to_numpy().astype(np.int64) for name in ("unit", "image_id", "y", "x")}
    order = np.lexsort((columns["unit"], columns["image_id"]))
    return {name: column[order] for name, column in columns.items()}


def _follow(
    model: prepared.PreparedModel,
    config: RunConfig,
    rows: pa.Table,
    names: tuple[str, str],
    patches: dict[str, Column],
    connections: influence.Connections,
) -> None:
    module, (layer, later) = model.module_exposing(names), (model.layers[name] for name in names)
    done = 0
    with progress.current().bar(f"influence {layer.name}", len(patches["unit"]), "patches") as advance:
        for images, numbers in passes(model, config, rows, patches["image_id"]):
            unit, y, x = (fill_batch(patches[name][numbers], model.device) for name in ("unit", "y", "x"))
            effect = influence.effects(module, images, layer, later, unit, y, x)
            connections.add(patches["unit"][numbers], effect[: len(numbers)].cpu().to(torch.float64).numpy())
            done += len(numbers)
            advance(done)


def _table(strongest: influence.Influence, later: str) -> pa.Table:
    columns: dict[str, Any] = {"unit": strongest.unit.astype(np.int32)}
    columns["later_layer"] = pa.array([later] * len(strongest.unit), pa.large_string())
    columns |= {"effect": pa.array([influence.EFFECTS[e] for e in strongest.effect], pa.large_string())}
    columns |= {"rank": strongest.rank.astype(np.int16), "later_unit": strongest.later_unit.astype(np.int32)}
    columns |= {
        "influence": strongest.influence,
        "agreement": strongest.agreement,
        "patches": strongest.patches.astype(np.int32),
    }
    return pa.table(columns)


def plan(context: PlanContext) -> list[Task]:
    """Return one task for each layer and the next one in the model."""
    return [_task(context, layer, later) for layer, later in pairwise(context.model.layers)]


def _task(context: PlanContext, layer: str, later: str) -> Task:
    patches_key, prints = patches.key(context, layer), context.model.fingerprints
    settings = pass_settings(context, "influence") | {
        "layers": [asdict(context.model.layers[name]) for name in (layer, later)],
        "patches": PATCHES,
        "connections": CONNECTIONS,
    }
    reads = {"patches": patches_key, "fingerprint": prints[layer], "later": prints[later]}
    output = Output(stage="influence", key=context.key("influence", reads, settings), layer=layer)
    return context.task("influence", [output], {"patches": patches_key, "listing": context.listing}, {"later": later})


def cost(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """Count a pass in forward mode for each patch of each unit."""
    passes_needed = PATCHES * size.units
    return Estimate(seconds=costs.THERE_AND_BACK * probe.collect * passes_needed, bytes=40 * CONNECTIONS * size.units)
