"""The Fourier parameterisation against lucid's formula written out in numpy; colour and contrast by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from atlas.inversion import parameterisations
from atlas.inversion.draws import start_draws
from atlas.inversion.parameterisations import (
    Map,
    colour,
    coloured,
    fixed_contrast,
    fourier,
    frequencies,
    level_gain,
    lucid_gain,
    pixels,
    tinted,
)

SIZES = [(8, 8), (6, 10), (9, 12), (12, 9), (7, 5), (128, 128), (96, 161)]


def lucid_picture(numbers: np.ndarray, height: int, width: int, decay: float) -> np.ndarray:
    """lucid, param/spatial.py fft_image and param/color.py, by hand in float64."""
    fy = np.fft.fftfreq(height)[:, None]
    fx = np.fft.fftfreq(width)[: width // 2 + (2 if width % 2 == 1 else 1)]
    freqs = np.sqrt(fx * fx + fy * fy)
    scale = 1.0 / np.maximum(freqs, 1.0 / max(width, height)) ** decay
    scale *= np.sqrt(width * height)
    flat = np.fft.irfft2(scale * (numbers[..., 0] + 1j * numbers[..., 1]))[..., :height, :width] / 4.0
    matrix = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
    matrix = matrix / np.max(np.linalg.norm(matrix, axis=0))
    rows = flat.transpose(0, 2, 3, 1).reshape(-1, 3) @ matrix.T
    return rows.reshape(len(numbers), height, width, 3).transpose(0, 3, 1, 2)


def largest_difference(height: int, width: int, decay: float) -> float:
    numbers = 0.01 * np.random.default_rng(height * width).standard_normal((2, 3, *frequencies(height, width).shape, 2))
    ours = fourier(lucid_gain(height, width, decay), height, width).then(colour).picture(torch.from_numpy(numbers))
    return float(np.abs(ours.numpy() - lucid_picture(numbers, height, width, decay)).max())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("decay", [1.0, 1.5])
def test_fourier_is_lucids_formula(size: tuple[int, int], decay: float) -> None:
    assert largest_difference(*size, decay) < 1e-6


@pytest.mark.parametrize("fault", ["magic", "colour", "frequencies"])
def test_mutant_other_constants_are_not_lucids(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    near = np.maximum(frequencies(8, 8), 0.25)  # level up to two cycles per picture
    changed = {
        "magic": ("_MAGIC", 4.04),
        "colour": ("COLOUR", parameterisations.COLOUR.T),
        "frequencies": ("frequencies", lambda height, width: near),
    }[fault]
    monkeypatch.setattr(parameterisations, *changed)
    assert largest_difference(8, 8, 1.0) > 1e-4


def whole_gap(tint: torch.Tensor | None = None, contrast: float | None = None) -> float:
    """How far the whole chain, in the numbers' own precision, is from lucid's picture through its sigmoid."""
    made = coloured(12, 9, decay=1.0, tint=tint, contrast=contrast)
    numbers = 40 * made.initial(start_draws([1, 2]))
    wanted = 1 / (1 + np.exp(-lucid_picture(numbers.double().numpy(), 12, 9, 1.0)))
    return float(np.abs(made.picture(numbers).numpy() - wanted).max())


def test_the_whole_chain_is_lucids() -> None:
    assert whole_gap() < 1e-6
    assert whole_gap(torch.zeros(2, 3)) < 1e-6


def test_mutant_a_tint_or_a_contrast_is_not_lucids() -> None:
    assert whole_gap(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.1, 0.0]])) > 1e-3
    assert whole_gap(contrast=0.5) > 1e-3


def tint_gap(colours: torch.Tensor) -> float:
    picture = torch.rand(2, 3, 2, 4, generator=torch.Generator().manual_seed(1))
    wanted = picture.numpy() + np.array([[1, 2, 3], [-1, 0, 0.5]])[:, :, None, None]
    return float(np.abs(tinted(colours)(picture).numpy() - wanted).max())


def test_a_tint_is_added_to_each_picture_by_itself() -> None:
    assert tint_gap(torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.0, 0.5]])) < 1e-6


def test_mutant_a_tint_of_another_picture_is_seen() -> None:
    assert tint_gap(torch.tensor([[-1.0, 0.0, 0.5], [1.0, 2.0, 3.0]])) > 0.1


def test_pixels_are_the_picture_itself() -> None:
    numbers = torch.randn(2, 3, 5, 7)
    assert torch.equal(pixels(5, 7).picture(numbers), numbers)
    first = pixels(5, 7).initial(start_draws([3, 4]))
    wanted = [0.01 * draw.standard_normal((3, 5, 7), dtype=np.float32) for draw in start_draws([3, 4])]
    np.testing.assert_allclose(first, np.stack(wanted), rtol=1e-6)


def test_mutant_louder_first_pixels_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameterisations, "DEVIATION", 0.02)
    with pytest.raises(AssertionError):
        test_pixels_are_the_picture_itself()


def test_level_gain_is_lucids_at_decay_one_and_keeps_its_mean_at_others() -> None:
    np.testing.assert_allclose(level_gain(12, 10, 1.0), lucid_gain(12, 10), rtol=1e-6)
    np.testing.assert_allclose(level_gain(12, 10, 1.75).mean(), lucid_gain(12, 10).mean(), rtol=1e-5)
    steep, flat = level_gain(12, 10, 1.75), level_gain(12, 10, 1.0)
    assert steep[0, 0] / steep[6, 5] > flat[0, 0] / flat[6, 5]


def test_first_numbers_are_small_normal_ones() -> None:
    numbers = fourier(lucid_gain(32, 32), 32, 32).initial(start_draws([1, 2]))
    assert numbers.shape == (2, 3, 32, 17, 2)
    assert abs(float(numbers.std()) - 0.01) < 5e-4
    assert pixels(5, 7, 1).picture(pixels(5, 7, 1).initial(start_draws([3]))).shape == (1, 1, 5, 7)


def contrast_fault(apply: Map, deviation: float) -> float:
    """How far the map's result is from having `deviation` about unmoved channel means, for each picture by itself."""
    loudness = torch.tensor([0.1, 1.0, 7.0]).view(3, 1, 1, 1)
    picture = torch.randn(3, 3, 9, 11, generator=torch.Generator().manual_seed(0)) * loudness + 2
    got, mean = apply(picture), picture.mean((2, 3), keepdim=True)
    rms = (got - mean).square().mean((1, 2, 3)).sqrt()
    return float(max((rms - deviation).abs().max(), (got.mean((2, 3), keepdim=True) - mean).abs().max()))


