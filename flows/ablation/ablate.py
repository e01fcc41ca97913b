"""Ablate units of a run's model over its images, and measure the class scores before and after.

One pass without and one with the change for each batch, through the same module, so that a factor of 1 changes no bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.model import editing
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

IMAGES, BATCH = 500, 32
"""Images by default, and images per pass, at most."""

SHOWN, FLIPPED = 5, 50
"""Classes listed at each end, and images that flip."""


@dataclass(slots=True)
class Changes:
    """Sums over images of the change of each class's score: their number, flips, sum and sum of squares `k`."""

    classes: int
    images: int = 0
    flips: int = 0
    total: NDArray[np.float64] = field(init=False)
    squares: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.total, self.squares = np.zeros(self.classes), np.zeros(self.classes)

    def add(self, change: NDArray[np.float64], flips: bool) -> None:
        """Add an image's change `k`."""
        self.images += 1
        self.flips += flips
        self.total += change
        self.squares += change**2

    def ends(self, names: Sequence[str]) -> tuple[list[ClassChange], list[ClassChange]]:
        """Return the classes whose scores fall most, and those whose scores rise most; none that do not move."""
        mean = self.total / self.images
        order = np.argsort(mean, kind="stable")
        falls = [self._of(i, mean, names) for i in order[:SHOWN].tolist() if mean[i] < 0]
        rises = [self._of(i, mean, names) for i in order[::-1][:SHOWN].tolist() if mean[i] > 0]
        return falls, rises

    def _of(self, index: int, mean: NDArray[np.float64], names: Sequence[str]) -> ClassChange:
        error = None
        if self.images > 1:
            variance = max(0.0, float(self.squares[index] - self.images * mean[index] ** 2)) / (self.images - 1)
            error = round(math.sqrt(variance / self.images), 6)
        name = names[index] if index < len(names) else ""
        return {"index": index, "name": name, "change": round(float(mean[index]), 6), "error": error}


def ablate(
    run: Run,
    layer: str,
    units: Sequence[int],
    *,
    by: str = "zero",
    where: str | None = None,
    images: int = IMAGES,
) -> Ablation:
    """Change units of a layer in the first `images` images of a run, or of those that fit a condition in SQL.

    `by` is zero, mean (each unit's mean over the run's samples), resample (the maps of another image, drawn by the run's
    seed) or scale=F. Raises UsageError for another way, ModelError where the model has changed since the run.
    """
    units = _checked(run, layer, units)
    kind, factor = ways.parse(by)
    chosen = _chosen(run, where, images)
    if kind == "resample" and len(chosen) == 1:
        raise UsageError("--by resample takes the maps of another image, and there is one image")
    model = published.prepared_model_of(run, layer)
    names, flipped = model.model.classes, list[Flip]()
    whole: Changes | None = None
    labels: dict[str | None, Changes] = {}
    edits = _Edits(run, layer, list(units), kind, factor)
    for rows, before, after in _scores(run, model, chosen, edits):
        whole = whole or Changes(before.shape[1])
        firsts = before.argmax(1), after.argmax(1)
        for i, row in enumerate(rows):
            flips = bool(firsts[0][i] != firsts[1][i])
            for changes in (whole, labels.setdefault(row["label"], Changes(before.shape[1]))):
                changes.add(after[i] - before[i], flips)
            if flips and len(flipped) < FLIPPED:
                first, second = (_named(names, int(side[i])) for side in firsts)
                flipped.append(
                    {
                        "image_id": row["image_id"],
                        "path": row["path"],
                        "label": row["label"],
                        "before": first,
                        "after": second,
                    }
                )
    if whole is None:
        raise UsageError(f"{run.name}: none of the {len(chosen):,} images can be read")
    falls, rises = whole.ends(names)
    return {
        "run": run.name,
        "layer": layer,
        "units": list(units),
        "by": by,
        "images": whole.images,
        "flips": whole.flips,
        "falls": falls,
        "rises": rises,
        "labels": _by_label(labels, names),
        "flipped": flipped,
    }


