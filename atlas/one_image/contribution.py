"""What each neuron of a layer adds to a score: its value times how the score moves with it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.attribution.scores import Score, values
from atlas.model.activations import view
from atlas.model.forward_mode import replacing


def sensitivity(module: nn.Module, image: Tensor, layer: Layer, score: Score) -> tuple[Tensor, Tensor, float]:
    """Return the layer's activation h and ∂score/∂h, both `b c h w`, and the score, by one backward pass.

    h·∂score/∂h, added up over units or positions, is the spatial or channel attribution of Olah et al. 2018. At the
    input of the last linear layer all of it adds up to logit − bias.

    Raises ValueError where the score does not depend on the layer by any gradient.
    """
    caught: list[Tensor] = []

    def cut(raw: Tensor) -> Tensor:
        # A leaf: nothing before it is differentiated. The copy lets what follows work in place.
        caught.append(raw.detach().clone().requires_grad_())
        return caught[-1].clone()

    with torch.enable_grad(), replacing(module, layer, cut):
        found = values(module, score, image.detach())
        moved = found.requires_grad and caught
        by_raw = torch.autograd.grad(found.sum(), caught[-1], allow_unused=True)[0] if moved else None
    if by_raw is None:
        raise ValueError(f"the score does not depend on layer {layer.name} by any gradient; choose one before it")
    return view(caught[-1].detach(), layer), view(by_raw, layer), float(found.detach().sum())


def difference(first: Score, second: Score) -> Score:
    """Score one class against another: first − second, read from the same output."""
    return Score(read=lambda scores: first.read(scores) - second.read(scores), logits=first.logits)
