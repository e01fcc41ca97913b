"""MACO against the published code's formulas in numpy; the spectrum against numpy's transform."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from atlas.inversion import maco
from atlas.inversion.draws import start_draws
from atlas.inversion.maco import decorrelate, natural_spectrum, phase, random_boxes
from atlas.inversion.parameterisations import colour

RNG = np.random.default_rng(1)
SIZES = [(8, 10), (9, 7), (6, 5)]
MATRIX = np.array(
    [[0.56282854, 0.58447580, 0.58447580], [0.19482528, 0.0, -0.19482528], [0.04329450, -0.10823626, 0.06494176]]
)
"""Xplique, `preconditioning.py`, recorrelate_colors."""


def xplique_picture(magnitude: np.ndarray, phases: np.ndarray, height: int, width: int) -> np.ndarray:
    """maco_image_parametrization, values_range (0, 1), for one picture."""
    phases = phases - phases.mean()
    phases = phases / (phases.std() + 1e-5)
    flat = np.fft.irfft2(np.cos(phases) * magnitude + 1j * np.sin(phases) * magnitude, s=(height, width))
    flat = flat - flat.mean()
    flat = flat / (flat.std() + 1e-5)
    rgb = flat.transpose(1, 2, 0).reshape(-1, 3) @ MATRIX
    return 1 / (1 + np.exp(-rgb.reshape(height, width, 3).transpose(2, 0, 1)))


def phase_gap(height: int, width: int) -> float:
    shape = (3, height, width // 2 + 1)
    magnitude = RNG.random(shape).astype(np.float32) * 5
    numbers = RNG.standard_normal((4, *shape)) * np.array([1.0, 3.0, 0.1, 1.0])[:, None, None, None] + 0.5
    ours = phase(magnitude, height, width).picture(torch.from_numpy(numbers)).numpy()
    theirs = [xplique_picture(magnitude, one, height, width) for one in numbers]
    return float(np.abs(ours - np.array(theirs)).max())


@pytest.mark.parametrize("size", SIZES)
def test_phase_is_the_published_formula(size: tuple[int, int]) -> None:
    assert phase_gap(*size) < 1e-6


def test_mutant_standardising_over_the_batch_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maco, "_standardise", lambda values: (values - values.mean()) / (values.std() + 1e-5))
    assert phase_gap(8, 10) > 1e-2


def test_the_spectrum_stays_what_it_is_given() -> None:
    """Before sigmoid and colour, the magnitudes of a picture are those given, up to one factor."""
    magnitude = RNG.random((3, 8, 5)).astype(np.float32) + 0.5
    numbers = phase(magnitude, 8, 8).initial(start_draws([3, 4]))
    shown = phase(magnitude, 8, 8).picture(numbers).double()
    flat = decorrelate(torch.log(shown / (1 - shown)))
    # Of the first and the last column the transform keeps the even part only, and the standardised mean is zero.
    found = torch.fft.rfft2(flat).abs()[..., 1:4] / torch.from_numpy(magnitude).double()[..., 1:4]
    np.testing.assert_allclose(found / found.mean((1, 2, 3), keepdim=True), torch.ones_like(found), rtol=1e-3)
    assert numbers.shape == (2, 3, 8, 5)


def spectrum_gap() -> float:
    pictures = RNG.random((7, 3, 6, 9))
    found = natural_spectrum(torch.from_numpy(part) for part in (pictures[:2], pictures[2:]))
    flat = np.einsum("bchw,cd->bdhw", pictures, np.linalg.inv(MATRIX))
    wanted = np.abs(np.fft.rfft2(flat)).mean(0)
    return float(np.abs(found - wanted).max() / wanted.max())


def test_the_spectrum_is_the_mean_magnitude_of_uncorrelated_colours() -> None:
    assert spectrum_gap() < 1e-6


def test_mutant_correlated_colours_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maco, "decorrelate", lambda pictures: pictures)
    assert spectrum_gap() > 1e-2


def test_uncorrelating_undoes_colour() -> None:
    pictures = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    np.testing.assert_allclose(decorrelate(colour(pictures)), pictures, atol=1e-12)
    grey = torch.rand(2, 1, 4, 4)
    assert torch.equal(decorrelate(grey), grey)


def test_boxes_shrink_as_published() -> None:
    """A ramp tells where each pixel came from, and so the box's side and centre."""
    ramp = torch.stack(torch.meshgrid(torch.arange(101.0), torch.arange(101.0), indexing="ij")) - 50
    steps, draws = 20, start_draws(range(64))
    move, sides, centres = random_boxes(steps), [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maco, "NOISE", 0.0)
        patch.setattr(maco, "GREY", 0.0)
        for _ in range(steps):
            seen = move(ramp.expand(64, -1, -1, -1), draws)
            assert seen.shape == (64, 2, 51, 51)
            middle = seen[:, :, 25, 25]
            inside = (middle.abs() < 40).all(1) & (middle != 0).all(1)
            sides.append((seen[:, 1, 25, 26] - seen[:, 1, 25, 24])[inside] / 2 * 51 / 101)
            centres.append(middle[inside])
    means = np.array([float(side.mean()) for side in sides])
    np.testing.assert_allclose(means[:-3], np.linspace(0.5, 0.05, steps)[:-3], atol=0.03)
    assert abs(float(sides[0].std()) - 0.05) < 0.02
    assert min(float(side.min()) for side in sides) > 0.0499  # the smallest there is
    assert abs(float(torch.cat(centres).std()) / 101 - 0.15) < 0.01


def test_boxes_add_the_published_noise() -> None:
    noise = random_boxes(1)(torch.full((32, 3, 64, 64), 0.5), start_draws(range(32))) - 0.5
    assert abs(float(noise.std()) - (0.04**2 + 0.04**2 / 12) ** 0.5) < 5e-4


def test_errors_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="no pictures to measure a spectrum of"):
        natural_spectrum([])
    with pytest.raises(ValueError, match=r"of 8 × 8 pixels is \(8, 5\), not \(8, 4\)"):
        phase(np.ones((3, 8, 4), np.float32), 8, 8)
