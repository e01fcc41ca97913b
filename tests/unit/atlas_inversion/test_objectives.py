"""Objectives against hand calculations in float64 and finite differences; whitening against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from atlas.inversion import objectives, whitening
from atlas.inversion.objectives import (
    PICTURE,
    Objective,
    channel,
    deepdream,
    direction,
    gaussian_window,
    neuron,
    of_layer,
    peak,
    published_direction,
)
from atlas.inversion.whitening import empty_moment, inverse, second_moment, whitener

RNG = np.random.default_rng(4)
MAPS = RNG.standard_normal((3, 5, 4, 6))
TARGETS = RNG.standard_normal((3, 5))
MOMENT = (lambda rows: rows.T @ rows / len(rows))(RNG.standard_normal((50, 5)) * [1, 2, 3, 0.1, 1])


def value(objective: Objective, maps: np.ndarray = MAPS) -> np.ndarray:
    return objective.value({"a": torch.from_numpy(maps)}).numpy()


def direction_by_hand(maps: np.ndarray, epsilon: float, power: int, window: float) -> list[float]:
    level = np.trace(MOMENT) / 5
    values, vectors = np.linalg.eigh(MOMENT + epsilon * level * np.eye(5))
    W = vectors @ np.diag(1 / np.sqrt(values)) @ vectors.T
    found = []
    for item, target in zip(maps, TARGETS, strict=True):
        h, weight = np.zeros(5), 0.0
        for y in range(4):
            for x in range(6):
                w = math.exp(-((y - 1.5) ** 2) / (2 * (window * 4) ** 2) - (x - 2.5) ** 2 / (2 * (window * 6) ** 2))
                h, weight = h + w * item[:, y, x], weight + w
        h, v = W @ (h / weight), W @ target
        dot = h @ v / np.linalg.norm(v)
        found.append(dot * max(0.1, dot / np.linalg.norm(h)) ** power)
    return found


def direction_gap(power: int = 4) -> float:
    ours = direction("a", torch.from_numpy(TARGETS).float(), whitener(MOMENT, 1e-2), power=power)
    toward = MAPS + 0.5 * TARGETS[:, :, None, None]
    return float(
        max(np.abs(value(ours, maps) - direction_by_hand(maps, 1e-2, power, 0.3)).max() for maps in (MAPS, toward))
    )


@pytest.mark.parametrize("power", [1, 4])
def test_direction_by_hand(power: int) -> None:
    assert direction_gap(power) < 1e-5


@pytest.mark.parametrize("fault", ["window", "norm of the target", "floor"])
def test_mutant_direction_is_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault == "window":
        monkeypatch.setattr(objectives, "windowed", lambda maps, share: maps.mean((2, 3)))
    elif fault == "norm of the target":
        monkeypatch.setattr(torch.nn.functional, "normalize", lambda rows, dim: rows)
    else:
        real = objectives._dot_cosine
        monkeypatch.setattr(objectives, "_dot_cosine", lambda found, aim, power, floor: real(found, aim, power, 0.5))
    assert direction_gap() > 1e-3


def published_gap(metric: torch.Tensor) -> float:
    """How far, as a share, the published objective is from its formula by hand."""
    S = np.linalg.inv(MOMENT)
    ours = published_direction("a", torch.from_numpy(TARGETS).float(), metric)
    maps, wanted = 0.02 * MAPS + TARGETS[:, :, None, None], []
    for item, target in zip(maps, TARGETS, strict=True):
        h = item[:, 2, 3]
        dot = np.mean(h * (target @ S))
        wanted.append(dot * max(0.1, dot / (1e-4 + np.linalg.norm(h))) ** 4)
    return float(np.abs(value(ours, maps) / wanted - 1).max())


def test_the_published_objective_by_hand() -> None:
    assert published_gap(inverse(MOMENT)) < 1e-4


def test_mutant_the_root_of_the_inverse_in_the_published_objective_is_seen() -> None:
    assert published_gap(whitener(MOMENT, 1e-9)) > 1e-2


def test_only_ours_does_not_depend_on_the_scale_of_the_layer() -> None:
    """In larger units the published angle term falls on its floor, 0.1^4, and stays there whatever the angle."""
    targets, near = torch.from_numpy(TARGETS), 0.1 * MAPS + TARGETS[:, :, None, None]

    def both(scale: float) -> tuple[np.ndarray, np.ndarray]:
        moment = MOMENT * scale**2
        ours = direction("a", targets * scale, whitener(moment, 1e-2).double())
        theirs = published_direction("a", targets * scale, inverse(moment).double())
        return value(ours, near * scale), value(theirs, near * scale)

    (ours, theirs), (ours_large, theirs_large) = both(1.0), both(1000.0)
    np.testing.assert_allclose(ours, ours_large, rtol=1e-5)
    at_centre = np.mean(near[:, :, 2, 3] * (TARGETS @ np.linalg.inv(MOMENT)), axis=1)
    np.testing.assert_allclose(theirs_large, at_centre * 1e-4, rtol=1e-4)
    assert (theirs > 2 * theirs_large).any()


@pytest.mark.parametrize(
    "objective",
    [
        direction("a", torch.from_numpy(TARGETS), whitener(MOMENT, 1e-2).double()),
        published_direction("a", torch.from_numpy(TARGETS), inverse(MOMENT).double()),
        neuron("a", [0, 1, 4]),
        neuron("a", 2, y=0, x=5),
        peak("a", [0, 1, 4]),
        channel("a", torch.tensor([3, 3, 0])),
        deepdream("a"),
        channel("a", 1) - 2.0 * deepdream("a"),
    ],
)
def test_gradients_are_finite_differences(objective: Objective) -> None:
    at = torch.from_numpy(MAPS + TARGETS[:, :, None, None]).requires_grad_()
    (slope,) = torch.autograd.grad(objective.value({"a": at}).sum(), [at])
    for seed in range(8):
        way = np.random.default_rng(seed).standard_normal(MAPS.shape)
        ahead, behind = (value(objective, at.detach().numpy() + step * way) for step in (1e-5, -1e-5))
        np.testing.assert_allclose((slope.numpy() * way).sum((1, 2, 3)), (ahead - behind) / 2e-5, rtol=1e-6, atol=1e-8)


PLAIN = {
    "neuron": (lambda: neuron("a", [0, 1, 4]), MAPS[[0, 1, 2], [0, 1, 4], 2, 3]),
    "neuron at a place": (lambda: neuron("a", 2, y=0, x=5), MAPS[:, 2, 0, 5]),
    "channel": (lambda: channel("a", [0, 1, 4]), MAPS[[0, 1, 2], [0, 1, 4]].sum((1, 2)) / 24),
    "peak": (lambda: peak("a", [0, 1, 4]), [max(MAPS[i, unit].flat) for i, unit in enumerate([0, 1, 4])]),
    "layer": (lambda: deepdream("a"), [sum(v * v for v in item.flat) / item.size for item in MAPS]),
}


def plain_gap(name: str) -> float:
    objective, wanted = PLAIN[name]
    return float(np.abs(value(objective()) - wanted).max())


@pytest.mark.parametrize("name", PLAIN)
def test_units_and_places_by_hand(name: str) -> None:
    assert plain_gap(name) < 1e-12


MUTANTS = {
    "neuron": neuron("a", [0, 1, 4], y=1, x=2),
    "neuron at a place": neuron("a", 2, y=3, x=0),
    "channel": 24 * channel("a", [0, 1, 4]),
    "peak": channel("a", [0, 1, 4]),
    "layer": of_layer("a", lambda maps: maps.abs().mean((1, 2, 3))),
}


@pytest.mark.parametrize("name", PLAIN)
def test_mutant_units_and_places_are_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLAIN, name, (lambda: MUTANTS[name], PLAIN[name][1]))
    assert plain_gap(name) > 1e-3


def test_mutant_one_unit_for_all_pictures_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objectives, "_of_units", lambda maps, units: maps[:, units[0]])
    assert min(plain_gap(name) for name in ("neuron", "channel", "peak")) > 1e-3


def test_objectives_add_over_layers_and_over_the_picture() -> None:
    both = 2.0 * neuron("a", 0) - of_layer(PICTURE, lambda picture: picture.mean((1, 2, 3)))
    assert both.layers == {"a", PICTURE}
    seen = {"a": torch.from_numpy(MAPS), PICTURE: torch.ones(3, 3, 2, 2)}
    np.testing.assert_allclose(both.value(seen).numpy(), 2 * MAPS[:, 0, 2, 3] - 1)


def test_the_window_is_centred_and_sums_to_one() -> None:
    window = gaussian_window(4, 7, 0.3)
    assert abs(float(window.sum()) - 1) < 1e-6
    np.testing.assert_allclose(window, window.flip(0, 1))
    assert int(window.argmax()) % 7 == 3
    assert torch.equal(gaussian_window(1, 1, 0.3), torch.ones(1, 1))


def whitening_gap(chunks: list[np.ndarray], epsilon: float) -> float:
    """How far W (M + εI) W is from the identity, M summed by hand."""
    rows = np.concatenate(chunks).astype(np.float64)
    moment = sum(np.outer(row, row) for row in rows) / len(rows)
    W = whitener(second_moment(chunks, 5), epsilon).double().numpy()
    level = epsilon * np.linalg.eigvalsh(moment).mean()
    return float(np.abs(W @ (moment + level * np.eye(5)) @ W - np.eye(5)).max())


CHUNKS = [(RNG.standard_normal((n, 5)) + 1).astype(np.float32) for n in (7, 30, 1)]


@pytest.mark.parametrize("epsilon", [1e-2, 0.1])
def test_whitening_undoes_the_moment(epsilon: float) -> None:
    assert whitening_gap(CHUNKS, epsilon) < 1e-5


def test_mutant_a_centred_moment_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = whitening.Moment.add
    monkeypatch.setattr(whitening.Moment, "add", lambda self, rows: real(self, rows - rows.mean(0)))
    assert whitening_gap(CHUNKS, 1e-2) > 1e-2


def test_a_unit_that_never_fires_does_not_count() -> None:
    rows = np.concatenate(CHUNKS)
    rows[:, 2] = 0
    W = whitener(second_moment([rows], 5), 1e-2)
    assert torch.isfinite(W).all()
    assert torch.isfinite(inverse(second_moment([rows], 5))).all()
    assert inverse(second_moment([rows], 5))[2].abs().max() < 1e-6


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: empty_moment(3).add(np.array([[0, np.nan, 1], [1, 1, 1]])),
            "1 of 2 activation vectors are not finite",
        ),
        (lambda: empty_moment(3).mean(), "no activation vectors"),
        (lambda: whitener(np.zeros((3, 3)), 0.1), "did the layer ever fire"),
    ],
)
def test_errors_say_what_is_wrong(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
