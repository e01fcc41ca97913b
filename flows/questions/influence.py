"""Answer which units of the next layer a unit drives."""

from __future__ import annotations

import json
from typing import Any

from storage.run import Run


def influence(run: Run, layer: str, unit: int, k: int = 16) -> dict[str, Any]:
    """Return the units of the next layer that a unit excites and inhibits most, the strongest `k` of each."""
    rows = [row for row in run.influence(layer, unit).to_pylist() if row["rank"] < k]
    record = json.loads(run.result("influence", layer).file("influence.json").read_bytes())
    return {
        "run": run.name,
        "version": run.number,
        "layer": layer,
        "unit": unit,
        "later_layer": record["later"],
        "note": record["note"] or (None if rows else "no patch excites it, so that nothing is known of what it drives"),
        "patches": rows[0]["patches"] if rows else 0,
        **{
            effect: [
                {"unit": row["later_unit"], "influence": row["influence"], "agreement": round(row["agreement"], 4)}
                for row in rows
                if row["effect"] == effect
            ]
            for effect in ("exciting", "inhibiting")
        },
    }
