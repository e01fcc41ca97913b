"""How far a layer's samples move when nothing but the seed of the layout changes: what motion has to be held against."""

from __future__ import annotations

import numpy as np

from atlas.arrays import Float, Samples
from atlas.comparing.motion import align
from atlas.layout import layout as layouts
from flows import progress, registry
from flows.stages import listing
from flows.stages.layout import names
from storage.artefacts import arrays
from storage.errors import StoreError
from storage.run import Run
from storage.store.store import stage_key


def lay_out_again(run: Run, layer: str, samples: Samples, *, framed: bool) -> Float:
    """Return the run's samples laid out with the next seed, `n 2`, in the frame of its layout, from the same anchors.

    A layout made after it draws those as well; others would move all samples, and motion would be held against too much.

    `framed`: as a framed layout is made, from the run's own layout as the start; else from nothing, and brought over.
    The store keeps it as a result that no version names, until `actlas gc` takes it.
    """
    found = stored_points(run, layer, framed=framed)
    if found is not None:
        return found
    seed, key = _seed_and_key(run, layer, framed)
    points = _lay_out(run, layer, samples, seed, framed)
    _keep(run, key, points)
    return points


def stored_points(run: Run, layer: str, *, framed: bool) -> Float | None:
    """Return what `again` has kept, `n 2`, or None where it was not asked yet: for those who may not write."""
    found = run.store.find("noise", _seed_and_key(run, layer, framed)[1])
    return None if found is None else np.asarray(arrays.read_array(found.file("layout.zarr"), "points"))


def _seed_and_key(run: Run, layer: str, framed: bool) -> tuple[int, str]:
    seed = int(run.version.about["config"]["seed"]) + 1
    reads = {"layout": run.result("layout", layer).key}
    return seed, stage_key("noise", registry.stage("noise").code, reads, {"seed": seed, "framed": framed})


def _lay_out(run: Run, layer: str, samples: Samples, seed: int, framed: bool) -> Float:
    before = run.layout(layer)
    keys = names(listing.key_hashes(run.store, run.result("listing").key, samples.image_id))
    method = run.version.about["config"]["layout"]
    with progress.current().bar(f"noise of {layer}", len(before), "samples") as advance:
        start = before if framed else None
        made = layouts.layout(
            samples.activations, method=method, seed=seed, anchors_seed=seed - 1, keys=keys, start=start
        )
        advance(len(before))
    return made.points if framed else align(made.points, before, made.points)


def _keep(run: Run, key: str, points: Float) -> None:
    """Keep the layout for the next comparison; a store that cannot be written to is no hindrance."""
    try:
        with run.store.writing(), run.store.draft("noise", key) as draft:
            arrays.write_group(draft.path / "layout.zarr", {"points": points})
            draft.commit({"samples": len(points)})
    except (OSError, StoreError) as error:
        progress.current().say(f"  the noise is not kept: {error}")
