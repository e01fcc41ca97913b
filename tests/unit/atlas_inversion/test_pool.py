"""Icons drawn side by side: those that are done make place, each takes the steps it needs, starts are like their pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

from atlas.arrays import Icons, Layer
from atlas.inversion import parameterisations
from atlas.inversion.icons import icons
from atlas.inversion.optimisers import AdamInPlaces, adam
from atlas.inversion.pool import ROUND, Attempt, Starts
from atlas.inversion.recipes import DISTILL, FAST, IconRecipe

FLAT = {"mean": (0.5,) * 3, "std": (0.25,) * 3}
LONG = dataclasses.replace(FAST, steps=3 * ROUND)


def net() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 12, 5, 2, 2), nn.ReLU(), nn.Conv2d(12, 20, 3, 2, 1), nn.ReLU()).eval()


NET = net()
LAYER = Layer(name="3", units=20, height=8, width=8)
SAMPLES = NET(torch.rand(30, 3, 32, 32)).detach().permute(0, 2, 3, 1).reshape(-1, 20).numpy()
MOMENT = SAMPLES.T.astype(np.float64) @ SAMPLES / len(SAMPLES)
TARGETS = SAMPLES[np.random.default_rng(0).choice(len(SAMPLES), 7, replace=False)]
PICTURES = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
STARTS = Starts(PICTURES, np.array([0, -1, 1, 1, -1, 0, 0]))


def draw(rows: Sequence[int] | None = None, recipe: IconRecipe = LONG, starts: Starts | None = STARTS) -> Icons:
    asked = {"seeds": range(7), "size": 32, "batch": 3, "tries": 2, "only": rows, "starts": starts}
    return icons(NET, LAYER, TARGETS, MOMENT, recipe=recipe, **asked, **FLAT)  # type: ignore[arg-type]


def test_an_icon_is_the_same_in_any_company() -> None:
    """Fewer places than icons, with repeats: each comes into another place, beside others, at another time."""
    together, turned = draw(), draw([6, 2, 0, 4, 1, 5, 3])
    order = np.argsort([6, 2, 0, 4, 1, 5, 3])
    assert together.steps == turned.steps < 7 * LONG.steps * 2
    for name in ("pictures", "cosine", "rank", "tries"):
        np.testing.assert_array_equal(getattr(together, name), getattr(turned, name)[order])
    np.testing.assert_array_equal(draw([3]).pictures[0], together.pictures[3])


def test_mutant_a_place_that_keeps_its_steps_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AdamInPlaces, "restart", lambda self, place: None)
    with pytest.raises(AssertionError):
        test_an_icon_is_the_same_in_any_company()


def test_only_cells_with_a_start_differ_from_those_from_noise() -> None:
    with_starts, from_noise = draw().pictures, draw(starts=None).pictures
    differs = (with_starts != from_noise).any((1, 2, 3))
    assert differs.tolist() == (STARTS.of >= 0).tolist()


def test_an_icon_is_done_when_a_round_raises_it_too_little() -> None:
    """The first round raises from nothing, the second ends it; from noise, and at a repeat, all steps are taken."""
    eager, patient = (dataclasses.replace(LONG, rise=rise) for rise in (9.0, None))
    drawn = {rows: draw([rows], recipe=eager) for rows in (0, 1)}
    repeats = {row: (int(icon.tries[0]) - 1) * LONG.steps for row, icon in drawn.items()}
    assert drawn[0].steps == 2 * ROUND + repeats[0]
    assert drawn[1].steps == LONG.steps + repeats[1]
    assert draw([0], recipe=patient).steps >= LONG.steps


def test_the_best_picture_is_kept() -> None:
    attempt, picture = Attempt(0), np.zeros((1, 1, 3), np.uint8)
    raised = [attempt.see(picture + k, *seen) for k, seen in enumerate([(0.5, 2), (0.4, 1), (0.6, 3), (0.45, 1)])]
    np.testing.assert_allclose(raised[1:], [-0.1, 0.1, -0.15])
    assert (attempt.cosine, attempt.rank, attempt.picture is not None and attempt.picture[0, 0, 0]) == (0.45, 1, 3)


def likeness(recipe: IconRecipe, pictures: torch.Tensor) -> float:
    """Return the least correlation of pictures before the sigmoid with those that they start, over the pixels."""
    height, width = pictures.shape[2:]
    shown = recipe.parameterisation(height, width, pictures.shape[1]).picture(recipe.numbers_of(pictures))
    pairs = zip(torch.logit(shown), torch.logit(pictures), strict=True)
    centred = [[(side - side.mean((1, 2), keepdim=True)).flatten() for side in pair] for pair in pairs]
    return min(float(torch.nn.functional.cosine_similarity(a, b, 0)) for a, b in centred)


@pytest.mark.parametrize("recipe", [FAST, DISTILL], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("shape", [(3, 24, 24), (3, 16, 20), (1, 12, 12), (3, 24, 17)], ids=str)
def test_a_start_is_like_its_picture(recipe: IconRecipe, shape: tuple[int, int, int]) -> None:
    pictures = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    assert likeness(recipe, pictures) > 0.9999


def test_mutant_a_start_in_other_colours_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameterisations, "_uncoloured", lambda picture: picture)
    with pytest.raises(AssertionError):
        test_a_start_is_like_its_picture(FAST, (3, 24, 24))


def test_black_and_white_start_finite() -> None:
    flat = torch.cat([torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)])
    assert torch.isfinite(FAST.numbers_of(flat)).all()


def steps_gap() -> float:
    """How far steps in places lead from those of one Adam for each picture, the second of which starts later."""
    gradients = torch.randn(6, 2, 5, generator=torch.Generator().manual_seed(0))
    places, first, second = AdamInPlaces(torch.zeros(2, 5), 0.1), adam(0.1), adam(0.1)
    gap = 0.0
    for number, gradient in enumerate(gradients):
        if number == 3:
            places.restart(1)
            second = adam(0.1)
        expected = torch.stack([first(gradient[0]), second(gradient[1])])
        gap = max(gap, float((places.step(gradient) - expected).abs().max()))
    return gap


def test_adam_in_places_is_adam() -> None:
    assert steps_gap() < 1e-6


def test_mutant_steps_counted_together_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AdamInPlaces, "restart", lambda self, place: None)
    assert steps_gap() > 1e-3
