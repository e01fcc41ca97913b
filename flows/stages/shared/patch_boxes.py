"""Locate positions in the source images: boxes from the receptive field and each image's size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas import boxes
from atlas.arrays import Geometry
from atlas.boxes import SIDES
from flows.config import RunConfig
from flows.model import prepared
from storage.artefacts import receptive_fields, samples, tables
from storage.store.store import Store


class PatchBoxes:
    """Map positions of the activation grid to pixels of a run's source images."""

    def __init__(self, store: Store, keys: list[str], config: RunConfig) -> None:
        self._preprocess = prepared.prepare(config).model.preprocess
        facts = [
            tables.read_table(part.file("images.parquet"), columns=["image_id", "width", "height"])
            for part in samples.results(store, "images", keys)
        ]
        columns = [
            np.concatenate([f[name].to_numpy(zero_copy_only=False) for f in facts]) for name in ("width", "height")
        ]
        ids = np.concatenate([f["image_id"].to_numpy() for f in facts])
        self._row = dict(zip(ids.tolist(), range(len(ids)), strict=True))
        self._width, self._height = columns

    def geometries(self, image_id: NDArray[np.int64]) -> list[Geometry]:
        """Return the geometry of the model's input in each of these images."""
        geometries = {i: self._preprocess.geometry(*self._size(i)) for i in set(image_id.tolist())}
        return [geometries[i] for i in image_id.tolist()]

    def _size(self, image_id: int) -> tuple[int, int]:
        row = self._row[image_id]
        return int(self._width[row]), int(self._height[row])

    def boxes(
        self, field: receptive_fields.Field, image_id: NDArray[np.int64], y: NDArray[Any], x: NDArray[Any]
    ) -> dict[str, NDArray[np.int32]]:
        """Return the columns `reach_left` … `focus_bottom`, in pixels of the source images."""
        geometries = self.geometries(image_id)
        reach = [field.reach.left[x], field.reach.top[y], field.reach.right[x], field.reach.bottom[y]]
        focus = boxes.focus_box(field.layer, y, x, field.focus, field.input_shape)
        placed = {"reach": np.stack(reach, axis=1).astype(np.float64), "focus": focus}
        columns: dict[str, NDArray[np.int32]] = {}
        for kind, box in placed.items():
            source = boxes.to_source(box, geometries)
            columns |= {f"{kind}_{side}": source[:, number] for number, side in enumerate(SIDES)}
        return columns
