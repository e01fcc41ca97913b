"""A layer's receptive field on disk: which pixels can change a position (reach) and which mostly do (focus)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Geometry, Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """First and one-past-last input row (column) that can change each output row (column)."""

    top: NDArray[np.int32]
    bottom: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A layer's reach, and its focus: the side, in pixels of the model's input, of the window a position mostly sees."""

    layer: Layer
    input_shape: tuple[int, int]
    reach: Reach
    focus: float


def write(folder: Path, field: Field) -> None:
    """Write `field.json`."""
    reach = {name: np.asarray(getattr(field.reach, name)).tolist() for name in ("top", "bottom", "left", "right")}
    record = {
        "layer": asdict(field.layer),
        "input": list(field.input_shape),
        "focus": float(field.focus),
        "reach": reach,
    }
    (folder / "field.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def read(folder: Path) -> Field:
    """Read `field.json`."""
    record: dict[str, Any] = json.loads((folder / "field.json").read_text())
    reach = Reach(**{name: np.asarray(values, np.int32) for name, values in record["reach"].items()})
    return Field(
        layer=Layer(**record["layer"]),
        input_shape=(record["input"][0], record["input"][1]),
        reach=reach,
        focus=record["focus"],
    )


def reach_boxes(field: Field, y: NDArray[Any], x: NDArray[Any]) -> NDArray[np.float64]:
    """Return boxes `n 4` (left, top, right, bottom), in input pixels, of all that can change the positions."""
    reach = field.reach
    return np.stack([reach.left[x], reach.top[y], reach.right[x], reach.bottom[y]], axis=1).astype(np.float64)


def focus_boxes(field: Field, y: NDArray[Any], x: NDArray[Any]) -> NDArray[np.float64]:
    """Return boxes `n 4`, in input pixels: the focus placed at each position and clipped to the input."""
    height, width = field.input_shape
    middle_y = (np.asarray(y) + 0.5) * height / field.layer.height
    middle_x = (np.asarray(x) + 0.5) * width / field.layer.width
    half = field.focus / 2
    boxes = np.stack([middle_x - half, middle_y - half, middle_x + half, middle_y + half], axis=1)
    return np.clip(boxes, 0, [width, height, width, height])


def to_source(boxes: NDArray[np.float64], geometries: list[Geometry]) -> NDArray[np.int32]:
    """Turn boxes `n 4` of input pixels into boxes of whole pixels of the source images, clipped, at least 1 × 1."""
    scale = np.array([(g.scale_x, g.scale_y, g.scale_x, g.scale_y) for g in geometries]).reshape(-1, 4)
    offset = np.array([(g.offset_x, g.offset_y, g.offset_x, g.offset_y) for g in geometries]).reshape(-1, 4)
    size = np.array([(g.width, g.height) for g in geometries]).reshape(-1, 2)
    # A box of pixels i … j covers i − ½ … j − ½ in the coordinates of pixel centres.
    edges = offset + (boxes - 0.5) * scale + 0.5
    first = np.clip(np.floor(edges[:, :2]), 0, size - 1)
    last = np.clip(np.ceil(edges[:, 2:]), first + 1, size)
    return np.concatenate([first, last], axis=1).astype(np.int32)
