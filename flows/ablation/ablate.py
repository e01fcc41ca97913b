"""Ablate units of a run's model over its images, and measure the class scores before and after.

Each batch passes once without and once with the change, through the same module and the same operators, so that a factor
of 1 changes no bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.model import editing
from atlas.model.dispatch import slow_attention
from flows import progress
from flows.ablation import ways
from flows.ablation.answers import Ablation, ClassChange, Flip, LabelChange
from flows.cores import cores
from flows.model import published
from flows.model.prepared import PreparedModel
from flows.questions import peaks
from storage.errors import NotFound, UsageError
from storage.images import loader, sources
from storage.run import Run

IMAGES = 500
"""Images by default."""

BATCH, TOGETHER = 32, 512
"""Images per pass, at most, and those among which the maps of another image are drawn."""

SHOWN, FLIPPED = 5, 50
"""Classes listed at each end, and images that flip."""


@dataclass(slots=True)
class Changes:
    """The change of each class's score over images: their number, flips, mean and sum of squared deviations `k`.

    Welford's update (1962), which cancels nothing where the mean is large.
    """

    classes: int
    images: int = 0
    flips: int = 0
    mean: NDArray[np.float64] = field(init=False)
    deviation: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.mean, self.deviation = np.zeros(self.classes), np.zeros(self.classes)

    def add(self, change: NDArray[np.float64], flips: bool) -> None:
        """Add an image's change `k`."""
        self.images += 1
        self.flips += flips
        before = change - self.mean
        self.mean += before / self.images
        self.deviation += before * (change - self.mean)

    def ends(self, names: Sequence[str]) -> tuple[list[ClassChange], list[ClassChange]]:
        """Return the classes whose scores fall most, and those whose scores rise most; none that do not move."""
        falls = [self._of(i, names) for i in np.argsort(self.mean, kind="stable")[:SHOWN].tolist() if self.mean[i] < 0]
        rises = [self._of(i, names) for i in np.argsort(-self.mean, kind="stable")[:SHOWN].tolist() if self.mean[i] > 0]
        return falls, rises

    def _of(self, index: int, names: Sequence[str]) -> ClassChange:
        error = math.sqrt(self.deviation[index] / (self.images - 1) / self.images) if self.images > 1 else None
        return {"index": index, "name": _name(names, index), "change": float(self.mean[index]), "error": error}


def ablate(
    run: Run,
    layer: str,
    units: Sequence[int],
    *,
    by: str = "zero",
    where: str | None = None,
    images: int = IMAGES,
) -> Ablation:
    """Change units of a layer in `images` images of a run, or of those that fit a condition in SQL, drawn by its seed.

    `by` is zero, mean (each unit's mean over the run's samples), resample (the units of another of the images) or scale=F.
    Raises UsageError for another way, ModelError where the model has changed up to the layer since the run.
    """
    kind, factor = ways.parse(by)
    _check_units(run, layer, units)
    rng = np.random.default_rng(int(run.version.about["config"].get("seed", 0)) & (2**63 - 1))
    chosen = _chosen(run, where, images, rng)
    model = published.prepared_model_of(run, layer)
    edits = _Edits(run, layer, list(units), kind, factor, rng)
    tally = _Tally(model.model.classes)
    for rows, before, after in _scores(run, model, chosen, edits, rng):
        tally.add(rows, before, after)
    if not tally.whole.images:
        raise UsageError(
            f"{run.name}: none of the {len(chosen):,} images can be read, or all scores are NaN or infinite"
        )
    falls, rises = tally.whole.ends(tally.names)
    return {
        "run": run.name,
        "layer": layer,
        "units": list(units),
        "by": by,
        "images": tally.whole.images,
        "nonfinite": tally.nonfinite,
        "flips": tally.whole.flips,
        "falls": falls,
        "rises": rises,
        "labels": tally.by_label(),
        "flipped": tally.flipped,
        "varying": model.varying,
    }


