"""The gallery of a layer: a picture of every unit, in runs made `--with gallery`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from atlas.arrays import Byte, Float
from storage.artefacts import tables
from storage.store.results import Result

FIELDS = ("pictures", "value", "best", "patch", "dead")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Pictures `units s s 3` that excite each unit, and the activations they reach.

    `value` is the unit's mean activation over the picture's positions, `best` the maximum, `patch` that of its strongest
    patch among the images (NaN if none). Nothing excites a `dead` unit: its picture is plain grey.
    """

    recipe: dict[str, Any]
    pictures: Byte
    value: Float
    best: Float
    patch: Float
    dead: np.ndarray

    @property
    def ratio(self) -> Float:
        """The picture's activation relative to the strongest patch's; NaN without such a patch."""
        return ratio(self.best, self.patch)


def read(result: Result) -> Gallery:
    """Read a layer's gallery."""
    from storage.artefacts import arrays

    record = result.record("gallery.json")
    group = arrays.read_group(result.file("gallery.zarr"))
    return Gallery(recipe=record["recipe"], **{name: group[name] for name in FIELDS})


def strongest(result: Result) -> Float:
    """Read the value of each unit's strongest patch from the layer's patches; NaN if it has none."""
    table = tables.read_table(result.file("patches.parquet"), ["unit", "sign", "rank", "value"])
    first = table.filter(pc.and_(pc.equal(table["sign"], "positive"), pc.equal(table["rank"], 0)))
    values = np.full(result.counts["units"], np.nan, dtype=np.float32)
    values[first["unit"].to_numpy()] = first["value"].to_numpy()
    return values


def ratio(best: Float, patch: Float) -> Float:
    """Return best / patch where patch is above 0, else NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(patch > 0, best / patch, np.nan).astype(np.float32)
