"""What a unit's card shows beside its patches and takes longer: its samples, labels, classes, and related units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from typing_extensions import TypedDict

from flows.questions import units as unit_answers
from flows.questions.influence import Drives, Effects
from flows.questions.patches import PixelBox
from flows.questions.unit_samples import Spread
from flows.questions.units import Alike, LabelCounts, UnitClasses
from flows.viewer.answers import units
from flows.viewer.answers.open_runs import OpenVersion
from flows.viewer.answers.rounding import plain


class Example(TypedDict):
    """A sample of the unit, where it lies, and its value."""

    value: float
    image_id: int
    label: str | None
    y: int
    x: int
    focus: PixelBox


Interval = TypedDict("Interval", {"from": float, "to": float, "count": int, "share": float, "examples": list[Example]})
"""A part of the unit's range of values, with examples."""


class Card(TypedDict):
    """One unit: how its samples are spread, labels, classes, units like it, influence. What the run lacks is null."""

    layer: str
    unit: int
    labels: LabelCounts
    samples: Spread | None
    intervals: list[Interval]
    alike: Alike
    classes: UnitClasses | None
    drives: Drives | None
    driven: Effects | None


def one(version: OpenVersion, layer: str, unit: int, each: int = unit_answers.EACH) -> Card:
    """Return a unit's card, with `each` examples in each part of its range."""
    units.check(version, layer, unit)
    facts: Mapping[str, Any] = unit_answers.unit(version.run, layer, unit, k=1, each=each, shared=version.shared(layer))
    parts = ("labels", "samples", "intervals", "alike", "classes", "drives", "driven")
    return cast(Card, {"layer": layer, "unit": unit} | {name: without_paths(facts[name]) for name in parts})


def without_paths(value: Any) -> Any:
    """Return an answer without file paths, at any depth, and with numbers rounded for JSON."""
    if isinstance(value, dict):
        return {name: without_paths(item) for name, item in value.items() if name not in ("path", "run", "version")}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    return plain(value) if isinstance(value, float) else value


class PatchPosition(TypedDict):
    """Where a patch lies, with its rank or, over the range, its number."""

    number: int
    image_id: int
    y: int
    x: int
    focus: PixelBox


def positions(version: OpenVersion, layer: str, unit: int, side: str) -> list[PatchPosition]:
    """Return the positions of the patches that the page shows of one side, or over the unit's range."""
    rows: list[Any]
    if side == "range":
        rows = [example for part in one(version, layer, unit)["intervals"] for example in part["examples"]]
    else:
        rows = version.run.patches(layer, unit, len(version.thumbnails(layer, unit, side)), sign=side).to_pylist()
    return [
        {"number": number, "image_id": row["image_id"], "y": row["y"], "x": row["x"], "focus": row["focus"]}
        for number, row in enumerate(rows)
    ]
