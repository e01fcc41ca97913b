"""Measure how far samples move when only the seed of the layout changes: the baseline to compare motion with."""

from __future__ import annotations

import numpy as np

from atlas.arrays import Float, Samples
from atlas.comparing.motion import align
from atlas.layout import layout as layouts
from flows import progress, registry
from flows.stages import image_listing
from flows.stages.layout import sample_names
from storage.artefacts import arrays, selections
from storage.errors import StoreError
from storage.run import Run
from storage.store.store import stage_key


def lay_out_again(run: Run, layer: str, samples: Samples, *, framed: bool) -> Float:
    """Return a layout of the run's samples with the next seed, `n 2`, in the frame of its own layout.

    The anchors stay the same, since the layout of a later run draws the same ones; other anchors would move every
    sample and overstate the noise.

    `framed` starts from the run's own layout, as a framed layout does; otherwise the layout starts from scratch and is
    aligned afterwards. The store keeps the result, which no version names, until `actlas gc` removes it.
    """
    stored = stored_points(run, layer, framed=framed)
    if stored is not None:
        return stored
    seed, key = _seed_and_key(run, layer, framed)
    points = _lay_out(run, layer, samples, seed, framed)
    _store(run, key, points)
    return points


def stored_points(run: Run, layer: str, *, framed: bool) -> Float | None:
    """Return the stored result of `lay_out_again`, `n 2`, or None: for callers that may not write to the store."""
    result = run.store.find("noise", _seed_and_key(run, layer, framed)[1])
    return None if result is None else np.asarray(arrays.read_array(result.file("layout.zarr"), "points"))


def _seed_and_key(run: Run, layer: str, framed: bool) -> tuple[int, str]:
    seed = int(run.version.about["config"]["seed"]) + 1
    reads = {"layout": run.result("layout", layer).key}
    return seed, stage_key("noise", registry.stage("noise").code, reads, {"seed": seed, "framed": framed})


def _lay_out(run: Run, layer: str, samples: Samples, seed: int, framed: bool) -> Float:
    before = run.layout(layer)
    keys = sample_names(image_listing.key_hashes(run.store, run.result("listing").key, samples.image_id))
    method = run.version.about["config"]["layout"]
    with progress.current().bar(f"noise of {layer}", len(before), "samples") as advance:
        start = before if framed else None
        layout = layouts.layout(
            samples.activations,
            method=method,
            seed=seed,
            anchors_seed=seed - 1,
            keys=keys,
            start=start,
            across=selections.across(run.result("selection", layer)) if run.is_selection else None,
        )
        advance(len(before))
    return layout.points if framed else align(layout.points, before, layout.points)


def _store(run: Run, key: str, points: Float) -> None:
    """Store the layout for the next comparison; a read-only store is reported, not an error."""
    try:
        with run.store.writing(), run.store.draft("noise", key) as draft:
            arrays.write_group(draft.path / "layout.zarr", {"points": points})
            draft.commit({"samples": len(points)})
    except (OSError, StoreError) as error:
        progress.current().say(f"  the noise is not stored: {error}")
