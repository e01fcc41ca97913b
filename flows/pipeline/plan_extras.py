"""The plan's stages that are made only when asked for by `--with`: what each reads, and what was asked of it."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from atlas.class_cells import TOP
from atlas.inversion.recipes import PICTURE_RECIPES
from flows.model import gradient_method
from flows.stages import gallery, gradients, influence, libraries, passes
from flows.stages.patches import SIZE
from flows.stages.tasks import Output, Task

if TYPE_CHECKING:
    from flows.pipeline.plan import Planner


def attributions(plan: Planner) -> list[Task]:
    """Return one task per layer, which passes each sample once for all grids."""
    return [_attribution(plan, layer) for layer in plan.layers] if plan.grids else []


def _attribution(plan: Planner, layer: str) -> Task:
    subject = plan.subject
    cells = {str(grid): plan.cell_key(layer, grid) for grid in plan.grids}
    outputs = []
    for grid in plan.grids:
        reads = {
            "collect": plan.parts[layer],
            "cells": cells[str(grid)],
            "fingerprint": subject.fingerprints[layer],
            "model": subject.whole,
        }
        asked = _asked(plan, "attribution") | {
            "layer": asdict(subject.layers[layer]),
            "scores": subject.model.logits.__qualname__,
            "top": TOP,
            "per_cell": plan.config.attribution_per_cell,
        }
        key = plan.key("attribution", reads, asked)
        outputs.append(Output(stage="attribution", key=key, layer=layer, grid=grid))
    return plan.task("attribution", outputs, {"collect": plan.parts[layer], "cells": cells, "listing": plan.listing})


def influences(plan: Planner) -> list[Task]:
    """Return one task for each layer and the one that finishes after it."""
    tasks = []
    for layer, later in pairwise(plan.subject.layers):
        prints = plan.subject.fingerprints
        patches = plan.patch_key(layer)
        reads = {"patches": patches, "fingerprint": prints[layer], "later": prints[later]}
        asked = _asked(plan, "influence") | {
            "layers": [asdict(plan.subject.layers[name]) for name in (layer, later)],
            "patches": influence.PATCHES,
            "connections": influence.CONNECTIONS,
        }
        output = Output(stage="influence", key=plan.key("influence", reads, asked), layer=layer)
        tasks.append(plan.task("influence", [output], {"patches": patches, "listing": plan.listing}, {"later": later}))
    return tasks


def gradient_works(plan: Planner) -> list[Task]:
    """Return one task per layer. Raises UsageError where the method asked for is not defined: no image is read yet."""
    return [_gradients(plan, layer) for layer in plan.layers]


def _gradients(plan: Planner, layer: str) -> Task:
    subject = plan.subject
    method = gradient_method.choose(subject, layer, plan.config.gradients_method)
    reads = {"patches": plan.patch_key(layer), "images": plan.facts}
    asked = _asked(plan, "gradients") | {
        "layer": asdict(subject.layers[layer]),
        "method": method,
        "patches": gradients.PATCHES,
        "size": SIZE,
    }
    key = plan.key("gradients", reads | {"fingerprint": subject.fingerprints[layer]}, asked)
    output = Output(stage="gradients", key=key, layer=layer)
    return plan.task("gradients", [output], reads | {"listing": plan.listing}, {"method": method})


def galleries(plan: Planner) -> list[Task]:
    """Return one task per layer."""
    return [_gallery(plan, layer) for layer in plan.layers]


def _gallery(plan: Planner, layer: str) -> Task:
    reads = {"patches": plan.patch_key(layer)}
    asked = plan.asked_of_model() | {
        "precision": "fp32",
        "layer": asdict(plan.subject.layers[layer]),
        "recipe": asdict(PICTURE_RECIPES[plan.config.recipe]),
        "size": plan.config.icon_size,
        "seed": plan.config.seed,
        "batch": gallery.BATCH,
        "tries": gallery.TRIES,
        **libraries.of_key("gallery"),
    }
    key = plan.key("gallery", reads | {"fingerprint": plan.subject.fingerprints[layer]}, asked)
    return plan.task("gallery", [Output(stage="gallery", key=key, layer=layer)], reads)


def _asked(plan: Planner, stage: str) -> dict[str, Any]:
    return plan.asked_of_model() | {"precision": "fp32", "batch": passes.BATCH, **libraries.of_key(stage)}


MAKERS = {"attribution": attributions, "influence": influences, "gradients": gradient_works, "gallery": galleries}
