"""A sketch hides rounding errors and shows changes. Oracle: tensors of many kinds, moved by known amounts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from atlas.model import sketch

Floats = NDArray[np.float64]


def kinds() -> dict[str, Floats]:
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(1, 32, 28, 28))
    return {
        "normal": normal,
        "rectified": np.maximum(normal, 0),
        "rare": np.where(rng.random(normal.shape) < 1e-3, normal, 0),
        "large": normal * 1e12,
        "small": normal * 1e-4,
        "powers of two": 2.0 ** rng.integers(-9, 9, normal.shape),
        "zeros": np.zeros((4, 4)),
        "ones": np.ones((3, 1000)),
        "one number": np.array([0.5]),
    }


def text(values: Floats) -> list[object]:
    one = sketch.sketch(values)
    scale = sketch.scale_of([one])
    return [sketch.rounded_scale(scale), *sketch.numbers(one, scale)]


@pytest.mark.parametrize("kind", kinds())
def test_rounding_errors_do_not_show(kind: str) -> None:
    values, rng = kinds()[kind], np.random.default_rng(1)
    for _ in range(20):
        errors = rng.normal(size=values.shape) * 3e-15
        assert text(values * (1 + errors) + 1e-18 * errors) == text(values)


def test_errors_where_large_numbers_cancel_do_not_show() -> None:
    errors = np.random.default_rng(1).normal(size=(3, 1000)) * 1e-15
    assert text(errors) == text(np.zeros((3, 1000))) == text(-errors)


@pytest.mark.parametrize("kind", [kind for kind in kinds() if kind != "one number"])
def test_a_change_of_one_element_shows(kind: str) -> None:
    values = kinds()[kind]
    rms = float(np.sqrt(np.mean(values**2))) or 1.0
    rng = np.random.default_rng(2)
    for _ in range(50):
        moved = values.copy()
        moved.flat[rng.integers(values.size)] += 1e-2 * rms
        assert text(moved) != text(values)


def test_order_shape_and_size_count() -> None:
    values = kinds()["normal"]
    for other in (
        values[..., ::-1],
        np.swapaxes(values, 2, 3),
        values.reshape(1, -1),
        values * 1.00001,
        values[:, :-1],
    ):
        assert text(np.ascontiguousarray(other)) != text(values)


def test_values_that_are_not_finite_count_by_kind_and_place() -> None:
    def odd(value: float, place: int) -> list[object]:
        values = np.ones(100)
        values[place] = value
        return text(values)

    texts = [odd(np.nan, 3), odd(np.nan, 4), odd(np.inf, 3), odd(-np.inf, 3), odd(1.0, 3), odd(1e200, 3)]
    assert len({str(one) for one in texts}) == 5  # 1e200 counts as infinite
    assert texts[2] == texts[5]


def test_mutant_rounding_each_value_by_itself_shows_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where large numbers cancel, significant digits of the rest are noise."""
    monkeypatch.setattr(sketch, "_LEAST_SCALE", 1e-300)
    with pytest.raises(AssertionError):
        test_errors_where_large_numbers_cancel_do_not_show()


def test_mutant_a_boundary_of_rounding_at_zero_shows_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sketch, "_OFFSET", 0.0)
    with pytest.raises(AssertionError):
        test_rounding_errors_do_not_show("zeros")


def test_mutant_a_plain_sum_misses_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    weights: Any = lambda: np.ones(1)  # noqa: E731
    monkeypatch.setattr(sketch, "weights", weights)
    values = np.random.default_rng(0).permutation(np.arange(6400.0)).reshape(100, 64)
    assert text(values) == text(np.ascontiguousarray(values[::-1]))
