"""Layout: a layer's samples on the unit square; and the second moment of the same samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from atlas import layout as layouts
from atlas import sampling
from atlas.arrays import Samples
from atlas.inversion import whitening
from flows import progress
from flows.config import RunConfig
from flows.stages import listing
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
                _layout(page, samples, _names(store, work.reads["listing"], samples), config)
        done.append(outcome(page))
    return done


def _moment(page: Writing, activations: np.ndarray) -> None:
    arrays.write_group(
        page.path / "moment.zarr", {"moment": whitening.second_moment([activations], activations.shape[1])}
    )
    page.counts = {"samples": len(activations)}


def _layout(page: Writing, samples: Samples, names: NDArray[np.uint64], config: RunConfig) -> None:
    activations = samples.activations
    with progress.current().bar(f"layout {page.make.layer}", len(activations), "samples") as advance:
        found = layouts.layout(samples.activations, method=config.layout, seed=config.seed, keys=names)
        advance(len(activations))
    arrays.write_group(page.path / "layout.zarr", {"points": found.points})
    page.json(
        "layout.json",
        {
            "method": config.layout,
            "trustworthiness": found.trustworthiness,
            "anchors": len(found.anchors),
            "reproducible": True,  # seeded and on one thread, all three methods
            "notes": list(found.notes),
        },
    )
    page.counts = {"samples": len(activations)}


def _names(store: Store, listed: str, samples: Samples) -> NDArray[np.uint64]:
    """Name each sample by its image's key and its number there: neither ids nor new images change which are anchors."""
    key_hash = listing.read(store, listed)["key_hash"].to_numpy()[samples.image_id]
    first = np.searchsorted(samples.image_id, samples.image_id, side="left")
    number = np.arange(len(samples.image_id)) - first
    return sampling.mix(key_hash ^ number.astype(np.uint64))