def _checked(run: Run, layer: str, units: Sequence[int]) -> Sequence[int]:
    run.result("collect", layer)  # raises for a layer that the run does not have
    count = next(int(row["units"]) for row in run.model["layers"] if row["name"] == layer)
    wrong = next((unit for unit in units if not 0 <= unit < count), None)
    if wrong is not None:
        raise NotFound(f"{layer} has no unit {wrong}; its units are 0 to {count - 1}")
    return units


def _chosen(run: Run, where: str | None, images: int) -> pa.Table:
    """Return image_id, path and label of the images to use, in the order of their ids. Raises UsageError if there is none."""
    if images < 1:
        raise UsageError(f"--images {images}: at least 1")
    table = run.images() if where is None else run.images(peaks.images_where(run, where))
    table = table.filter(pc.is_null(table["reason"])).slice(0, images)
    if not len(table):
        raise UsageError(f"--where {where}: none of the run's images")
    return table


class _Edits:
    """The change of each batch."""

    def __init__(self, run: Run, layer: str, units: list[int], kind: str, factor: float) -> None:
        self.layer, self.units, self.kind, self.factor = layer, units, kind, factor
        self.rng = np.random.default_rng(run.version.about["config"].get("seed", 0))
        self.mean = self._mean(run) if kind == "mean" else None

    def _mean(self, run: Run) -> Tensor:
        total, count = np.zeros(len(self.units)), 0
        for samples in run.samples_by_shard(self.layer):
            total += samples.activations[:, self.units].sum(0, dtype=np.float64)
            count += len(samples.activations)
        return torch.from_numpy(total / max(count, 1))

    def of_batch(self, size: int) -> editing.Edit:
        if self.kind == "scale":
            return editing.scale(self.units, self.factor)
        if self.kind == "resample":
            turn = int(self.rng.integers(1, size))  # so that no image keeps its own maps
            return editing.resample(self.units, torch.arange(size).roll(turn))
        return editing.constant(self.units, torch.zeros(len(self.units)) if self.mean is None else self.mean)


Scores = tuple[list[dict[str, Any]], NDArray[np.float64], NDArray[np.float64]]


def _scores(run: Run, model: PreparedModel, chosen: pa.Table, edits: _Edits) -> Iterator[Scores]:
    """Yield, batch by batch, the images and their class scores `b k` without and with the change."""
    rows = run.listing(chosen["image_id"].to_pylist())
    facts = {row["image_id"]: row for row in chosen.select(["image_id", "path", "label"]).to_pylist()}
    module, layer = model.module_exposing([edits.layer]), model.layers[edits.layer]
    source = sources.source_of(run.version.about)
    # No image is left alone in the last batch.
    size = next((size for size in range(BATCH, 1, -1) if len(rows) % size != 1), BATCH)
    batches = loader.load(source, rows, model.model.preprocess, batch=size, threads=cores())
    with progress.current().bar("ablation", len(rows), "images") as advance, torch.no_grad():
        for batch in batches:
            if batch.valid.any():
                pixels = model.plain_input(torch.from_numpy(batch.pixels[batch.valid]))
                before = model.model.logits(module(pixels)).double().cpu().numpy()
                with editing.editing(module, layer, edits.of_batch(len(pixels))):
                    after = model.model.logits(module(pixels)).double().cpu().numpy()
                ids = [fact["image_id"] for fact in batch.facts if fact["reason"] is None]
                yield [facts[image_id] for image_id in ids], before, after
            advance(min(batch.first + size, len(rows)))


def _named(names: Sequence[str], index: int) -> str:
    return names[index] if index < len(names) else str(index)


def _by_label(labels: dict[str | None, Changes], names: Sequence[str]) -> list[LabelChange]:
    order = sorted(
        labels, key=lambda label: (-labels[label].flips / labels[label].images, -labels[label].images, str(label))
    )
    rows: list[LabelChange] = []
    for label in order:
        falls, rises = labels[label].ends(names)
        rows.append(
            {
                "label": label,
                "images": labels[label].images,
                "flips": labels[label].flips,
                "falls": falls,
                "rises": rises,
            }
        )
    return rows
