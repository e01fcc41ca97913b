"""Pair two runs as datasets: one model, one map, whichever images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atlas.arrays import Int, Samples
from flows.comparing import pairs
from flows.comparing.datasets import contents
from flows.comparing.pairs import Images, version_name
from storage.artefacts import samples as sample_arrays
from storage.errors import Damaged, NotFound, UsageError
from storage.run import Run, open_run

FEWEST = 2
"""Images with samples that each dataset needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Datasets:
    """Two runs, the reference and what is held against it, with their images, and the layers to compare."""

    runs: tuple[Run, Run]
    images: tuple[Images, Images]
    contents: tuple[Int, Int]
    """By image id of either run, the number of its content, which both have in common; -1 where it is unknown."""
    layers: list[str]
    left_out: list[str]
    """Layers that the reference has on its map, and the other run lacks."""

    @property
    def shared(self) -> int:
        """The number of contents that both have, under whichever key."""
        return contents.shared(self.contents)


def share_images(before: Run, after: Run) -> bool:
    """Tell whether two runs are of the same images: whether they have keys in common, most of them with the same content.

    Equal keys alone say little, since two sets may each have their own `0001.jpg`; and so does one equal content.
    """
    _, old, new = np.intersect1d(pairs.images(before).key_hash, pairs.images(after).key_hash, return_indices=True)
    if not len(old):
        return False
    if not (before.has("images") and after.has("images")):
        return True
    first, second = contents.numbers((before, after), (old, new))
    known = (first[old] != contents.UNKNOWN) & (second[new] != contents.UNKNOWN)
    return bool(2 * (known & (first[old] == second[new])).sum() > known.sum())


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
            f"{version_name(b)} has no samples of a layer of {version_name(a)}'s map; run it with --layers {' '.join(laid)}"
            if laid
            else f"{version_name(a)} has no map: run it again without --until"
        )
    _check_model(a, b, chosen)
    first, second = contents.numbers((a, b))
    return Datasets(
        runs=(a, b),
        images=(pairs.images(a), pairs.images(b)),
        contents=(first, second),
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
    old = [run for run in (a, b) if _format(run) == 1]
    if differing is not None and len(old) == 1:
        raise UsageError(
            f"{version_name(old[0])} was made by an actlas that recorded models in another way, which cannot be compared "
            f"with that of {version_name(b if old[0] is a else a)}: run it again"
        )
    if differing is not None:
        raise UsageError(
            f"{version_name(a)} and {version_name(b)} are of different models up to {differing} (its weights, or the "
            f"preprocessing): run the images of {b.name} with the model and options of {version_name(a)}"
        )


def _format(run: Run) -> int:
    """Return the format in which the model of a run was recorded, which a selection has from its source."""
    about = run.version.about.get("selection")
    if about is None:
        return run.version.format
    try:
        return run.store.version(about["of"], about["version"]).format
    except (Damaged, NotFound):  # that version is lost: as far back as can be seen
        return run.version.format


def owners(run: Run, layer: str) -> Int:
    """Return the image of each sample of a layer. Raises UsageError where fewer than `FEWEST` images have any."""
    image: Int = sample_arrays.read_positions(run.sample_results(layer))["image_id"]
    if (images := len(np.unique(image))) < FEWEST:
        raise UsageError(
            f"{version_name(run)} has samples of {layer} from {images} images; a dataset has at least {FEWEST}"
        )
    return image


def samples_of(run: Run, layer: str, rows: Int | None) -> Samples:
    """Read these samples of a layer, None for all; shards without any of them are not read."""
    return run.samples(layer) if rows is None else sample_arrays.take(run.sample_results(layer), rows)
