"""Samples placed on the map of another set: against the layout's own rule, image by image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from atlas.arrays import Samples
from atlas.comparing import datasets, placing
from atlas.layout import layout, locate
from atlas.layout.neighbours import Neighbours

RNG = np.random.default_rng


def world(images: int, seed: int, samples: int = 2, units: int = 24) -> Samples:
    """Draw images of eight kinds whose samples resemble each other."""
    rng = RNG(seed)
    kinds = 1.5 * RNG(5).normal(size=(8, units))[rng.integers(8, size=images)]
    values = np.repeat(kinds + 0.5 * rng.normal(size=kinds.shape), samples, axis=0)
    image = np.repeat(np.arange(images), samples)
    activations = np.maximum(values + 0.4 * rng.normal(size=values.shape), 0).astype(np.float32)
    return Samples(activations=activations, image_id=image, y=np.zeros(len(image), np.int32), x=image.astype(np.int32))


def test_a_sample_is_placed_by_the_samples_of_other_images() -> None:
    reference, incoming = world(40, 1, samples=3), world(10, 2)
    points = layout.layout(reference.activations, method="pca").points
    a, b = placing.place_both(reference, points, incoming)
    whole = locate.anchors(iter([reference.activations]), points)
    assert np.array_equal(b.points, locate.locate(whole, incoming.activations))
    for image in range(40):
        mine = reference.image_id == image
        others = locate.anchors(iter([reference.activations[~mine]]), points[~mine])
        expected = placing.vote(
            others.places[(near := others.index.search(unit(reference.activations[mine]), 15)).rows],
            placing.weights(near),
            locate.Anchors(index=others.index, places=points.astype(float)).reach,
        )
        assert a.points[mine] == pytest.approx(expected, abs=1e-6)
        assert a.distance[mine] == pytest.approx(near.distances.mean(axis=1), rel=1e-5)


def unit(values: np.ndarray) -> np.ndarray:
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True), np.float32)


def test_images_with_more_samples_than_there_are_others() -> None:
    reference = world(2, 3, samples=20)
    points = layout.layout(reference.activations, method="pca").points
    a, _ = placing.place_both(reference, points, world(3, 4))
    assert np.isfinite(a.points).all()
    assert (a.distance > 0).all()


def test_shares_and_means_are_those_of_a_loop() -> None:
    samples, column = world(9, 6, samples=4), RNG(7).integers(-1, 3, size=36)
    shares = placing.shares(samples.image_id, column, 9, 3).toarray()
    means = placing.means(samples.image_id, samples.activations, 9)
    for image in range(9):
        mine = samples.image_id == image
        assert shares[image].tolist() == [(column[mine] == number).mean() for number in range(3)]
        assert means[image] == pytest.approx(samples.activations[mine].mean(axis=0), rel=1e-6)


def test_neighbours_from_its_own_set_are_those_of_a_loop() -> None:
    samples = world(20, 6, samples=2)
    vectors, image = unit(samples.activations), samples.image_id
    second = RNG(2).random((3, 20)) < 0.5
    expected = np.zeros((3, 20))
    for row in range(40):
        distances = np.linalg.norm(vectors - vectors[row], axis=1)
        distances[image == image[row]] = np.inf
        near = image[np.argsort(distances)[:15]]
        expected[:, image[row]] += (second[:, near] == second[:, [image[row]]]).mean(axis=1) / 2
    graph = placing.neighbour_graph(samples.activations, image, 20)
    found = placing.own_neighbours(graph, second.astype(np.float32))
    assert found == pytest.approx(expected.mean(axis=1))


def halves(seed: int, images: int = 150) -> datasets.Difference:
    """Compare two halves of one set of images."""
    a, b = world(images, seed), world(images, seed + 1000)
    names = np.arange(len(a.y)), len(a.y) + np.arange(len(b.y))
    points = layout.layout(a.activations, method="pca").points
    return datasets.difference(a, points, b, names, grids=(6,), min_count=5, permutations=199)


def small_p_values(seeds: range) -> float:
    """Return the share of cells, over halves of some sets, whose p-value is at most 10 %."""
    p = np.concatenate([halves(seed).grids[6].p for seed in seeds])
    return float((p <= 0.1).mean())


def test_halves_of_one_set_do_not_differ() -> None:
    assert small_p_values(range(10)) <= 0.14


def test_mutant_samples_placed_by_themselves_make_halves_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_own(near: Neighbours, owner: np.ndarray, image: np.ndarray) -> Neighbours:
        return Neighbours(rows=near.rows[:, :15], distances=near.distances[:, :15])

    monkeypatch.setattr(placing, "_others", with_own)
    assert small_p_values(range(10)) >= 0.18


def compare_with_planted(planted: np.ndarray) -> datasets.Difference:
    """Compare 100 images with 100 others, of which the first have planted samples, two each."""
    a, b = world(100, 1), world(100, 2)
    b.activations[: len(planted)] = planted
    names = np.arange(200), 200 + np.arange(200)
    points = layout.layout(a.activations, method="pca").points
    return datasets.difference(a, points, b, names, grids=(6,), min_count=5, permutations=999)


def test_a_cell_with_more_samples_is_denser() -> None:
    like = world(100, 1).activations[:2].mean(axis=0)
    found = compare_with_planted(like + 0.05 * RNG(8).random((60, 24)).astype(np.float32))
    grid = found.grids[6]
    assert found.p <= 0.005
    denser = np.flatnonzero(grid.beyond & (grid.ratios.ratio > 1))
    cells = datasets.cell_of(found.sides[1].placed.points[:60], 6)
    assert grid.cell[denser].tolist() == np.unique(cells).tolist()
    assert (grid.ratios.low[denser] > 1).all()


def test_samples_of_another_kind_are_far_and_shift_units() -> None:
    found = compare_with_planted(3 * RNG(8).random((40, 24)).astype(np.float32))
    assert found.p <= 0.005
    assert (found.units.shifts.shift[found.units.beyond] > 0).any()
    own, others = found.sides[0].placed.distance, found.sides[1].placed.distance
    assert others[:40].min() > np.quantile(own, 0.9)
    assert abs((others[40:] > np.quantile(own, 0.9)).mean() - 0.1) < 0.08


def test_the_answer_depends_neither_on_ids_nor_on_the_order_of_images() -> None:
    a, b = world(60, 1), world(50, 2)
    names = np.arange(120), 120 + np.arange(100)
    points = layout.layout(a.activations, method="pca", keys=names[0]).points
    settings = {"grids": (5,), "min_count": 4, "permutations": 199}
    found = datasets.difference(a, points, b, names, **settings)
    moved = Samples(activations=b.activations, image_id=b.image_id * 3 + 7, y=b.y, x=b.x)
    again = datasets.difference(a, points, moved, names, **settings)
    assert (found.p, found.grids[5].p.tolist()) == (again.p, again.grids[5].p.tolist())


@pytest.mark.slow
def test_two_hundred_splits_of_one_set_raise_few_alarms() -> None:
    """At 5 %: 10 alarms are expected, and more than 17 have a chance of one in a hundred."""
    found = [halves(seed, images=150) for seed in range(200)]
    p = np.array([one.p for one in found])
    assert (p <= 0.05).sum() <= 17
    spread = p - RNG(0).random(200) / 200  # they are multiples of 1 / 200
    assert kstest(spread, "uniform").pvalue > 0.01
    assert sum(bool(one.grids[6].beyond.any()) for one in found) <= 17
    assert sum(bool(one.units.beyond.any()) for one in found) <= 17