class _Tally:
    """The changes over all images and those of each label, and the images that flip."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.nonfinite = names, 0
        self.whole = Changes(0)
        self.labels: dict[str | None, Changes] = {}
        self.flipped: list[Flip] = []

    def add(self, rows: list[dict[str, Any]], before: NDArray[np.float64], after: NDArray[np.float64]) -> None:
        """Add images with their scores `b k`."""
        if not self.whole.images:
            self.whole = Changes(before.shape[1])
        finite = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
        self.nonfinite += int((~finite).sum())
        first, second = before.argmax(axis=1), after.argmax(axis=1)
        for i in np.flatnonzero(finite).tolist():
            row, flips = rows[i], bool(first[i] != second[i])
            if row["label"] not in self.labels:
                self.labels[row["label"]] = Changes(before.shape[1])
            for changes in (self.whole, self.labels[row["label"]]):
                changes.add(after[i] - before[i], flips)
            if flips and len(self.flipped) < FLIPPED:
                named = [_name(self.names, int(side[i])) for side in (first, second)]
                facts = {name: row[name] for name in ("image_id", "path", "label")}
                self.flipped.append(cast(Flip, {**facts, "before": named[0], "after": named[1]}))

    def by_label(self) -> list[LabelChange]:
        def order(label: str | None) -> tuple[float, int, str]:
            changes = self.labels[label]
            return -changes.flips / changes.images, -changes.images, str(label)

        rows: list[LabelChange] = []
        for label in sorted(self.labels, key=order):
            changes = self.labels[label]
            falls, rises = changes.ends(self.names)
            rows.append(LabelChange(label=label, images=changes.images, flips=changes.flips, falls=falls, rises=rises))
        return rows


class _Edits:
    """The change of each batch."""

    def __init__(
        self, run: Run, layer: str, units: list[int], kind: str, factor: float, rng: np.random.Generator
    ) -> None:
        self.layer, self.units, self.kind, self.factor, self.rng = layer, units, kind, factor, rng
        self.mean = self._mean(run) if kind == "mean" else None

    def _mean(self, run: Run) -> Tensor:
        total, count = np.zeros(len(self.units)), 0
        for samples in run.samples_by_shard(self.layer):
            total += samples.activations[:, self.units].sum(0, dtype=np.float64)
            count += len(samples.activations)
        return torch.from_numpy(total / max(count, 1))

    def of_batch(self, size: int) -> editing.Edit:
        if self.kind == "resample":
            if size == 1:
                raise UsageError("--by resample takes the units of another image, and there is one image")
            # A turn, so that no image keeps its own; the images of a batch are drawn at random.
            return editing.resample(self.units, torch.arange(size).roll(int(self.rng.integers(1, size))))
        if self.mean is not None:
            return editing.constant(self.units, self.mean)
        return editing.scale(self.units, self.factor)


def _check_units(run: Run, layer: str, units: Sequence[int]) -> None:
    run.sample_results(layer)  # raises for a layer that the run does not have
    count = next(int(row["units"]) for row in run.model["layers"] if row["name"] == layer)
    wrong = next((unit for unit in units if not 0 <= unit < count), None)
    if wrong is not None:
        raise NotFound(f"{layer} has no unit {wrong}; its units are 0 to {count - 1}")


def _chosen(run: Run, where: str | None, images: int, rng: np.random.Generator) -> pa.Table:
    """Return image_id, path and label of the images to use, by id. Raises UsageError if there is none."""
    if images < 1:
        raise UsageError(f"--images {images}: at least 1")
    table = run.images() if where is None else run.images(peaks.images_where(run, where))
    table = table.filter(pc.is_null(table["reason"]))
    if not len(table):
        raise UsageError(f"--where {where}: none of the run's images" if where else f"{run.name} has no images to use")
    return table.take(pa.array(np.sort(rng.permutation(len(table))[:images])))


Scores = tuple[list[dict[str, Any]], NDArray[np.float64], NDArray[np.float64]]


def _scores(
    run: Run, model: PreparedModel, chosen: pa.Table, edits: _Edits, rng: np.random.Generator
) -> Iterator[Scores]:
    """Yield, batch by batch, the images and their class scores `b k` without and with the change."""
    rows = run.listing(chosen["image_id"].to_pylist())
    facts = {row["image_id"]: row for row in chosen.select(["image_id", "path", "label"]).to_pylist()}
    module, layer = model.module_exposing([edits.layer]), model.layers[edits.layer]
    batches = loader.load(
        sources.source_of(run.version.about), rows, model.model.preprocess, batch=BATCH, threads=cores()
    )

    with progress.current().bar("ablation", len(rows), "images") as advance, torch.no_grad(), slow_attention():
        done = 0
        for ids, pixels in _mixed(batches, rng):
            x = model.plain_input(torch.from_numpy(pixels))
            before = class_scores(model, module, layer, x)
            after = class_scores(model, module, layer, x, edits.of_batch(len(x)))
            yield [facts[image_id] for image_id in ids], before, after
            done += len(ids)
            advance(done)


def class_scores(
    model: PreparedModel, module: nn.Module, layer: Layer, x: Tensor, edit: editing.Edit | None = None
) -> NDArray[np.float64]:
    """Return the class scores `b k` of inputs, with a layer changed by an edit if there is one."""
    with editing.editing(module, layer, edit) if edit is not None else nullcontext():
        # A copy: a model may change its input in place.
        scores: NDArray[np.float64] = model.model.logits(module(x.clone())).double().cpu().numpy()
    return scores


def _mixed(batches: Iterable[loader.Batch], rng: np.random.Generator) -> Iterator[tuple[list[int], NDArray[Any]]]:
    """Yield batches of ids and pixels, drawn at random among 512 images: those of a tar or a table come by class."""
    ids: list[int] = []
    pixels: list[NDArray[Any]] = []

    def taken(count: int) -> Iterator[tuple[list[int], NDArray[Any]]]:
        for part in np.array_split(rng.permutation(count), -(-count // BATCH)) if count else ():
            yield [ids[i] for i in part], np.stack([pixels[i] for i in part])
        del ids[:count], pixels[:count]

    for batch in batches:
        ids += [fact["image_id"] for fact in batch.facts if fact["reason"] is None]
        pixels += list(batch.pixels[batch.valid])
        if len(ids) >= TOGETHER + BATCH:
            yield from taken(TOGETHER)
    yield from taken(len(ids))


def _name(names: Sequence[str], index: int) -> str:
    return names[index] if index < len(names) else str(index)
