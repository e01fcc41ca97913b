"""Model: what a reader needs to know of the model without loading it."""

from __future__ import annotations

from dataclasses import asdict

from flows.stages import reading
from flows.stages.tasks import Outcome, Task
from flows.stages.writing import drafting, outcome
from storage.store.store import Store


def compute(store: Store, task: Task) -> list[Outcome]:
    """Write spec, classes, preprocessing, layers and their fingerprints."""
    subj = reading.prepared_model(task)
    with drafting(store, task.outputs[0]) as page:
        page.json(
            "model.json",
            {
                "spec": subj.model.spec,
                "classes": list(subj.model.classes),
                "preprocessing": subj.model.preprocess.fingerprint(),
                "input": list(subj.model.preprocess.size),
                "layers": [asdict(layer) for layer in subj.layers.values()],
                "fingerprints": subj.fingerprints,
            },
        )
    return [outcome(page)]
