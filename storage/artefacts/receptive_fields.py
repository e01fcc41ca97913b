"""A layer's receptive field on disk: the pixels that can affect a position (reach), and that mostly do (focus)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from atlas.arrays import Layer, Reach
from storage.store.results import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A layer's reach, and its focus: the side of the window that mostly affects a position, in input pixels."""

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


def read(result: Result) -> Field:
    """Read `field.json`."""
    record = result.record("field.json")
    reach = Reach(**{name: np.asarray(values, np.int32) for name, values in record["reach"].items()})
    return Field(
        layer=Layer(**record["layer"]),
        input_shape=(record["input"][0], record["input"][1]),
        reach=reach,
        focus=record["focus"],
    )
