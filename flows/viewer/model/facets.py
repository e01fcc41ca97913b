"""Draw several different pictures of one unit, each optimised to excite it."""

from __future__ import annotations

import base64
import time
from typing import Any

from flows.drawing import facts, show
from flows.model import context as model_context
from flows.model import published
from flows.viewer.answers.rounding import plain
from flows.viewer.model.answers import Facets
from storage.artefacts import pictures
from storage.run import open_run

FACETS, RECIPE, SIDE = 4, "fast", 96
SIZE = (SIDE, SIDE)


def facets(store: str, request: dict[str, Any], _: bytes) -> Facets:
    """Draw four small pictures of a unit with the fast recipe."""
    started = time.monotonic()
    layer, unit = request["layer"], request["unit"]
    published.prepared_model_of(open_run(store, request["run"]), layer)
    context = model_context.open_context(store, run=request["run"])
    settings = show.Settings(recipe=RECIPE, size=SIZE, facets=FACETS)
    drawn = show.show(context, [f"{layer}:{unit}"], settings)
    described = facts.describe(context, drawn, settings)
    return {
        "layer": layer,
        "unit": unit,
        "recipe": RECIPE,
        "steps": drawn[0].recipe.steps,
        "side": SIDE,
        "seconds": round(time.monotonic() - started, 1),
        "facets": [
            {
                "picture": base64.b64encode(pictures.encode(picture.picture, ".webp")).decode(),
                "best": plain(picture.best),
                "ratio": None if fact.get("ratio") is None else plain(fact["ratio"], 3),
            }
            for picture, fact in zip(drawn, described["pictures"], strict=True)
        ],
    }
