"""Facts of units against plain loops over everything, and by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from atlas import unit_facts
from atlas.arrays import Samples

RNG = np.random.default_rng(3)
VALUES = np.concatenate([RNG.normal(size=300), np.zeros(40)]).astype(np.float32)


def samples(per_image: int, images: int = 40, units: int = 7) -> Samples:
    ids = np.repeat(RNG.permutation(images) * 3, per_image)
    zeros = np.zeros(len(ids), np.int32)
    return Samples(activations=RNG.normal(size=(len(ids), units)).astype(np.float32), image_id=ids, y=zeros, x=zeros)


def wrong_intervals(found: unit_facts.Intervals, values: np.ndarray, parts: int, each: int) -> list[str]:
    """Say where intervals are not what going through all values one by one gives."""
    low, high, said = float(values.min()), float(values.max()), []
    members: list[set[int]] = [set() for _ in range(parts)]
    for row, value in enumerate(values.tolist()):
        part = next(p for p in reversed(range(parts)) if value >= low + (high - low) * p / parts - 1e-12)
        members[part].add(row)
    for number in range(parts):
        if found.count[number] != len(members[number]):
            said.append(f"interval {number} counts {found.count[number]}, not {len(members[number])}")
        rows = found.rows[number].tolist()
        if not set(rows) <= members[number] or len(set(rows)) != min(each, len(members[number])):
            said.append(f"interval {number} shows {rows}")
        if values[rows].tolist() != sorted(values[rows].tolist(), reverse=True):
            said.append(f"interval {number} is not strongest first")
    return said


@pytest.mark.parametrize("parts", [1, 4, 10])
def test_intervals_equal_a_plain_loop(parts: int) -> None:
    assert wrong_intervals(unit_facts.intervals(VALUES, parts, 5), VALUES, parts, 5) == []


def test_mutant_quantiles_of_the_data_are_seen() -> None:
    """Parts of equal many samples would show the middle of the range ten times, and its ends never."""
    found = unit_facts.intervals(np.argsort(np.argsort(VALUES)).astype(np.float32), 10, 5)
    assert wrong_intervals(found, VALUES, 10, 5)


def test_intervals_by_hand() -> None:
    found = unit_facts.intervals(np.array([0.0, 1.0, 2.0, 4.0], np.float32), 4, 9)
    assert found.edges.tolist() == [0, 1, 2, 3, 4]
    assert found.count.tolist() == [1, 1, 1, 1]
    assert [rows.tolist() for rows in found.rows] == [[0], [1], [2], [3]]
    found = unit_facts.intervals(np.array([0.0, 1.0, 4.0], np.float32), 4, 9)
    assert found.count.tolist() == [1, 1, 0, 1]
    assert found.rows[2].tolist() == []
    same = unit_facts.intervals(np.full(3, 2.0, np.float32), 4, 2)
    assert same.edges.tolist() == [2, 2]
    assert same.count.tolist() == [3]
    assert len(unit_facts.intervals(np.zeros(0, np.float32), 4, 2).rows) == 0


def test_examples_are_drawn_by_chance_and_not_by_their_place() -> None:
    found = unit_facts.intervals(np.tile([0.0, 1.0], 500).astype(np.float32), 2, 5)
    assert max(found.rows[0].tolist()) > 100
    assert [r.tolist() for r in unit_facts.intervals(np.tile([0.0, 1.0], 500).astype(np.float32), 2, 5).rows] == [
        r.tolist() for r in found.rows
    ]


@pytest.mark.parametrize("bins", [1, 7, 40])
def test_histogram_is_numpys(bins: int) -> None:
    counts, edges = unit_facts.histogram(VALUES.astype(np.float64), bins)
    expected = np.histogram(VALUES.astype(np.float64), bins)
    np.testing.assert_array_equal(counts, expected[0])
    np.testing.assert_allclose(edges, expected[1])


def test_entropy_by_hand() -> None:
    assert unit_facts.entropy(np.array([5])) == 0
    assert unit_facts.entropy(np.array([2, 2, 0])) == 1
    assert unit_facts.entropy(np.array([4, 2, 2])) == 1.5
    assert unit_facts.entropy(np.zeros(0, np.int64)) == 0


@pytest.mark.parametrize("per_image", [1, 3])
def test_means_of_images_equal_a_loop(per_image: int) -> None:
    given = samples(per_image)
    ids = sorted(set(given.image_id.tolist()))
    expected = [[given.activations[given.image_id == i, u].mean() for i in ids] for u in range(7)]
    np.testing.assert_allclose(unit_facts.image_means(given), expected, rtol=1e-5, atol=1e-6)


def by_loop(score: Callable[[int], float], units: int, unit: int, k: int) -> list[tuple[int, float]]:
    rows = sorted(((score(u), -u) for u in range(units) if u != unit), reverse=True)
    return [(-u, value) for value, u in rows[:k]]


def wrong_alike(means: np.ndarray, unit: int, found: tuple[Any, Any]) -> bool:
    def cosine(other: int) -> float:
        a, b = means[unit].astype(float), means[other].astype(float)
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))

    expected = by_loop(cosine, len(means), unit, 4)
    same = found[0].tolist() == [u for u, _ in expected]
    return not (same and np.allclose(found[1], [value for _, value in expected], atol=1e-5))


def test_units_alike_equal_a_loop_over_all() -> None:
    means = RNG.normal(size=(30, 50)).astype(np.float32)
    means[7] = 3 * means[3] + 0.1 * means[8]
    for unit in range(30):
        assert not wrong_alike(means, unit, unit_facts.similar_units(means, unit, 4))
    assert unit_facts.similar_units(means, 3, 1)[0].tolist() == [7]


def test_mutant_distance_in_place_of_the_angle_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    means = RNG.normal(size=(30, 50)).astype(np.float32) * np.linspace(0.2, 5, 30, dtype=np.float32)[:, None]
    monkeypatch.setattr(unit_facts.np.linalg, "norm", lambda rows, axis: np.ones(len(rows)))
    assert any(wrong_alike(means, unit, unit_facts.similar_units(means, unit, 4)) for unit in range(30))


def test_a_dead_unit_is_like_no_other() -> None:
    means = RNG.normal(size=(5, 8)).astype(np.float32)
    means[2] = 0
    assert len(unit_facts.similar_units(means, 2, 3)[0]) == 0
    assert 2 not in unit_facts.similar_units(means, 0, 4)[0].tolist()


def wrong_sharing(image_id: np.ndarray, unit: int, found: tuple[Any, Any]) -> bool:
    own = set(image_id[unit].tolist()) - {-1}
    rows = by_loop(lambda other: len(own & set(image_id[other].tolist())) / len(own), len(image_id), unit, 4)
    rows = [row for row in rows if row[1] > 0]
    return found[0].tolist() != [u for u, _ in rows] or not np.allclose(found[1], [share for _, share in rows])


def test_shared_images_equal_sets() -> None:
    image_id = RNG.integers(0, 40, (20, 12))
    image_id[4, 6:] = -1
    image_id[5] = np.arange(100, 112)
    for unit in range(20):
        assert not wrong_sharing(image_id, unit, unit_facts.units_sharing_images(image_id, unit, 4))
    assert len(unit_facts.units_sharing_images(image_id, 5, 4)[0]) == 0
    assert len(unit_facts.units_sharing_images(np.full((3, 4), -1), 1, 4)[0]) == 0


def test_mutant_empty_places_are_no_image_in_common() -> None:
    image_id = np.full((3, 6), -1)
    image_id[0, :2], image_id[1, :2], image_id[2] = (1, 2), (3, 4), (1, 5, 6, 7, 8, 9)
    right = unit_facts.units_sharing_images(image_id, 0, 4)
    assert not wrong_sharing(image_id, 0, right)
    counted = unit_facts.units_sharing_images(image_id + 1, 0, 4)  # −1 would pass for an image
    assert wrong_sharing(image_id, 0, counted)


def test_correlation_is_that_of_repeated_rows() -> None:
    values, others, weight = RNG.normal(size=9), RNG.normal(size=(9, 3)), RNG.integers(1, 6, 9)
    others[:, 2] = 4.0
    found = unit_facts.weighted_correlation(values.astype(np.float32), others.astype(np.float32), weight)
    rows = np.repeat(np.arange(9), weight)
    expected = [np.corrcoef(values[rows], others[rows, column])[0, 1] for column in (0, 1)]
    np.testing.assert_allclose(found, [*expected, 0.0], atol=1e-5)
    unweighted = unit_facts.weighted_correlation(
        values.astype(np.float32), others.astype(np.float32), np.ones(9, np.int64)
    )
    assert np.abs(unweighted[:2] - expected).max() > 0.01
