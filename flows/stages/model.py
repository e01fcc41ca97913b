"""Model: what a reader needs to know of the model without loading it."""

from __future__ import annotations

from dataclasses import asdict

from flows.model import prepared
from flows.stages.tasks import Outcome, Work
from flows.stages.writing import outcome, writing
from storage.store.store import Store


def compute(store: Store, work: Work) -> list[Outcome]:
    """Write spec, classes, preprocessing, layers and their fingerprints."""
    subj = prepared.of(work)
    with writing(store, work.makes[0]) as page:
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
