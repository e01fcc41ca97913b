"""The parameter randomisation test of Adebayo et al. (2018), as a standing test on the default model.

A map that tells what the model has learned changes when the top layers are filled with noise. The gradient's does;
guided backpropagation's hardly does, since it mostly redraws the picture's edges: so it is not to be trusted as an
explanation, and the docs say so.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr
from skimage import data
from torch import Tensor, nn

from atlas.attribution.methods import attribute
from atlas.attribution.scores import Score, class_logit
from storage.models import load

MODEL = load("efficientnet-lite0", input_size=96)
X = torch.stack([MODEL.preprocess(Image.fromarray(image)) for image in (data.chelsea(), data.astronaut())])
SCORE = class_logit(285)
TOP_HALF = ("_fc", "_conv_head", *(f"_blocks.{i}" for i in range(15, 9, -1)))
PASSES_BELOW = 0.5
"""Mean rank correlation of a method's absolute maps before and after; 1 is a map that ignores what was destroyed."""

Fill = Callable[[Tensor, torch.Generator], Tensor]


def noise(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Normal numbers as large as the trained ones."""
    return torch.randn(weight.shape, generator=generator) * weight.std()


def randomised(layers: Sequence[str], fill: Fill = noise) -> nn.Module:
    """Return the model with the weights of these layers' convolutions and linear layers filled anew, top first."""
    net, generator = copy.deepcopy(MODEL.module), torch.Generator().manual_seed(0)
    for layer in layers:
        for part in net.get_submodule(layer).modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                part.weight.data = fill(part.weight, generator)
    return net


def similarity(method: str, net: nn.Module, score: Score = SCORE) -> float:
    """Return the mean Spearman correlation of the maps of the trained and of another model."""
    trained, other = (attribute(one, X, score, method).map.flatten(1).numpy() for one in (MODEL.module, net))
    return float(np.mean([spearmanr(a, b).statistic for a, b in zip(trained, other, strict=True)]))


@pytest.fixture(scope="module")
def half() -> nn.Module:
    return randomised(TOP_HALF)


def test_gradient_passes_the_randomisation_test(half: nn.Module) -> None:
    assert similarity("gradient", half) < PASSES_BELOW


def test_guided_backpropagation_fails_it(half: nn.Module) -> None:
    assert similarity("guided-backprop", half) > 0.75


def test_mutant_nothing_passes_where_nothing_is_randomised() -> None:
    untouched = randomised(TOP_HALF, fill=lambda weight, generator: weight.clone())
    assert similarity("gradient", untouched) > 0.999
