"""Motion between layouts: on layouts turned on purpose, and cell by cell against counting in a loop."""

from __future__ import annotations

import numpy as np
import pytest

from atlas.comparing import motion
from atlas.comparing.motion import align, arrows, cell_changes, displacement, share_beyond, shifts, threshold

RNG = np.random.default_rng


def square(n: int, seed: int = 0) -> np.ndarray:
    """Draw points with no symmetry: two groups and a tail, inside the middle of the unit square."""
    rng = RNG(seed)
    centre = np.array([[0.35, 0.4], [0.6, 0.55], [0.55, 0.3]])[rng.choice(3, n, p=(0.6, 0.3, 0.1))]
    return (centre + 0.04 * rng.normal(size=(n, 2))).astype(np.float32)


def turned(points: np.ndarray, angle: float, scale: float, mirrored: bool) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (points - 0.5) @ turn.T * scale + (0.5, 0.45)
    return (moved * (1, -1) + (0, 1) if mirrored else moved).astype(np.float32)


def left_over(angle: float, scale: float = 0.8, mirrored: bool = False) -> float:
    """Turn a layout, bring it over, and return how far the furthest sample is then from where it was."""
    points = square(400)
    moved = turned(points, angle, scale, mirrored)
    return float(displacement(points, align(moved, points, moved)).max())


@pytest.mark.parametrize(("angle", "scale", "mirrored"), [(0.7, 0.8, False), (2.5, 1.1, True), (-1.5, 0.5, True)])
def test_a_turned_layout_comes_back(angle: float, scale: float, mirrored: bool) -> None:
    points = square(400)
    moved = turned(points, angle, scale, mirrored)
    assert displacement(points, moved).max() > 0.1
    assert left_over(angle, scale, mirrored) < 1e-5


def test_mutant_without_the_turn_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion, "register", lambda drawn, onto, moved: moved)
    assert left_over(0.7) > 0.05


def test_samples_that_only_one_layout_has_are_brought_along() -> None:
    points = square(400)
    moved = turned(points, 0.7, 0.8, False)
    others = displacement(points, align(moved[:250], points[:250], moved))[250:]
    assert np.quantile(others, 0.95) < 1e-6  # the rest lie beyond all that are shared, and come to lie on their edge
    assert align(moved[:0], points[:0], moved) is moved


def test_one_in_twenty_of_the_noise_is_beyond_it() -> None:
    noise = RNG(1).rayleigh(0.01, 4000)
    assert share_beyond(noise, noise) == pytest.approx(0.05, abs=0.002)
    assert share_beyond(noise + 1, noise) == 1
    assert threshold(np.zeros(10)) == threshold(np.zeros(0)) == motion.MIN_DISPLACEMENT
    assert share_beyond(np.zeros(0), noise) == 0


def test_displacement_and_shifts_by_hand() -> None:
    a = np.array([[0, 0], [0, 0], [0.5, 0.5], [0.9, 0.9]], np.float32)
    b = np.array([[0.3, 0.4], [-0.3, 0.4], [0.5, 0.75], [0, 0]], np.float32)
    assert displacement(a, b)[:3] == pytest.approx([0.5, 0.5, 0.25])
    found = shifts(a, b, np.array([4, 4, 7, -1]))
    assert found.label.tolist() == [4, 7]
    assert found.count.tolist() == [2, 1]
    np.testing.assert_allclose(found.mean, [[0, 0.4], [0, 0.25]], atol=1e-7)
    np.testing.assert_allclose(found.distance, [0.5, 0.25], atol=1e-7)


Filled = dict[tuple[int, int], tuple[list[int], float, float, float]]


