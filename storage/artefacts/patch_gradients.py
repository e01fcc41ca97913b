"""The gradients of a unit's patches, which a run has where it was made `--with gradients`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from atlas.arrays import Byte, Int
from storage.store.results import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchGradients:
    """Of a unit's strongest patches, best first: rank, image and position, and the picture `h w 3` of the gradient.

    Mid grey is no gradient. A picture has the shape of the patch's thumbnail and lies over it. Patches whose image was
    no longer readable when the gradients were made are not there.
    """

    method: str
    rank: Int
    image_id: Int
    y: np.ndarray
    x: np.ndarray
    pictures: list[Byte]


def method_of(result: Result) -> str:
    """Return the method that a layer's gradients were made by."""
    return str(_record(result)["method"])


def size_of(result: Result) -> int:
    """Return the longer side, in pixels, that a layer's gradients were drawn with."""
    return int(_record(result)["size"])


def _record(result: Result) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(result.file("gradients.json").read_text())
    return record


def read(result: Result, unit: int) -> PatchGradients:
    """Return one unit's gradients: the chunks that hold them are read, and no others."""
    from storage.artefacts import arrays

    path = result.file("gradients.zarr")
    rows = slice(*np.searchsorted(arrays.read_array(path, "unit"), [unit, unit + 1]).tolist())
    found = {
        name: arrays.read_array(path, name, rows)
        for name in ("rank", "image_id", "y", "x", "height", "width", "picture")
    }
    shapes = zip(found["picture"], found.pop("height").tolist(), found.pop("width").tolist(), strict=True)
    pictures = [picture[:height, :width] for picture, height, width in shapes]
    del found["picture"]
    return PatchGradients(method=method_of(result), pictures=pictures, **found)
