"""Saliency of one image: choose what is explained, explain it, draw it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from atlas.arrays import Byte, Float, Layer
from atlas.attribution.grad_cam import has_gradient
from atlas.attribution.gradients import completeness_gap
from atlas.attribution.methods import METHODS, Attribution, Settings, attribute
from atlas.attribution.scores import Score, values
from flows.drawing import targets
from flows.model.context import ModelContext
from storage.errors import NotFound, UsageError

BASELINES = ("mean", "black")


def explain(
    look: ModelContext,
    image: str,
    target: str | None,
    *,
    method: str = "gradient",
    layer: str | None = None,
    samples: int = 25,
    steps: int = 50,
    baseline: str = "mean",
    seed: int = 0,
) -> tuple[dict[str, Any], Byte, Float]:
    """Return the answer as a dict, the picture the model saw (`h w 3`) and the map `h w`.

    Without a target the model's own first choice is explained. Raises UsageError where a method can't be applied.
    """
    if method not in METHODS:
        raise UsageError(f"--method {method} is not one of {', '.join(METHODS)}")
    if baseline not in BASELINES:
        raise UsageError(f"--baseline {baseline} is not one of {', '.join(BASELINES)}")
    model, pixels = look.model, look.model.preprocess.pixels(look.image(image))
    x = model.preprocess.normalise(torch.from_numpy(pixels.copy())[None]).contiguous()
    chosen = None if target is None else _one(target, look)
    choices = look.choices(x) if chosen is None or chosen.kind != "unit" else []
    chosen = chosen or targets.of_class(choices[0]["index"], model.classes)
    score = targets.score_of(chosen, model, look.layers([chosen.layer]) if chosen.layer else {})
    if method == "integrated-gradients" and steps < 1:
        raise UsageError(f"--steps {steps}: integrated gradients take at least 1")
    if method == "smoothgrad" and samples < 1:
        raise UsageError(f"--samples {samples}: smoothgrad takes at least 1")
    told = Settings(
        samples=samples,
        steps=steps,
        baseline=_baseline(look, baseline),
        layer=_cam_layer(look, x, chosen, score, layer, method),
        seed=seed,
    )
    try:
        found = attribute(model.module, x, score, method, told)
        value = float(values(model.module, score, x)[0])
    except ValueError as error:
        raise UsageError(str(error)) from None
    answer: dict[str, Any] = {
        "image": image,
        "model": model.spec,
        "run": None if look.run is None else look.run.name,
        "target": _described(chosen),
        "method": method,
        "score": value,
        "choices": choices,
        "parameters": _parameters(method, told, baseline),
    }
    if method == "integrated-gradients":
        answer |= _completeness(look, x, score, found, told)
    if told.layer is not None and not bool(found.raw.any()):
        answer["note"] = (
            f"nothing at {told.layer.name} speaks for {chosen}: it is read from what has no place there (a class "
            "token), or all there speaks against it; an earlier --layer may show more"
        )
    return answer, _rgb(pixels), found.map[0].detach().numpy()


def _one(text: str, look: ModelContext) -> targets.Target:
    """Read the target; raises UsageError for a sum, which is no one number of the model."""
    modules = dict(look.model.module.named_modules())
    if len(targets.parse_sum(text, look.model.classes, modules)) > 1:
        raise UsageError(f"{text} is a sum, which `actlas show` draws; saliency explains one class or unit")
    return targets.parse(text, look.model.classes)


def _cam_layer(
    look: ModelContext, x: Tensor, target: targets.Target, score: Score, named: str | None, method: str
) -> Layer | None:
    """Return Grad-CAM's layer: the one named, or the last with more than one position where something moves the score.

    That is not the last of a vision transformer, of which the class token alone is read.
    """
    if method != "grad-cam":
        if named is not None:
            raise UsageError(f"--layer is for grad-cam, not {method}")
        return None
    if named is not None:
        return look.layers([named])[named]
    if target.kind == "unit":
        raise UsageError(f"grad-cam of the unit {target} needs --layer, a layer before it")
    spatial = [layer for layer in look.layers().values() if layer.height * layer.width > 1]
    if not spatial:
        raise NotFound(f"model {look.model.spec}: no layer has more than one position; grad-cam can't be drawn")
    found = next((layer for layer in reversed(spatial) if has_gradient(look.model.module, x, score, layer)), None)
    if found is None:
        raise NotFound(f"model {look.model.spec}: no layer with positions moves {target}; grad-cam can't be drawn")
    return found


def _baseline(look: ModelContext, name: str) -> Tensor | None:
    """Return `1 c h w`: black as the model takes it, or None for the mean colour, which is zero."""
    if name == "mean":
        return None
    return look.model.preprocess.normalise(torch.from_numpy(look.model.preprocess.blank(1)))


def _completeness(look: ModelContext, x: Tensor, score: Score, found: Attribution, told: Settings) -> dict[str, float]:
    """Return the sum of the shares, and how far it is from what the score rose by."""
    missing = completeness_gap(look.model.module, x, score, found.raw, told.baseline)[0]
    return {"sum": float(found.raw.sum()), "gap": float(missing)}


def _parameters(method: str, told: Settings, baseline: str) -> dict[str, Any]:
    """Return what the method was told, of what concerns it."""
    if method == "smoothgrad":
        return {"samples": told.samples, "noise": told.noise, "seed": told.seed}
    if method == "integrated-gradients":
        return {"steps": told.steps, "baseline": baseline}
    return {"layer": told.layer.name} if told.layer is not None else {}


def _described(target: targets.Target) -> dict[str, Any]:
    said: dict[str, Any] = {"text": str(target), "kind": target.kind, "index": target.index}
    if target.kind != "unit":
        return said | {"name": target.name}
    return said | {"layer": target.layer, "position": target.position}


def _rgb(pixels: Byte) -> Byte:
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)
