"""Pair a layer of two runs: the samples that both have, in one frame, with their labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float, Int, Samples
from atlas.comparing import pairing
from atlas.comparing.motion import align
from atlas.comparing.pairing import Places
from storage.artefacts import tables
from storage.errors import Damaged, NotFound, UsageError
from storage.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The images of a run by id: the hash of each key, and each label."""

    key_hash: NDArray[np.uint64]
    label: list[str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """The images that two runs share: by image id of either run, the id in the newer run, −1 where it lacks the image.

    `label` indexes `names` by the newer id, −1 for no label.
    """

    before: Images
    after: Images
    ids: tuple[Int, Int]
    label: Int
    names: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerLayout:
    """A layer of a run: its samples, their positions (`n 2`), and the layout that defines the frame of the positions."""

    run: Run
    samples: Samples
    points: Float
    frame: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The samples that two runs share, as rows `n` of either, and the images that they share."""

    before: LayerLayout
    after: LayerLayout
    rows: tuple[Int, Int]
    one_frame: bool
    """Whether one layout was computed in the frame of the other, so that no alignment is needed."""
    images: Common

    @property
    def label(self) -> Int:
        """The label index of each shared sample, `n`."""
        return self.images.label[self.after.samples.image_id[self.rows[1]]]

    @property
    def points(self) -> tuple[Float, Float]:
        """Old and new positions of the shared samples, `n 2` each."""
        return self.before.points[self.rows[0]], self.after.points[self.rows[1]]

    @property
    def activations(self) -> tuple[Float, Float]:
        return self.before.samples.activations[self.rows[0]], self.after.samples.activations[self.rows[1]]


def images(run: Run) -> Images:
    """Read the images of a run, up to its limit."""
    ids = run.version.about["ids"]
    hashes = tables.read_table(run.result("listing").file("images.parquet"), columns=["key_hash"])
    labels = tables.read_table(run.result("labels").file("labels.parquet"), columns=["label"])
    return Images(key_hash=hashes["key_hash"].to_numpy()[:ids], label=labels["label"].to_pylist()[:ids])


def common(before: Images, after: Images) -> Common:
    """Match the images of two runs by key. Labels come from the newer run, or the older one where that has none."""
    _, old, new = np.intersect1d(before.key_hash, after.key_hash, return_indices=True)
    newer = np.full(len(before.key_hash), -1, np.int64)
    itself = np.full(len(after.key_hash), -1, np.int64)
    newer[old], itself[new] = new, new
    labels = list(after.label)
    for a, b in zip(old.tolist(), new.tolist(), strict=True):
        labels[b] = labels[b] or before.label[a]
    names = sorted({label for label in labels if label})
    place: dict[str | None, int] = {name: i for i, name in enumerate(names)}
    label = np.array([place.get(label, -1) for label in labels], np.int64)
    return Common(before=before, after=after, ids=(newer, itself), label=label, names=names)


def first(run: Run, layer: str) -> LayerLayout:
    """Return a layer with the layout of its own run."""
    return LayerLayout(run=run, samples=run.samples(layer), points=run.layout(layer), frame=frame_of(run, layer))


def pair(before: LayerLayout, run: Run, layer: str, shared: Common) -> Pair:
    """Pair a layer with the same layer of another run, whose layout is aligned unless it is in the same frame.

    Raises UsageError where the two have no sample in common, or differ in their number of units.
    """
    samples, points, frame = run.samples(layer), run.layout(layer), frame_of(run, layer)
    _check_units(before, samples, run, layer)
    rows = pairing.shared_rows(_sample_places(before.samples, shared.before), _sample_places(samples, shared.after))
    if not len(rows[0]):
        names = version_name(before.run), version_name(run)
        raise UsageError(
            f"{names[0]} and {names[1]} have no sample of {layer} in common: they need images in common, and the same --seed "
            f"and --input-size; `actlas compare {' '.join(names)} --datasets` compares two sets of images instead"
        )
    one_frame = before.frame == frame
    if not one_frame:
        points = align(points[rows[1]], before.points[rows[0]], points)
    after = LayerLayout(
        run=run, samples=samples, points=points, frame=before.frame if one_frame else f"{before.frame} {frame}"
    )
    return Pair(before=before, after=after, rows=rows, one_frame=one_frame, images=shared)


def frame_of(run: Run, layer: str) -> str:
    """Return the key of the layout at the root of a layer's frame, followed back version by version."""
    version, result = run.version, run.result("layout", layer)
    key = result.key
    if "kept" not in result.record("layout.json"):
        return key
    while (origin := version.about.get("frames", {}).get(layer)) is not None:
        key = origin["layout"]
        try:
            version = run.store.version(run.name, origin["version"])
        except (Damaged, NotFound):  # that version is lost: as far back as can be seen
            break
    return str(key)


def _check_units(before: LayerLayout, samples: Samples, run: Run, layer: str) -> None:
    units = before.samples.activations.shape[1], samples.activations.shape[1]
    if units[0] != units[1]:
        raise UsageError(
            f"{layer} has {units[0]} units in {version_name(before.run)} and {units[1]} in {version_name(run)}: "
            "these are different layers with the same name"
        )


def _sample_places(samples: Samples, images: Images) -> Places:
    return Places(key_hash=images.key_hash[samples.image_id], y=samples.y, x=samples.x)


def version_name(run: Run) -> str:
    """Return NAME@VERSION."""
    return f"{run.name}@{run.number}"
