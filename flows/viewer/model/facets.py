"""Several pictures of one unit that differ: what else would excite it as much."""

from __future__ import annotations

import base64
import time
from typing import Any

from flows.drawing import facts, show
from flows.model import context as model_context
from flows.model import published
from flows.viewer.answers.rounding import plain
from storage.artefacts import pictures
from storage.run import open_run

FACETS, RECIPE, SIDE = 4, "fast", 96
SIZE = (SIDE, SIDE)


def facets(store: str, asked: dict[str, Any], _: bytes) -> dict[str, Any]:
    """Draw four pictures of a unit, small and by the quick recipe."""
    started = time.monotonic()
    layer, unit = asked["layer"], asked["unit"]
    published.prepared_model_of(open_run(store, asked["run"]), layer)
    look, how = (
        model_context.open_context(store, run=asked["run"]),
        show.Settings(recipe=RECIPE, size=SIZE, facets=FACETS),
    )
    drawn = show.show(look, [f"{layer}:{unit}"], how)
    told = facts.describe(look, drawn, how)
    return {
        "layer": layer,
        "unit": unit,
        "recipe": RECIPE,
        "steps": drawn[0].recipe.steps,
        "side": SIDE,
        "seconds": round(time.monotonic() - started, 1),
        "facets": [
            {
                "picture": base64.b64encode(pictures.encode(one.picture, ".webp")).decode(),
                "best": plain(one.best),
                "ratio": None if fact.get("ratio") is None else plain(fact["ratio"], 3),
            }
            for one, fact in zip(drawn, told["pictures"], strict=True)
        ],
    }
