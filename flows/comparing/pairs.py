"""What two runs share of a layer: the samples that both took, in one frame, with their labels."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float, Int, Samples
from atlas.comparing import pairing
from atlas.comparing.motion import align
from atlas.comparing.pairing import Places
from storage.artefacts import tables
from storage.errors import ActlasError, UsageError
from storage.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """A run's images by id: the hash of each one's key, and its label."""

    key_hash: NDArray[np.uint64]
    label: list[str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """The images of two runs: each one's id in the newer run by its id in either, −1 where the other has it not.

    `label` numbers `names` by the newer id, −1 where there is none.
    """

    before: Images
    after: Images
    ids: tuple[Int, Int]
    label: Int
    names: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Laid:
    """A layer of a run: its samples, where they lie (`n 2`), and the layout whose frame those places are in."""

    run: Run
    samples: Samples
    points: Float
    frame: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The samples that two runs share, rows `n` of either, and what they share of their images."""

    before: Laid
    after: Laid
    rows: tuple[Int, Int]
    one_frame: bool
    """Whether the newer layout was made in the older one's frame (or the other way round), and not brought over."""
    images: Common

    @property
    def label(self) -> Int:
        """The number of each shared sample's label, `n`."""
        return self.images.label[self.after.samples.image_id[self.rows[1]]]

    @property
    def points(self) -> tuple[Float, Float]:
        """Old and new places of the shared samples, `n 2` each."""
        return self.before.points[self.rows[0]], self.after.points[self.rows[1]]

    @property
    def activations(self) -> tuple[Float, Float]:
        return self.before.samples.activations[self.rows[0]], self.after.samples.activations[self.rows[1]]


def images(run: Run) -> Images:
    """Read a run's images, those beyond its limit left out."""
    ids = run.version.about["ids"]
    hashes = tables.read_table(run.result("listing").file("images.parquet"), columns=["key_hash"])
    labels = tables.read_table(run.result("labels").file("labels.parquet"), columns=["label"])
    return Images(key_hash=hashes["key_hash"].to_numpy()[:ids], label=labels["label"].to_pylist()[:ids])


def common(before: Images, after: Images) -> Common:
    """Find the images that two runs share. A label is the newer run's, or the older one's where that has none."""
    _, old, new = np.intersect1d(before.key_hash, after.key_hash, return_indices=True)
    there = np.full(len(before.key_hash), -1, np.int64)
    itself = np.full(len(after.key_hash), -1, np.int64)
    there[old], itself[new] = new, new
    found = list(after.label)
    for a, b in zip(old.tolist(), new.tolist(), strict=True):
        found[b] = found[b] or before.label[a]
    names = sorted({label for label in found if label})
    place: dict[str | None, int] = {name: i for i, name in enumerate(names)}
    label = np.array([place.get(label, -1) for label in found], np.int64)
    return Common(before=before, after=after, ids=(there, itself), label=label, names=names)


def first(run: Run, layer: str) -> Laid:
    """Return a layer as it was laid out."""
    return Laid(run=run, samples=run.samples(layer), points=run.layout(layer), frame=frame_of(run, layer))


def pair(before: Laid, run: Run, layer: str, shared: Common) -> Pair:
    """Pair a layer with the same layer of another run, whose layout is brought over unless it is in the same frame.

    Raises UsageError where the two have no sample in common, or not as many units.
    """
    samples, points, frame = run.samples(layer), run.layout(layer), frame_of(run, layer)
    _check_units(before, samples, run, layer)
    rows = pairing.shared_rows(_places(before.samples, shared.before), _places(samples, shared.after))
    if not len(rows[0]):
        raise UsageError(
            f"{_name(before.run)} and {_name(run)} have no sample of {layer} in common: they need images in common, "
            "and the same --seed and --input-size"
        )
    one_frame = before.frame == frame
    if not one_frame:
        points = align(points[rows[1]], before.points[rows[0]], points)
    after = Laid(
        run=run, samples=samples, points=points, frame=before.frame if one_frame else f"{before.frame} {frame}"
    )
    return Pair(before=before, after=after, rows=rows, one_frame=one_frame, images=shared)


def frame_of(run: Run, layer: str) -> str:
    """Return the key of the layout that a layer's layout goes back to, version by version."""
    version, result = run.version, run.result("layout", layer)
    key = result.key
    if "kept" not in json.loads(result.file("layout.json").read_text()):
        return key
    while (said := version.about.get("frames", {}).get(layer)) is not None:
        key = said["layout"]
        try:
            version = run.store.version(run.name, said["version"])
        except ActlasError:
            break
    return str(key)


def _check_units(before: Laid, samples: Samples, run: Run, layer: str) -> None:
    units = before.samples.activations.shape[1], samples.activations.shape[1]
    if units[0] != units[1]:
        raise UsageError(
            f"{layer} has {units[0]} units in {_name(before.run)} and {units[1]} in {_name(run)}: "
            "these are two layers of one name"
        )


def _places(samples: Samples, images: Images) -> Places:
    return Places(key_hash=images.key_hash[samples.image_id], y=samples.y, x=samples.x)


def _name(run: Run) -> str:
    return f"{run.name}@{run.number}"
