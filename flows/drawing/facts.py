"""Describe finished pictures of `show` in plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from atlas.arrays import Float
from flows.drawing.answers import Drawn, PictureFacts, ShowAnswer
from flows.drawing.show import Settings
from flows.model.context import ModelContext
from storage.artefacts import galleries


def describe(context: ModelContext, drawn: Sequence[Drawn], settings: Settings) -> ShowAnswer:
    """Describe the pictures in plain values."""
    facts = _Facts(context)
    return {
        "model": context.model.spec,
        "run": None if context.run is None else context.run.name,
        "seed": drawn[0].seed if drawn else settings.seed,
        "penalties": dict(settings.penalties),
        "pictures": [facts.describe(picture) for picture in drawn],
    }


class _Facts:
    """Looks up facts of a picture: the strongest patch of its unit, or the model's classes for it."""

    def __init__(self, context: ModelContext) -> None:
        self.context = context
        self._patches: dict[str, Float] = {}

    def describe(self, drawn: Drawn) -> PictureFacts:
        only = drawn.goal.only
        facts: PictureFacts = {
            "target": drawn.goal.text,
            "kind": "sum" if only is None else only.kind,
            "facet": drawn.facet,
            "value": drawn.value,
            "best": drawn.best,
            "dead": drawn.dead,
            "size": list(drawn.size),
            "recipe": dataclasses.asdict(drawn.recipe),
        }
        if only is not None and only.kind == "unit" and only.position is None:
            self._add_patch(facts, only.layer, only.index)
        if only is not None and only.kind in ("class", "probability"):
            self._add_classes(facts, drawn, only.index)
        return facts

    def _add_patch(self, facts: PictureFacts, layer: str, unit: int) -> None:
        run = self.context.run
        if run is None or not run.has("patches", layer):
            return
        if layer not in self._patches:
            self._patches[layer] = galleries.strongest(run.result("patches", layer))
        facts["patch"] = float(self._patches[layer][unit])
        facts["ratio"] = facts["best"] / facts["patch"] if facts["patch"] > 0 else None

    def _add_classes(self, facts: PictureFacts, drawn: Drawn, wanted: int) -> None:
        """Classify the picture, resized to the model's input."""
        model = self.context.model
        height, width = model.preprocess.size
        channels = 3 if model.preprocess.channels == 3 else 1
        shown = torch.from_numpy(np.array(Image.fromarray(drawn.picture).resize((width, height))))[None, ..., :channels]
        with torch.no_grad():
            scores = model.logits(model.module(model.preprocess.normalise(shown)))[0].double()
        first, shares = int(scores.argmax()), model.probabilities(scores)
        if shares is not None:
            facts["probability"] = float(shares[wanted])
        facts["logit"] = float(scores[wanted])
        facts["first"] = {"index": first, "name": model.classes[first] if first < len(model.classes) else ""}
