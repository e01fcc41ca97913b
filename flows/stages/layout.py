"""Layout: a layer's samples on the unit square; and the second moment of the same samples."""

from __future__ import annotations

import numpy as np

from atlas import layout as layouts
from atlas.inversion import whitening
from flows import progress
from flows.config import RunConfig
from flows.stages.writing import Writing, outcome, writing
from flows.work import Outcome, Work
from storage import arrays, parts
from storage.errors import Incomplete
from storage.store import Store


def compute(store: Store, work: Work) -> list[Outcome]:
    """Make one layer's layout or second moment, or both from one reading."""
    config = RunConfig(**work.how["config"])
    samples = parts.read_samples(list(parts.results(store, "collect", work.reads["collect"])))
    if not len(samples.activations):
        raise Incomplete(
            f"{work.makes[0].layer}: no image gave a sample; `actlas sql NAME 'select * from rejects'` says why"
        )
    done = []
    for make in work.makes:
        with writing(store, make) as page:
            if make.stage == "moment":
                _moment(page, samples.activations)
            else:
                _layout(page, samples.activations, config)
        done.append(outcome(page))
    return done


def _moment(page: Writing, activations: np.ndarray) -> None:
    arrays.write_group(page.path / "moment.zarr", {"moment": whitening.second_moment(activations)})
    page.counts = {"samples": len(activations)}


def _layout(page: Writing, activations: np.ndarray, config: RunConfig) -> None:
    with progress.current().bar(f"layout {page.make.layer}", len(activations), "samples") as advance:
        found = layouts.layout(activations, method=config.layout, seed=config.seed)
        advance(len(activations))
    arrays.write_group(page.path / "layout.zarr", {"points": found.points})
    page.json(
        "layout.json",
        {
            "method": config.layout,
            "trustworthiness": found.trustworthiness,
            "anchors": found.anchors,
            "reproducible": True,
            "notes": list(found.notes),
        },
    )
    page.counts = {"samples": len(activations)}
