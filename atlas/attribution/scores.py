"""Scores to explain: one number per picture, read from a model's output or from a layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.model.activations import run_to
from atlas.model.dispatch import slow_attention

Logits = Callable[[Any], Tensor]
"""Extracts the class scores `b k` from a model's output."""


def raw_scores(output: Any) -> Tensor:
    """Return a model's output as its class scores `b k`."""
    if not isinstance(output, Tensor) or output.ndim != 2:
        raise ValueError(f"the model gives no class scores `b k` but {type(output).__name__}; say `logits`")
    return output


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A function that reads the score from `logits(output)`, `b k`, or from the activation `b c h w` of `layer` if given."""

    read: Callable[[Tensor], Tensor]
    layer: Layer | None = None
    logits: Logits = raw_scores


def class_logit(index: int, logits: Logits = raw_scores) -> Score:
    """Score a class by its logit."""
    return Score(read=lambda scores: _class_scores(scores, index), logits=logits)


def class_probability(index: int, logits: Logits = raw_scores) -> Score:
    """Score a class by its probability, the softmax of the logits."""
    return Score(read=lambda scores: _class_scores(_shares(scores), index), logits=logits)


def unit(layer: Layer, channel: int, position: tuple[int, int] | None = None) -> Score:
    """Score a unit by its activation at a position (y, x), or else by its mean over all positions."""
    if not 0 <= channel < layer.units:
        raise ValueError(f"layer {layer.name} has no unit {channel}; its units are 0 to {layer.units - 1}")
    if position is None:
        return Score(read=lambda activation: activation[:, channel].mean((1, 2)), layer=layer)
    y, x = position
    if not (0 <= y < layer.height and 0 <= x < layer.width):
        raise ValueError(f"layer {layer.name} has no position {y},{x}; its grid is {layer.height} × {layer.width}")
    return Score(read=lambda activation: activation[:, channel, y, x], layer=layer)


def source(module: nn.Module, score: Score, x: Tensor) -> Tensor:
    """Return the tensor that the score is read from, `b k` or `b c h w`, for pictures `b c h w`.

    Raises ValueError in training mode, where pictures of a batch affect each other.
    """
    if module.training:
        raise ValueError("the module is in training mode, where outputs depend on the batch; call .eval() first")
    # A copy: a first layer that works in place can't change a leaf and must not change the caller's tensor.
    x = x.clone()
    if score.layer is None:
        with slow_attention():
            return score.logits(module(x))
    activations: dict[str, Tensor] = {}
    run_to(module, x, {score.layer.name: score.layer}, activations.__setitem__)
    return activations[score.layer.name]


def values(module: nn.Module, score: Score, x: Tensor) -> Tensor:
    """Return the score of each picture, `b`."""
    return score.read(source(module, score, x))


def _shares(scores: Tensor) -> Tensor:
    if scores.shape[1] == 1:
        raise ValueError("the model has one score per image, which has no probability among classes; explain class:0")
    return scores.softmax(1)


def _class_scores(scores: Tensor, index: int) -> Tensor:
    if not 0 <= index < scores.shape[1]:
        raise ValueError(f"the model has no class {index}; its classes are 0 to {scores.shape[1] - 1}")
    return scores[:, index]
