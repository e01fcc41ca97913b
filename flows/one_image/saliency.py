"""Explain one image by a saliency method: choose the class or unit, the method's settings, and compute the map."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from atlas.arrays import Byte, Float, Layer
from atlas.attribution.grad_cam import has_gradient
from atlas.attribution.gradients import completeness_gap
from atlas.attribution.guided_backprop import rectifies
from atlas.attribution.methods import METHODS, Attribution, Settings, attribute, taking
from atlas.attribution.scores import Score, values
from atlas.model import gradient_flow
from flows.drawing import targets
from flows.model.context import ModelContext
from flows.one_image.answers import Saliency, SaliencyTarget
from storage.errors import NotFound, UsageError

BASELINES = ("mean", "black")


def explain(
    context: ModelContext,
    image: str,
    target: str | None,
    *,
    method: str = "gradient",
    layer: str | None = None,
    samples: int = 25,
    steps: int = 50,
    baseline: str = "mean",
    seed: int = 0,
) -> tuple[Saliency, Byte, Float]:
    """Return the answer as a dict, the picture the model saw (`h w 3`) and the map `h w`.

    Without a target the model's own first choice is explained. Raises UsageError where a method can't be applied.
    """
    _check(method, baseline, {"steps": steps, "samples": samples})
    model, pixels = context.model, context.model.preprocess.pixels(context.image(image))
    x = model.preprocess.normalise(torch.from_numpy(pixels.copy())[None]).contiguous()
    chosen = None if target is None else _parse_target(target, context)
    choices = context.choices(x) if chosen is None or chosen.kind != "unit" else []
    chosen = chosen or targets.of_class(choices[0]["index"], model.classes)
    score = targets.score_of(chosen, model, context.layers([chosen.layer]) if chosen.layer else {})
    _check_gradient(context, x, score, chosen, method)
    settings = Settings(
        samples=samples,
        steps=steps,
        baseline=_baseline(context, baseline),
        layer=_method_layer(context, x, chosen, score, layer, method),
        seed=seed,
    )
    try:
        attribution = attribute(model.module, x, score, method, settings)
        value = float(values(model.module, score, x)[0].detach())
    except ValueError as error:
        raise UsageError(str(error)) from None
    if not math.isfinite(value):
        raise UsageError(f"{chosen} has a value that is not finite ({value}) for this image, and can't be explained")
    if not bool(attribution.raw.isfinite().all()):
        raise UsageError(
            f"{chosen} has a gradient that is not finite (NaN or infinite) for this image, and can't be explained by {method}"
        )
    answer: Saliency = {
        "image": image,
        "model": model.spec,
        "run": None if context.run is None else context.run.name,
        "target": _describe_target(chosen),
        "method": method,
        "score": value,
        "choices": choices,
        "parameters": _parameters(method, settings, baseline),
    }
    if "baseline" in METHODS[method].settings:
        answer["sum"], answer["gap"] = _completeness(context, x, score, attribution, settings)
    note = _note(context.model.module, x, score, attribution, settings, method, str(chosen))
    if note:
        answer["note"] = note
    return answer, _rgb(pixels), attribution.map[0].detach().float().numpy()


def _note(
    module: nn.Module, x: Tensor, score: Score, attribution: Attribution, settings: Settings, method: str, target: str
) -> str:
    """Say what a reader of the map has to know of it, or nothing."""
    if METHODS[method].rectified and not rectifies(module, x, score):
        return f"no rectifier (ReLU) lies between the image and {target}: here {method} is the plain gradient"
    if settings.layer is not None and not bool(attribution.raw.any()):
        return (
            f"nothing at {settings.layer.name} speaks for {target}: it is read from what has no place there (a class "
            "token), or all there speaks against it; an earlier --layer may show more"
        )
    return ""


def _check_gradient(context: ModelContext, x: Tensor, score: Score, target: targets.Target, method: str) -> None:
    """Raise UsageError where torch has no gradient of the model; behind a frozen part, methods of a layer still apply."""
    module = context.model.module
    why = (
        gradient_flow.why_none_of(module, score.logits, x)
        if score.layer is None
        else gradient_flow.why_no_gradient(module, score.layer, x)
    )
    if why and (why != gradient_flow.FROZEN or method not in taking("layer")):
        raise UsageError(f"{target} can't be explained: {why}")


def _check(method: str, baseline: str, counts: dict[str, int]) -> None:
    """Raise UsageError for an unknown method or baseline, or a count below 1 that the method would take."""
    if method not in METHODS:
        raise UsageError(f"--method {method} is not one of {', '.join(METHODS)}")
    if baseline not in BASELINES:
        raise UsageError(f"--baseline {baseline} is not one of {', '.join(BASELINES)}")
    for name, count in counts.items():
        if name in METHODS[method].settings and count < 1:
            raise UsageError(f"--{name} {count}: {method} needs at least 1")


def _parse_target(text: str, context: ModelContext) -> targets.Target:
    """Parse the target; raises UsageError for a sum, which is no one number of the model."""
    modules = dict(context.model.module.named_modules())
    if len(targets.parse_sum(text, context.model.classes, modules)) > 1:
        raise UsageError(f"{text} is a sum, which `actlas show` draws; saliency explains one class or unit")
    return targets.parse(text, context.model.classes)


def _method_layer(
    context: ModelContext, x: Tensor, target: targets.Target, score: Score, named: str | None, method: str
) -> Layer | None:
    """Return Grad-CAM's layer: the one named, or the last with more than one position where something moves the score.

    That is not the last layer of a vision transformer, of which only the class token is read.
    """
    if method not in taking("layer"):
        if named is not None:
            raise UsageError(f"--layer is for {', '.join(taking('layer'))}, not {method}")
        return None
    if named is not None:
        return context.layers([named])[named]
    if target.kind == "unit":
        raise UsageError(f"{method} of the unit {target} needs --layer, a layer before it")
    spatial = [layer for layer in context.layers().values() if layer.height * layer.width > 1]
    if not spatial:
        raise NotFound(f"model {context.model.spec}: no layer has more than one position; {method} can't be drawn")
    last = next((layer for layer in reversed(spatial) if has_gradient(context.model.module, x, score, layer)), None)
    if last is None:
        raise NotFound(f"model {context.model.spec}: no layer with positions moves {target}; {method} can't be drawn")
    return last


def _baseline(context: ModelContext, name: str) -> Tensor | None:
    """Return `1 c h w`: black as the model takes it, or None for the mean colour, which is zero."""
    if name == "mean":
        return None
    return context.model.preprocess.normalise(torch.from_numpy(context.model.preprocess.blank(1)))


def _completeness(
    context: ModelContext, x: Tensor, score: Score, attribution: Attribution, settings: Settings
) -> tuple[float, float]:
    """Return the sum of the shares, and its distance from the rise of the score over the baseline's."""
    missing = completeness_gap(context.model.module, x, score, attribution.raw, settings.baseline)[0]
    return float(attribution.raw.sum()), float(missing)


def _parameters(method: str, settings: Settings, baseline: str) -> dict[str, Any]:
    """Return the settings that the method takes, as plain values."""
    plain = {"baseline": baseline, "layer": settings.layer.name if settings.layer is not None else None}
    return {name: plain.get(name, getattr(settings, name)) for name in METHODS[method].settings}


def _describe_target(target: targets.Target) -> SaliencyTarget:
    described: SaliencyTarget = {"text": str(target), "kind": target.kind, "index": target.index}
    if target.kind != "unit":
        described["name"] = target.name
    else:
        described["layer"], described["position"] = target.layer, target.position
    return described


def _rgb(pixels: Byte) -> Byte:
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)
