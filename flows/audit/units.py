"""The units of a layer in an audit: the model's responses to the class's images, and what suspects do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from atlas.arrays import Float
from flows.audit import images, responses
from flows.audit.answers import AuditPatch, Candidate
from flows.audit.images import Chosen, Pictures
from flows.audit.parts import ImagePart
from flows.audit.responses import Responses
from flows.model import published
from flows.model.prepared import PreparedModel
from flows.questions import peaks
from storage.run import Run

PATCHES, ABLATED = 6, 8
"""Patches of a suspect, and suspects that are ablated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitAudit:
    """The images of a class with the responses of a layer's units, and how strong these are in images without it."""

    run: Run
    layer: str
    index: int
    model: PreparedModel
    pictures: Pictures
    own: Responses
    others: Float

    def complete(self, suspects: list[Candidate], parts: list[ImagePart], ablate: bool) -> None:
        """Add patches, places and effects to suspects."""
        members = {(part.kind, part.name): part.members for part in parts}
        units = [row for row in suspects if row["unit"] is not None]
        before = None
        for number, row in enumerate(units):
            inside = members[row["tests"][0]["kind"], row["tests"][0]["name"]]
            self._add_patches(row, inside)
            if ablate and number < ABLATED:
                if before is None:
                    before = responses.class_scores_of(self.model, self.layer, self.pictures.pixels)
                after = responses.class_scores_of(self.model, self.layer, self.pictures.pixels, row["unit"])
                row["effects"] = {
                    "part": responses.effect(before[inside], after[inside], self.index),
                    "others": responses.effect(before[~inside], after[~inside], self.index),
                }

    def _add_patches(self, row: Candidate, inside: NDArray[np.bool_]) -> None:
        """Add the patches of the images of the part in which a unit is strongest, and how many share a place."""
        unit = cast(int, row["unit"])
        y, x = self.own.y[inside, unit], self.own.x[inside, unit]
        near = (np.abs(y[:, None] - y) <= 1) & (np.abs(x[:, None] - x) <= 1)
        row["place"] = float(near.mean(axis=1).max())
        order = np.flatnonzero(inside)[np.argsort(-self.own.value[inside, unit], kind="stable")][:PATCHES]
        chosen = [self.pictures.rows[number] for number in order.tolist()]
        table = pa.table(
            {
                "image_id": pa.array([image["image_id"] for image in chosen], pa.int64()),
                "path": pa.array([image["path"] for image in chosen], pa.large_string()),
                "label": pa.array([image["label"] for image in chosen], pa.large_string()),
                "y": self.own.y[order, unit].astype(np.int32),
                "x": self.own.x[order, unit].astype(np.int32),
                "value": self.own.value[order, unit],
            }
        )
        boxed = peaks.with_boxes(self.run, self.layer, table)
        row["patches"] = [
            cast(AuditPatch, {name: patch[name] for name in AuditPatch.__annotations__}) for patch in boxed
        ]


def of_class(run: Run, layer: str, chosen: Chosen) -> UnitAudit:
    """Load the model, and pass the images with and without a class."""
    run.result("field", layer)
    model = published.prepared_model_of(run, layer)
    own = images.distinct(images.read(run, chosen.own, model.model.preprocess))
    images.check_enough(run, chosen, own)
    answered = responses.with_class(model, layer, chosen.index, own.pixels)
    finite = np.asarray(np.isfinite(answered.value + answered.added).all(axis=1), np.bool_)
    if not finite.all():
        own = images.without(own, finite)
        answered = Responses(**{name: getattr(answered, name)[finite] for name in Responses.__slots__})
        images.check_enough(run, chosen, own)
    others = _others(run, layer, chosen, model)
    return UnitAudit(run=run, layer=layer, index=chosen.index, model=model, pictures=own, own=answered, others=others)


def _others(run: Run, layer: str, chosen: Chosen, model: PreparedModel) -> Float:
    """Return how strong units are in images without the class: from the run's peaks where it keeps them, else by a pass."""
    if run.has("peaks", layer):
        shards = [
            (part.value[:, 0, kept].T)
            for part in run.peaks(layer)
            if (kept := np.isin(part.image_id, chosen.others)).any()
        ]
        values = np.concatenate(shards) if shards else np.zeros((0, model.layers[layer].units), np.float32)
    else:
        pixels = images.read(run, chosen.others, model.model.preprocess).pixels
        values = responses.strongest(model, layer, pixels)
    return np.asarray(values[np.isfinite(values).all(axis=1)], np.float32)
