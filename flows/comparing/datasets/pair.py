"""Pair two runs as datasets: one model, one map, whichever images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atlas.arrays import Samples
from flows.comparing import pairs
from flows.comparing.pairs import Images, version_name
from storage.artefacts import tables
from storage.errors import NotFound, UsageError
from storage.run import Run, open_run

FEWEST = 2
"""Images with samples that each dataset needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Datasets:
    """Two runs, the reference and what is held against it, with their images, and the layers to compare."""

    runs: tuple[Run, Run]
    images: tuple[Images, Images]
    layers: list[str]
    left_out: list[str]
    """Layers that the reference has on its map, and the other run lacks."""

    @property
    def shared(self) -> int:
        """The number of contents that both have, under whichever key."""
        a, b = (set(contents(run).values()) for run in self.runs)
        return len(a & b)


def share_images(before: Run, after: Run) -> bool:
    """Tell whether two runs are of the same images: whether they have keys in common, most of them with the same content.

    Equal keys alone say little, since two sets may each have their own `0001.jpg`; and so does one equal content.
    """
    _, old, new = np.intersect1d(pairs.images(before).key_hash, pairs.images(after).key_hash, return_indices=True)
    first, second = contents(before), contents(after)
    if not (first and second):
        return len(old) > 0
    both = zip(old.tolist(), new.tolist(), strict=True)
    same = [first[i] == second[j] for i, j in both if i in first and j in second]
    return 2 * sum(same) > len(same)


def contents(run: Run) -> dict[int, str]:
    """Return the SHA-256 of the content of each image of a run that was read, by id; of a selection, of those it has."""
    digests: dict[int, str] = {}
    selected = set(run.images()["image_id"].to_pylist()) if run.is_selection else None
    for part in run.results("images") if run.has("images") else ():
        facts = tables.read_table(part.file("images.parquet"), ["image_id", "sha256"])
        rows = zip(facts["image_id"].to_pylist(), facts["sha256"].to_pylist(), strict=True)
        digests |= {image: digest for image, digest in rows if digest and (selected is None or image in selected)}
    return digests


def datasets(store: str, names: Sequence[str], layers: Sequence[str] = ()) -> Datasets:
    """Open two runs as datasets. Raises UsageError where they are of different models, NotFound for a layer they lack."""
    if len(names) != 2:
        raise UsageError(
            f"two datasets are compared at a time, as in `actlas compare photos incoming`, not {len(names)}"
        )
    a, b = (open_run(store, name) for name in names)
    laid = [layer for layer in a.layers if a.has("layout", layer)]
    _check_layers(a, laid, layers, "layout")
    _check_layers(b, [layer for layer in b.layers if b.has_samples(layer)], layers, "samples")
    chosen = [layer for layer in layers or laid if b.has_samples(layer)]
    if not chosen:
        raise UsageError(
            f"{version_name(b)} has no samples of a layer of {version_name(a)}'s map; run it with --layers {','.join(laid)}"
            if laid
            else f"{version_name(a)} has no map: run it again without --until"
        )
    _check_model(a, b, chosen)
    return Datasets(
        runs=(a, b),
        images=(pairs.images(a), pairs.images(b)),
        layers=chosen,
        left_out=[layer for layer in laid if not layers and layer not in chosen],
    )


def _check_layers(run: Run, have: Sequence[str], chosen: Sequence[str], what: str) -> None:
    for layer in chosen:
        if layer not in have:
            there = ", ".join(have) or "none"
            raise NotFound(f"{version_name(run)} has no {what} of {layer!r}; of its layers it has {there}")


def _check_model(a: Run, b: Run, layers: Sequence[str]) -> None:
    """Raise UsageError for the first layer up to which the models, or the preprocessing of their images, differ."""
    prints = [run.model["fingerprints"] for run in (a, b)]
    differing = next((layer for layer in layers if prints[0][layer] != prints[1][layer]), None)
    if differing is not None:
        raise UsageError(
            f"{version_name(a)} and {version_name(b)} are of different models up to {differing} (its weights, or the "
            f"preprocessing): run the images of {b.name} with the model and options of {version_name(a)}"
        )


def samples_of(run: Run, layer: str) -> Samples:
    """Read the samples of a layer. Raises UsageError where fewer than `FEWEST` images have any."""
    samples = run.samples(layer)
    images = len(np.unique(samples.image_id))
    if images < FEWEST:
        raise UsageError(
            f"{version_name(run)} has samples of {layer} from {images} images; a dataset has at least {FEWEST}"
        )
    return samples
