"""The gradients of a unit's patches, in runs made `--with gradients`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atlas.arrays import Byte, Int
from storage.store.results import Result

RECORD = "gradients.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchGradients:
    """A unit's strongest patches, best first: rank, image, position, and a picture `h w 3` of the gradient.

    Mid grey is zero gradient. A picture has the shape of the patch's thumbnail, to overlay it. Patches whose image could
    no longer be read when the gradients were computed are missing.
    """

    method: str
    rank: Int
    image_id: Int
    y: np.ndarray
    x: np.ndarray
    pictures: list[Byte]


def method_of(result: Result) -> str:
    """Return the method by which a layer's gradients were computed."""
    return str(result.record("gradients.json")["method"])


def size_of(result: Result) -> int:
    """Return the longer side, in pixels, of a layer's gradient pictures."""
    return int(result.record("gradients.json")["size"])


def read(result: Result, unit: int) -> PatchGradients:
    """Read one unit's gradients, and only the chunks that hold them."""
    from storage.artefacts import arrays

    path = result.file("gradients.zarr")
    rows = slice(*np.searchsorted(arrays.read_array(path, "unit"), [unit, unit + 1]).tolist())
    columns = {
        name: arrays.read_array(path, name, rows)
        for name in ("rank", "image_id", "y", "x", "height", "width", "picture")
    }
    shapes = zip(columns["picture"], columns.pop("height").tolist(), columns.pop("width").tolist(), strict=True)
    pictures = [picture[:height, :width] for picture, height, width in shapes]
    del columns["picture"]
    return PatchGradients(method=method_of(result), pictures=pictures, **columns)
