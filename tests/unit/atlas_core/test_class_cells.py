"""Classes of cells against a brute-force mean, whatever the order and size of the batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from atlas import class_cells
from atlas.arrays import CellClasses
from atlas.class_cells import ClassMeans

CELLS, CLASSES = 4, 7
OFFSETS = np.array([0, 5, 6, 13, 16])
MEMBERS = np.array([9, 2, 17, 4, 11, 0, 1, 3, 5, 7, 12, 13, 19, 6, 8, 10])
VECTORS = np.random.default_rng(0).normal(size=(20, CLASSES)).astype(np.float32)


def made(pieces: list[Any], per_cell: int | None = None) -> CellClasses:
    means = ClassMeans(CELLS, *class_cells.choose_samples(OFFSETS, MEMBERS, per_cell))
    for piece in pieces:
        means.add(np.asarray(piece), VECTORS[piece])
    return means.finish()


def wrong(found: CellClasses) -> list[str]:
    """Say where cells differ from the mean over their members, computed one by one."""
    said = []
    for cell in range(CELLS):
        members = MEMBERS[OFFSETS[cell] : OFFSETS[cell + 1]]
        members = members[np.isin(members, found.sample)]
        mean = VECTORS[members].astype(np.float64).mean(axis=0)
        first = np.bincount(VECTORS[members].argmax(axis=1), minlength=CLASSES) / len(members)
        order = np.argsort(-mean)[: class_cells.TOP]
        checks = {
            "mean": np.allclose(found.mean[cell], mean, atol=1e-6),
            "used": found.used[cell] == len(members),
            "classes": found.classes[cell].tolist() == order.tolist(),
            "share": np.allclose(found.share[cell], first[order]),
        }
        said += [f"cell {cell}: {name}" for name, right in checks.items() if not right]
    for sample, classes, values in zip(found.sample, found.sample_classes, found.sample_values, strict=True):
        order = np.argsort(-VECTORS[sample])[: class_cells.TOP]
        if classes.tolist() != order.tolist() or not np.array_equal(values, VECTORS[sample, order]):
            said.append(f"sample {sample}")
    return said


@pytest.mark.parametrize("pieces", [[list(range(20))], [[n] for n in range(20)], [[0, 1, 2], list(range(3, 20))]])
def test_cells_have_the_mean_of_their_members(pieces: list[list[int]]) -> None:
    found = made(pieces)
    assert not wrong(found)
    assert found.sample.tolist() == sorted(MEMBERS.tolist())


def test_samples_of_no_cell_are_passed_over() -> None:
    assert not set(made([list(range(20))]).sample.tolist()) & {14, 15, 16, 18}


def test_a_number_per_cell_is_drawn_from_each() -> None:
    found = made([list(range(20))], per_cell=3)
    assert found.used.tolist() == [3, 1, 3, 3]
    assert not wrong(found)
    few, more = (set(class_cells.choose_samples(OFFSETS, MEMBERS, n)[1].tolist()) for n in (2, 3))
    assert few < more


def test_what_is_not_finite_is_counted_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = VECTORS.copy()
    vectors[[0, 9], 3] = np.nan
    means = ClassMeans(CELLS, *class_cells.choose_samples(OFFSETS, MEMBERS, None))
    means.add(np.arange(20), vectors)
    found = means.finish()
    assert means.nonfinite == 2
    assert found.used.tolist() == [4, 0, 7, 3]
    assert (found.classes[1] == -1).all()  # its only sample
    assert np.isnan(found.mean[1]).all()
    assert not {0, 9} & set(found.sample.tolist())


def test_no_sample_at_all_is_no_error() -> None:
    means = ClassMeans(0, np.zeros(0, np.int64), np.zeros(0, np.int64))
    means.add(np.arange(3), VECTORS[:3])
    assert means.finish().mean.shape == (0, CLASSES)
    assert ClassMeans(2, np.zeros(0, np.int64), np.zeros(0, np.int64)).finish().classes.shape == (2, 0)


def test_mutant_samples_given_to_the_next_cell_are_seen() -> None:
    cell, sample = class_cells.choose_samples(OFFSETS, MEMBERS, None)
    means = ClassMeans(CELLS, (cell + 1) % CELLS, sample)
    means.add(np.arange(20), VECTORS)
    assert wrong(means.finish())


def test_mutant_samples_added_twice_are_seen() -> None:
    assert wrong(made([list(range(20)), [0, 1, 2]]))
