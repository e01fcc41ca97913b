"""Compute the contribution of each neuron of a layer to a score: its value times the score's gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.attribution.scores import Score, values
from atlas.model.activations import view
from atlas.model.forward_mode import replacing


def sensitivity(module: nn.Module, image: Tensor, layer: Layer, score: Score) -> tuple[Tensor, Tensor, float]:
    """Return the layer's activation h and ∂score/∂h, both `b c h w`, and the score, by one backward pass.

    h·∂score/∂h, summed over units or positions, is the spatial or channel attribution of Olah et al. 2018. At the input
    of the last linear layer its total is logit − bias.

    Raises ValueError if the score has no gradient with respect to the layer.
    """
    captured: list[Tensor] = []

    def replace_by_leaf(raw: Tensor) -> Tensor:
        # A leaf: nothing before it is differentiated. The copy allows later operators to work in place.
        captured.append(raw.detach().clone().requires_grad_())
        return captured[-1].clone()

    with torch.enable_grad(), replacing(module, layer, replace_by_leaf):
        scores = values(module, score, image.detach())
        depends = scores.requires_grad and captured
        by_raw = torch.autograd.grad(scores.sum(), captured[-1], allow_unused=True)[0] if depends else None
    if by_raw is None:
        raise ValueError(f"the score does not depend on layer {layer.name} by any gradient; choose one before it")
    return view(captured[-1].detach(), layer), view(by_raw, layer), float(scores.detach().sum())


def difference(first: Score, second: Score) -> Score:
    """Score the difference of two classes: first − second, read from the same output."""
    return Score(read=lambda scores: first.read(scores) - second.read(scores), logits=first.logits)
