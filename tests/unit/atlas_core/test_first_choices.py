"""The first classes of images, against a sort in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from atlas.first_choices import TOP, Choices, FirstChoices

IMAGES, CLASSES, BATCH = 23, 7, 8


@pytest.fixture
def scores() -> NDArray[np.float32]:
    values = np.random.default_rng(0).integers(-3, 4, (IMAGES, CLASSES)).astype(np.float32)  # with ties
    values[5, 2], values[9, 0] = np.nan, np.inf
    return values


def collected(scores: NDArray[np.float32], valid: NDArray[np.bool_]) -> Choices:
    """Add the scores in batches that are padded, as those of a pass are."""
    first = FirstChoices(len(scores))
    for start in range(0, len(scores), BATCH):
        rows = np.arange(start, start + BATCH) % len(scores)
        first.add(start, torch.from_numpy(scores[rows]), valid[rows])
    return first.finish()


def check(scores: NDArray[np.float32]) -> None:
    valid = np.arange(IMAGES) % 5 != 3
    choices = collected(scores, valid)
    there = valid & np.isfinite(scores).all(axis=1)
    assert np.array_equal(choices.there, there)
    assert not there[5]
    assert not there[9]
    order = np.argsort(-scores[there], axis=1, kind="stable")[:, :TOP]
    assert np.array_equal(choices.classes[there], order)
    assert np.array_equal(choices.logit[there], np.take_along_axis(scores[there], order, 1))
    powers = np.exp(scores[there].astype(np.float64))
    expected = np.take_along_axis(powers / powers.sum(axis=1, keepdims=True), order, 1)
    assert choices.probability[there] == pytest.approx(expected, abs=1e-6)


def test_the_first_classes_are_those_of_a_sort(scores: NDArray[np.float32]) -> None:
    check(scores)


def test_mutant_ties_in_any_order(scores: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch) -> None:
    sort = torch.Tensor.sort

    def backwards(self: torch.Tensor, **options: object) -> object:
        flipped = sort(self.flip(1), dim=1, descending=True, stable=True)
        return torch.return_types.sort((flipped.values, self.shape[1] - 1 - flipped.indices))

    monkeypatch.setattr(torch.Tensor, "sort", backwards)
    with pytest.raises(AssertionError):
        check(scores)


def test_a_single_score_has_no_probability() -> None:
    choices = collected(np.ones((3, 1), np.float32), np.ones(3, np.bool_))
    assert choices.classes.tolist() == [[0], [0], [0]]
    assert np.isnan(choices.probability).all()


def test_no_image_at_all() -> None:
    choices = FirstChoices(4).finish()
    assert not choices.there.any()
    assert choices.classes.shape == (4, 0)