def test_contrast_is_fixed_for_each_picture_and_the_channel_means_stay() -> None:
    assert contrast_fault(fixed_contrast(0.8), 0.8) < 1e-5


def test_mutant_contrast_over_the_batch_is_seen() -> None:
    def shared(picture: torch.Tensor) -> torch.Tensor:
        mean = picture.mean((2, 3), keepdim=True)
        return mean + 0.8 * (picture - mean) / (picture - mean).square().mean().sqrt()

    assert contrast_fault(shared, 0.8) > 0.1


def test_contrast_by_hand() -> None:
    picture = torch.tensor([[[[1.0, 3.0]]]])
    np.testing.assert_allclose(fixed_contrast(0.5)(picture).numpy(), [[[[1.5, 2.5]]]], atol=1e-6)


def test_an_even_picture_has_a_finite_gradient() -> None:
    even = torch.full((1, 3, 4, 4), 0.3, requires_grad=True)
    fixed_contrast(1.0)(even).sum().backward()
    assert even.grad is not None
    assert torch.isfinite(even.grad).all()


def test_grey_pictures_are_not_mixed() -> None:
    grey = torch.rand(2, 1, 4, 4)
    assert torch.equal(colour(grey), grey)
    made = coloured(6, 9, decay=1.5, contrast=1.0, channels=1)
    shown = made.picture(made.initial(start_draws([5])))
    assert shown.shape == (1, 1, 6, 9)
    assert float(shown.min()) > 0
    assert float(shown.max()) < 1
