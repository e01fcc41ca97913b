"""Describe finished pictures of `show` in plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from atlas.arrays import Float
from flows.drawing.drawn import Drawn
from flows.drawing.show import Settings
from flows.model.context import ModelContext
from storage.artefacts import galleries


def describe(context: ModelContext, drawn: Sequence[Drawn], settings: Settings) -> dict[str, Any]:
    """Describe the pictures in plain values."""
    facts = _Facts(context)
    return {
        "model": context.model.spec,
        "run": None if context.run is None else context.run.name,
        "seed": drawn[0].seed if drawn else settings.seed,
        "penalties": dict(settings.penalties),
        "pictures": [_describe(picture) | facts.of(picture) for picture in drawn],
    }


def _describe(drawn: Drawn) -> dict[str, Any]:
    return {
        "target": drawn.goal.text,
        "kind": "sum" if drawn.goal.only is None else drawn.goal.only.kind,
        "facet": drawn.facet,
        "value": drawn.value,
        "best": drawn.best,
        "dead": drawn.dead,
        "size": list(drawn.size),
        "recipe": dataclasses.asdict(drawn.recipe),
    }


class _Facts:
    """Looks up facts of a picture: the strongest patch of its unit, or the model's classes for it."""

    def __init__(self, context: ModelContext) -> None:
        self.context = context
        self._patches: dict[str, Float] = {}

    def of(self, drawn: Drawn) -> dict[str, Any]:
        only = drawn.goal.only
        if only is not None and only.kind == "unit" and only.position is None:
            return self._of_unit(drawn, only.layer, only.index)
        if only is not None and only.kind in ("class", "probability"):
            return self._of_class(drawn, only.index)
        return {}

    def _of_unit(self, drawn: Drawn, layer: str, unit: int) -> dict[str, Any]:
        run = self.context.run
        if run is None or not run.has("patches", layer):
            return {}
        if layer not in self._patches:
            self._patches[layer] = galleries.strongest(run.result("patches", layer))
        patch = float(self._patches[layer][unit])
        return {"patch": patch, "ratio": drawn.best / patch if patch > 0 else None}

    def _of_class(self, drawn: Drawn, wanted: int) -> dict[str, Any]:
        """Classify the picture, resized to the model's input."""
        model = self.context.model
        height, width = model.preprocess.size
        channels = 3 if model.preprocess.channels == 3 else 1
        shown = torch.from_numpy(np.array(Image.fromarray(drawn.picture).resize((width, height))))[None, ..., :channels]
        with torch.no_grad():
            scores = model.logits(model.module(model.preprocess.normalise(shown)))[0].double()
        first, shares = int(scores.argmax()), model.probabilities(scores)
        return {
            "probability": None if shares is None else float(shares[wanted]),
            "logit": float(scores[wanted]),
            "first": {"index": first, "name": model.classes[first] if first < len(model.classes) else ""},
        }
