"""Model: record the facts of the model that readers need without loading it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from flows.planning.tasks import Outcome, Output, Task
from flows.stages.shared import reading
from flows.stages.shared.writing import drafting, outcome
from storage.store.store import Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


def compute(store: Store, task: Task) -> list[Outcome]:
    """Write the model's spec, classes and preprocessing, and its layers with their fingerprints."""
    model = reading.prepared_model(task)
    with drafting(store, task.outputs[0]) as draft:
        draft.json(
            "model.json",
            {
                "spec": model.model.spec,
                "classes": list(model.model.classes),
                "preprocessing": model.model.preprocess.fingerprint(),
                "input": list(model.model.preprocess.size),
                "layers": [asdict(layer) for layer in model.layers.values()],
                "fingerprints": model.fingerprints,
            },
        )
    return [outcome(draft)]


def task(context: PlanContext) -> Task:
    """Return the task that writes the record of the run's model."""
    model = context.model
    settings = {
        "spec": model.model.spec,
        "classes": list(model.model.classes),
        "layers": context.layers,
        "found": [asdict(layer) for layer in model.layers.values()],
    }
    key = context.key("model", {"fingerprints": model.fingerprints}, settings)
    return context.task("model", [Output(stage="model", key=key)], {})
