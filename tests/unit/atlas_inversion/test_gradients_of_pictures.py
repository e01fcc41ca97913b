"""What the climb follows: slopes through every parameterisation, move and objective against finite differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from atlas.inversion import maco, parameterisations, transforms
from atlas.inversion.draws import start_draws
from atlas.inversion.objectives import (
    LOGITS,
    Objective,
    channel,
    class_logit,
    class_probability,
    neuron,
    peak,
    per_picture,
)
from atlas.inversion.parameterisations import Parameterisation, coloured, fourier, lucid_gain, pixels
from atlas.inversion.recipes import SIMONYAN, TRANSFORMS
from atlas.inversion.transforms import Jitter, Pad, Rotate, Scale, Step, Transform, resize, warp

RNG = np.random.default_rng(8)
TINT = torch.tensor([[0.5, -1.0, 0.2], [0.0, 0.3, 1.0]])
MAGNITUDE = RNG.random((3, 6, 5)).astype(np.float32) + 0.2

CANVASES: dict[str, Callable[[], Parameterisation]] = {
    "pixels": lambda: pixels(5, 7),
    "fourier": lambda: fourier(lucid_gain(6, 8), 6, 8),
    "fourier, odd": lambda: fourier(lucid_gain(7, 5), 7, 5),
    "free contrast": lambda: coloured(6, 9, decay=1.0),
    "fixed contrast": lambda: coloured(6, 9, decay=1.75, contrast=0.8),
    "tinted": lambda: coloured(6, 9, decay=1.5, contrast=torch.tensor([0.2, 1.0]), tint=TINT),
    "phase": lambda: maco.phase(MAGNITUDE, 6, 8),
    "zero": lambda: SIMONYAN.parameterisation(5, 7, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)),
}

STEPS: dict[str, Step] = {"pad": Pad(3), "jitter": Jitter(4), "scale": Scale((1.3, 0.8)), "rotate": Rotate((30, -7))}

MOVES: dict[str, Callable[[], Transform]] = {
    **{name: lambda step=step: warp([step], 0.5) for name, step in STEPS.items()},
    **{name: lambda move=move: move for name, move in TRANSFORMS.items()},
    "boxes": lambda: maco.random_boxes(3),
    "resize": lambda: resize(30, 50),
}

SCORES = {
    "peak": peak("a", [0, 2]),
    "class": class_logit([3, 1]),
    "probability": class_probability([3, 1]),
    "a class against another": class_logit([3, 1]) - 0.5 * class_logit(0),
    "each its own": per_picture([2.0 * neuron("a", 2), channel("a", 1) + class_probability(4)]),
}


def gap(value: Callable[[Tensor], Tensor], at: Tensor, step: float = 1e-6) -> float:
    """How far, relative to the slope itself, the slope along a few ways is from the finite difference."""
    at = at.double().requires_grad_()
    (slope,) = torch.autograd.grad(value(at).sum(), [at])
    worst = 0.0
    for seed in range(4):
        way = torch.from_numpy(np.random.default_rng(seed).standard_normal(at.shape))
        with torch.no_grad():
            found = (value(at + step * way).sum() - value(at - step * way).sum()) / (2 * step)
        worst = max(worst, float((found - (slope * way).sum()).abs() / slope.norm()))
    return worst


def weighed(pictures: Tensor) -> Tensor:
    """Sum pixels with fixed weights of both signs."""
    return (
        pictures * torch.linspace(0, 40, pictures[0].numel(), dtype=pictures.dtype).sin().view(pictures[0].shape)
    ).sum((1, 2, 3))


def canvas_gap(name: str) -> float:
    made = CANVASES[name]()
    first = made.initial(start_draws([1, 2]))
    return gap(lambda numbers: weighed(made.picture(numbers)), first + 0.01)


def move_gap(name: str) -> float:
    pictures = torch.rand(2, 3, 40, 36, generator=torch.Generator().manual_seed(3))
    return gap(lambda shown: weighed(MOVES[name]()(shown, start_draws([5, 6]))), pictures)


def score_gap(objective: Objective) -> float:
    maps, scores = (
        torch.from_numpy(RNG.standard_normal((2, 3, 4, 5))),
        torch.from_numpy(RNG.standard_normal((2, 6, 1, 1))),
    )
    flat = torch.cat([maps.flatten(1), scores.flatten(1)], 1)

    def value(at: Tensor) -> Tensor:
        return objective.value({"a": at[:, :60].view(2, 3, 4, 5), LOGITS: at[:, 60:, None, None]})

    return gap(value, flat)


@pytest.mark.parametrize("name", CANVASES)
def test_through_every_parameterisation(name: str) -> None:
    assert canvas_gap(name) < 1e-6


@pytest.mark.parametrize("name", MOVES)
def test_through_every_move(name: str) -> None:
    assert move_gap(name) < 1e-6


@pytest.mark.parametrize("objective", SCORES.values(), ids=SCORES)
def test_of_scores(objective: Objective) -> None:
    assert score_gap(objective) < 1e-6


@pytest.mark.parametrize("name", ["fixed contrast", "tinted"])
def test_mutant_a_spread_that_is_kept_fixed_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Tensor.square
    monkeypatch.setattr(parameterisations.torch.Tensor, "square", lambda values: real(values.detach()))
    assert canvas_gap(name) > 1e-3


def test_mutant_a_phase_standardised_by_what_is_kept_fixed_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = maco._standardise
    monkeypatch.setattr(
        maco, "_standardise", lambda values: values * (real(values) / values).detach()
    )  # the same value, another slope
    assert canvas_gap("phase") > 1e-3


@pytest.mark.parametrize("name", ["scale", "affine", "lucid", "atlas", "cropped", "boxes"])
def test_mutant_a_move_that_half_forgets_where_pixels_come_from_is_seen(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = transforms.F.grid_sample

    def half(pictures: Tensor, *rest: object, **more: object) -> Tensor:
        return real(0.5 * pictures + 0.5 * pictures.detach(), *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(transforms.F, "grid_sample", half)
    assert move_gap(name) > 1e-3


def test_mutant_a_probability_that_leaves_the_others_alone_is_seen() -> None:
    def loose(seen: dict[str, Tensor]) -> Tensor:
        scores = seen[LOGITS][:, :, 0, 0]
        others = scores.detach().exp().sum(1) - scores[:, 3].detach().exp()
        return scores[:, 3].exp() / (others + scores[:, 3].exp())

    assert score_gap(Objective(frozenset({LOGITS}), loose)) > 1e-3  # type: ignore[arg-type]
