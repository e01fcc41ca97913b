"""lucid's penalties and couplings, written out by hand in loops as lucid has them; finite differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from atlas.inversion import regularisers
from atlas.inversion.objectives import PICTURE, Activations, Objective, channel, of_layer
from atlas.inversion.regularisers import (
    alignment,
    blur,
    blurred,
    boundary_complexity,
    diverse,
    diversity,
    l1,
    l2,
    total_variation,
)

MAPS = np.random.default_rng(2).standard_normal((6, 3, 5, 7))


def value(objective: Objective, maps: np.ndarray = MAPS) -> np.ndarray:
    return objective.value({"a": torch.from_numpy(maps), PICTURE: torch.from_numpy(maps)}).numpy()


def lucid_diversity(maps: np.ndarray) -> float:
    grams = []
    for item in maps:
        flat = item.reshape(3, -1).T
        gram = flat.T @ flat
        grams.append(gram / np.sqrt(max((gram**2).sum(), 1e-10)))
    count = len(maps)
    return sum(sum((grams[i] * grams[j]).sum() for j in range(count) if j != i) for i in range(count)) / count


def lucid_alignment(maps: np.ndarray, decay_ratio: float = 2.0) -> float:
    total = 0.0
    for d in [1, 2, 3, 4]:
        for i in range(len(maps) - d):
            total += np.mean((maps[i] - maps[i + d]) ** 2) / decay_ratio ** float(d)
    return -total


def lucid_blur(item: np.ndarray, width: int = 3) -> np.ndarray:
    """Average over the window; weights 1 inside and 1/2 on its border, those outside the picture left out."""
    out, half = np.zeros_like(item), width // 2
    for y in range(item.shape[1]):
        for x in range(item.shape[2]):
            total, weights = np.zeros(len(item)), 0.0
            for dy in range(-half, half + 1):
                for dx in range(-half, half + 1):
                    if 0 <= y + dy < item.shape[1] and 0 <= x + dx < item.shape[2]:
                        weight = 0.5 if half in (abs(dy), abs(dx)) else 1.0
                        total, weights = total + weight * item[:, y + dy, x + dx], weights + weight
            out[:, y, x] = total / weights
    return out


def by_hand(name: str, item: np.ndarray) -> float:
    if name == "total variation":
        down, across = item[:, 1:] - item[:, :-1], item[:, :, 1:] - item[:, :, :-1]
        return float(np.abs(down).sum() + np.abs(across).sum())
    if name == "l1":
        return float(np.abs(item - 0.5).sum())
    if name == "l2":
        return float(np.sqrt(1e-6 + ((item - 0.5) ** 2).sum()))
    if name == "blur":
        return float(0.5 * ((item - lucid_blur(item)) ** 2).sum())
    rough = (lucid_blur(item, 5) - item) ** 2 + 0.8 * (item - 0.5) ** 2
    mask = np.ones_like(item)
    mask[:, 2:-2, 2:-2] = 0
    return float((rough * mask).sum())


PENALTIES: dict[str, Callable[[], Objective]] = {
    "total variation": total_variation,
    "l1": lambda: l1(constant=0.5),
    "l2": lambda: l2(constant=0.5),
    "blur": blur,
    "boundary": lambda: boundary_complexity(width=2),
}


def gap(name: str) -> float:
    return float(np.abs(value(PENALTIES[name]()) - [by_hand(name, item) for item in MAPS]).max())


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties_are_lucids(name: str) -> None:
    assert gap(name) < 1e-10


FAULTS: dict[str, Callable[[], Objective]] = {
    "total variation": lambda: of_layer(PICTURE, lambda maps: maps.diff(dim=2).abs().sum((1, 2, 3))),
    "l1": lambda: of_layer(PICTURE, lambda maps: (maps - 0.5).abs().mean((1, 2, 3))),
    "l2": lambda: of_layer(PICTURE, lambda maps: (maps - 0.5).square().sum((1, 2, 3))),
    "blur": lambda: 2.0 * blur(),
    "boundary": lambda: boundary_complexity(width=1),
}
"""One direction only; a mean for a sum; no root; no half; too thin a border."""


@pytest.mark.parametrize("name", FAULTS)
def test_mutant_penalties_are_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PENALTIES, name, FAULTS[name])
    assert gap(name) > 1e-3


def couplings_gap() -> float:
    couples = [
        (diversity("a"), lucid_diversity(MAPS)),
        (alignment("a"), lucid_alignment(MAPS)),
        (alignment("a", 3.0), lucid_alignment(MAPS, 3.0)),
    ]
    return max(abs(float(value(objective).mean()) - lucid) for objective, lucid in couples)


def test_couplings_are_lucids_on_the_mean_over_the_batch() -> None:
    assert couplings_gap() < 1e-10
    assert abs(float(value(alignment("a"), MAPS[:3]).mean()) - lucid_alignment(MAPS[:3])) < 1e-10
    assert value(alignment("a"), MAPS[:1]) == 0
    assert value(diversity("a"), MAPS[:1]) == 0


def test_a_picture_of_its_own_kind_is_told_from_copies() -> None:
    copies = np.concatenate([MAPS[:1]] * 3 + [MAPS[1:2]])
    alike = value(diversity("a"), copies)
    assert alike[3] < alike[0]
    np.testing.assert_allclose(alike[:3], 2 + alike[3] / 3)


def diverse_gap() -> float:
    """How far `diverse` is from reached · (1 − share · mean cosine of the Gram matrices), and its slope from that of
    reached − (share · reached, kept fixed) · mean cosine."""
    maps = MAPS + 0.3
    flat = maps.reshape(6, 3, -1)
    grams = (flat @ flat.transpose(0, 2, 1)).reshape(6, -1)
    grams /= np.linalg.norm(grams, axis=1, keepdims=True)
    alike = ((grams @ grams.T).sum(1) - 1) / 5
    reached = maps[:, 1].mean((1, 2))
    wanted = reached - 0.7 * np.maximum(reached, 0) * alike
    at = torch.from_numpy(maps).requires_grad_()
    found = diverse(channel("a", 1), "a", 0.7).value({"a": at})
    (slope,) = torch.autograd.grad(found.sum(), [at])
    fixed = torch.from_numpy(np.maximum(reached, 0)) * 0.7 / 5
    parts = channel("a", 1).value({"a": at}) - fixed * diversity("a").value({"a": at})
    (expected,) = torch.autograd.grad(parts.sum(), [at])
    return max(float(np.abs(found.detach().numpy() - wanted).max()), float((slope - expected).abs().max()))


def test_diverse_weighs_the_likeness_by_what_is_reached() -> None:
    assert diverse_gap() < 1e-10


def test_mutant_letting_the_weight_be_optimised_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def loose(objective: Objective, layer: str, share: float) -> Objective:
        def of(seen: Activations) -> torch.Tensor:
            reached = objective.value(seen)
            return reached - share / 5 * reached.clamp(min=0) * diversity(layer).value(seen)

        return Objective(objective.layers, of)

    monkeypatch.setitem(globals(), "diverse", loose)
    assert diverse_gap() > 1e-3


def test_mutant_a_wide_border_of_the_window_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regularisers, "_kernel", lambda width: torch.ones(1, 1, width, width))
    assert gap("blur") > 1e-3
    assert gap("boundary") > 1e-3


def test_mutant_fewer_neighbours_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regularisers, "NEIGHBOURS", 3)
    assert couplings_gap() > 1e-3


def test_mutant_grams_of_any_length_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regularisers.torch.Tensor, "rsqrt", lambda values: torch.ones_like(values))
    assert couplings_gap() > 1e-3


def test_descending_the_blur_penalty_is_blurring() -> None:
    """lucid: x − k ∂/∂x = (1 − k) x + k blurred(x)."""
    at = torch.from_numpy(MAPS).requires_grad_()
    (slope,) = torch.autograd.grad(blur("a").value({"a": at}).sum(), [at])
    np.testing.assert_allclose((at - 0.3 * slope).detach(), 0.7 * at.detach() + 0.3 * blurred(at.detach()), atol=1e-12)


@pytest.mark.parametrize(
    "objective",
    [
        diversity("a"),
        alignment("a"),
        channel("a", 1) - 100.0 * diversity("a"),
        total_variation("a"),
        l1("a", 0.5),
        l2("a", 0.5),
        boundary_complexity(2, layer="a"),
    ],
)
def test_gradients_are_finite_differences(objective: Objective) -> None:
    at = torch.from_numpy(MAPS).requires_grad_()
    (slope,) = torch.autograd.grad(objective.value({"a": at}).sum(), [at])
    for seed in range(4):
        way = np.random.default_rng(seed).standard_normal(MAPS.shape)
        ahead, behind = (value(objective, MAPS + step * way).sum() for step in (1e-6, -1e-6))
        np.testing.assert_allclose((slope.numpy() * way).sum(), (ahead - behind) / 2e-6, rtol=1e-5, atol=1e-6)
