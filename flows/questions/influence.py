"""Answer which units of the next layer a unit drives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import TypedDict

from storage.run import Run


class Effect(TypedDict):
    """A unit that drives another, or is driven: mean effect, and the share of patches with the same sign."""

    unit: int
    influence: float
    agreement: float


class Effects(TypedDict):
    """The units with the strongest influence either way, strongest first; `layer` is the unit's own or an earlier one."""

    layer: str
    exciting: list[Effect]
    inhibiting: list[Effect]


class Drives(Effects):
    """The later units that a unit drives most."""

    unit: int
    later_layer: str
    note: str | None
    patches: int


class Influence(Drives):
    """The same with the version of the run."""

    run: str
    version: int


def influence(run: Run, layer: str, unit: int, k: int = 16) -> Influence:
    """Return the units of the next layer that a unit excites and inhibits most, the strongest `k` of each."""
    rows = [row for row in run.influence(layer, unit).to_pylist() if row["rank"] < k]
    record = run.result("influence", layer).record("influence.json")
    return {
        "run": run.name,
        "version": run.number,
        "layer": layer,
        "unit": unit,
        "later_layer": record["later"],
        "note": record["note"] or (None if rows else "no patch excites it, so that nothing is known of what it drives"),
        "patches": rows[0]["patches"] if rows else 0,
        "exciting": effects(rows, "exciting", "later_unit"),
        "inhibiting": effects(rows, "inhibiting", "later_unit"),
    }


def effects(rows: Sequence[dict[str, Any]], effect: str, unit: str) -> list[Effect]:
    """Return the rows of one effect; `unit` is the column of the other unit."""
    return [
        {"unit": row[unit], "influence": row["influence"], "agreement": round(row["agreement"], 4)}
        for row in rows
        if row["effect"] == effect
    ]