def brute(a: tuple, b: tuple, labels: np.ndarray, grid: int, least: int) -> Filled:
    """Return counts, overlap, cosine and label change of each cell filled in either layout."""
    found: Filled = {}
    for row in range(grid):
        for col in range(grid):
            sets = []
            for points, _ in (a, b):
                inside = np.minimum((points * grid).astype(int), grid - 1)
                sets.append(np.flatnonzero((inside == [col, row]).all(axis=1)))
            if max(map(len, sets)) < least:
                continue
            rest = (np.nan,) * 3
            if min(map(len, sets)) >= least:
                means = [values[members].mean(axis=0) for (_, values), members in zip((a, b), sets, strict=True)]
                mixes = [np.bincount(labels[members], minlength=9) / len(members) for members in sets]
                rest = (
                    len(np.intersect1d(*sets)) / len(np.union1d(*sets)),
                    float(means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1])),
                    float(np.abs(mixes[0] - mixes[1]).sum() / 2),
                )
            found[row, col] = ([len(s) for s in sets], *rest)
    return found


def wrong_cells(seed: int) -> list[tuple[int, int]]:
    rng = RNG(seed)
    points = rng.random((300, 2)).astype(np.float32) ** 2
    moved = np.clip(points + 0.1 * rng.normal(size=(300, 2)), 0, 1).astype(np.float32)
    values = rng.normal(size=(300, 5)).astype(np.float32) + 1
    a, b = (points, values), (moved, values + 0.5 * rng.normal(size=values.shape).astype(np.float32))
    labels = rng.integers(0, 9, 300)
    made, expected = cell_changes(a, b, labels, grid=6, min_count=4), brute(a, b, labels, 6, 4)
    assert list(zip(made.row.tolist(), made.col.tolist(), strict=True)) == list(expected)
    assert (~made.both).any()
    columns = (made.overlap, made.cosine, made.mix)
    return [
        place
        for number, (place, (counts, *rest)) in enumerate(expected.items())
        if made.count[number].tolist() != counts
        or not np.allclose([column[number] for column in columns], rest, atol=1e-5, equal_nan=True)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_cells_are_those_of_a_count_in_a_loop(seed: int) -> None:
    assert wrong_cells(seed) == []


def test_mutant_counts_of_leavers_as_stayers_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion, "total_variation", lambda a, b: np.abs(a - b).sum(axis=1) / 2.0)
    assert wrong_cells(0)


def test_cells_without_labels_have_no_mix() -> None:
    points, values = square(60), RNG(0).normal(size=(60, 3)).astype(np.float32)
    made = cell_changes((points, values), (points, values), np.full(60, -1), grid=3, min_count=2)
    assert np.isnan(made.mix).all()
    assert made.overlap[made.both] == pytest.approx(1)
    assert made.cosine[made.both] == pytest.approx(1)


def changes(cosine: list[float], mix: list[float]) -> motion.CellChanges:
    n = len(cosine)
    zeros = np.zeros(n, np.int32)
    return motion.CellChanges(
        row=zeros,
        col=zeros,
        count=np.ones((n, 2), np.int64),
        overlap=np.ones(n),
        cosine=np.array(cosine),
        mix=np.array(mix),
    )


def test_cells_change_beyond_the_noise_only() -> None:
    made = changes([0.995, 0.95, 0.85, 0.995, np.nan], [0.0, 0.0, np.nan, 0.6, np.nan])
    assert motion.changed_cells(made, None).tolist() == [False, False, True, True, False]
    calm, wild = changes([1.0] * 50, [0.0] * 50), changes([0.5] * 50, [0.7] * 50)
    assert motion.changed_cells(made, calm).tolist() == [False, True, True, True, False]
    assert not motion.changed_cells(made, wild).any()


def test_arrows_are_the_mean_motion_of_old_cells() -> None:
    a = np.array([[0.1, 0.1], [0.2, 0.2], [0.9, 0.9]], np.float32)
    b = a + np.array([[0.1, 0], [0.3, 0], [0, 0.05]], np.float32)
    start, end, count = arrows(a, b, grid=2)
    np.testing.assert_allclose(start, [[0.15, 0.15], [0.9, 0.9]], atol=1e-6)
    np.testing.assert_allclose(end, [[0.35, 0.15], [0.9, 0.95]], atol=1e-6)
    assert count.tolist() == [2, 1]
    assert len(arrows(a, b, grid=2, min_count=2)[0]) == 1
