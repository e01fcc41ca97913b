"""Choose the images of an audit, with and without the class, and read their pixels. Loads no torch."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from atlas.arrays import Byte
from flows import progress
from flows.audit.answers import LEAST_IMAGES, MOST_IMAGES
from flows.cores import cores
from flows.questions import accuracy, classes, near_duplicates
from storage.errors import NotFound, UsageError
from storage.images import loader, sources
from storage.models.preprocessing import Preprocess
from storage.run import Run

BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The class, the label of its images, and images with and without it: their ids, ascending."""

    index: int
    name: str
    label: str
    own: list[int]
    others: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Images as the model gets them: their rows of the table `images`, and `pixels n h w c`."""

    rows: list[dict[str, Any]]
    pixels: Byte
    unreadable: int = 0
    nonfinite: int = 0
    near_duplicates: int = 0

    @property
    def ids(self) -> list[int]:
        """The images' ids."""
        return [row["image_id"] for row in self.rows]


def choose(run: Run, wanted: str, label: str | None, count: int) -> Chosen:
    """Choose up to `count` images of a class, and as many with another label, by the run's seed.

    `label` is that of the class's images; by default the one that the accuracy of the run takes for the class.
    """
    _check_count(count)
    run.results("images")
    names = [str(name) for name in run.labels[0] if name]
    index = classes.class_index(wanted, run.model["classes"])
    name = classes.class_name(run, index)
    if not names:
        raise NotFound(f"{run.name} has no labels, so nothing says which images show {name}; run it with --labels FILE")
    own_label = _label(run, index, names, label)
    table = run.images()
    table = table.filter(pc.and_(pc.is_null(table["reason"]), pc.is_valid(table["label"])))
    own = pc.equal(table["label"], own_label)
    rng = np.random.default_rng(int(run.version.about["config"].get("seed", 0)) & (2**63 - 1))
    with_it, without = (_draw(table.filter(rows), count, rng) for rows in (own, pc.invert(own)))
    _check_number(run, own_label, len(with_it))
    return Chosen(index=index, name=name, label=own_label, own=with_it, others=without)


def _label(run: Run, index: int, names: list[str], label: str | None) -> str:
    """Return the run's label for a class: the one given, whatever its case, or that of the class."""
    if label is None:
        own = accuracy.label_of_class(run, index)
    else:
        same = [one for one in names if one.strip().casefold() == label.strip().casefold()]
        own = label if label in names else same[0] if len(same) == 1 else None
    if own is not None:
        return own
    wanted = classes.class_name(run, index) if label is None else label
    near = ", ".join(difflib.get_close_matches(wanted, names, 3, cutoff=0.0))
    remedy = "nearest" if label is not None else "say which label its images have with --label; nearest"
    raise NotFound(f"no image of {run.name} is labelled {wanted!r}; {remedy}: {near}")


def _draw(table: pa.Table, count: int, rng: np.random.Generator) -> list[int]:
    ids = np.sort(table["image_id"].to_numpy())
    return [int(number) for number in np.sort(ids[rng.permutation(len(ids))[:count]])]


def _check_count(count: int) -> None:
    if count < LEAST_IMAGES:
        raise UsageError(f"--images {count}: an audit needs at least {LEAST_IMAGES}")
    if count > MOST_IMAGES:
        raise UsageError(f"--images {count}: an audit uses at most {MOST_IMAGES}, all of which it keeps in memory")


def _check_number(run: Run, label: str, number: int) -> None:
    if number < LEAST_IMAGES:
        raise UsageError(
            f"{run.name} has {number} images labelled {label!r} that can be used; an audit needs at least {LEAST_IMAGES}"
        )


def read(run: Run, ids: list[int], preprocess: Preprocess) -> Pictures:
    """Read images; those that cannot be read any more are counted."""
    facts = {row["image_id"]: row for row in run.images(ids).to_pylist()} if ids else {}
    rows, pixels = [], []
    listing = run.listing(ids)
    batches = loader.load(sources.source_of(run.version.about), listing, preprocess, batch=BATCH, threads=cores())
    with progress.current().bar("reading images", len(ids), "images") as advance:
        for batch in batches if ids else ():
            rows += [facts[fact["image_id"]] for fact in batch.facts if fact["reason"] is None]
            pixels += list(batch.pixels[batch.valid])
            advance(min(len(ids), batch.first + BATCH))
    stacked = np.stack(pixels) if pixels else preprocess.blank(0)
    return Pictures(rows=rows, pixels=stacked, unreadable=len(ids) - len(rows))


def distinct(pictures: Pictures) -> Pictures:
    """Keep one of images that are nearly the same: shots of one scene are no evidence of their own."""
    small = [near_duplicates.small(_coloured(picture)) for picture in pictures.pixels]
    kept = [number for number, first in enumerate(near_duplicates.leaders_of(small)) if number == first]
    return replace(
        pictures,
        rows=[pictures.rows[number] for number in kept],
        pixels=pictures.pixels[kept],
        near_duplicates=len(small) - len(kept),
    )


def without(pictures: Pictures, finite: NDArray[np.bool_]) -> Pictures:
    """Leave out images for which the model gives NaN or infinities."""
    return replace(
        pictures,
        rows=[row for row, kept in zip(pictures.rows, finite.tolist(), strict=True) if kept],
        pixels=pictures.pixels[finite],
        nonfinite=int((~finite).sum()),
    )


def check_enough(run: Run, chosen: Chosen, pictures: Pictures) -> None:
    """Raise UsageError where too few images of the class are left."""
    if len(pictures.rows) < LEAST_IMAGES:
        left = f"{pictures.unreadable} cannot be read, {pictures.near_duplicates} nearly equal another"
        left += f", {pictures.nonfinite} give NaN or infinities" if pictures.nonfinite else ""
        raise UsageError(
            f"{len(pictures.rows)} of {len(chosen.own)} images of {run.name} labelled {chosen.label!r} are left, since {left}; "
            f"an audit needs at least {LEAST_IMAGES}"
        )


def _coloured(picture: NDArray[np.uint8]) -> Byte:
    return np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))
