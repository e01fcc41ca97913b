"""Correlations of maps whose neighbours are alike: by chance they are large, and the bound knows it."""

from __future__ import annotations

import numpy as np
import pytest

from atlas import map_correlation, unit_facts
from atlas.map_correlation import Maps

SIDE, OTHERS, DRAWS = 10, 12, 60
ROW, COL = (place.ravel() for place in np.mgrid[:SIDE, :SIDE])
WEIGHT = np.random.default_rng(5).integers(3, 30, SIDE * SIDE)


def smooth(rng: np.random.Generator, maps: int) -> np.ndarray:
    """Return maps whose neighbours are alike, `n maps`."""
    fields = rng.normal(size=(SIDE, SIDE, maps))
    for _ in range(3):
        fields = sum(np.roll(fields, step, axis) for axis in (0, 1) for step in (-1, 0, 1)) / 6
    return fields.reshape(-1, maps)


def largest(values: np.ndarray, others: np.ndarray) -> float:
    return float(np.abs(unit_facts.weighted_correlation(values, others, WEIGHT)).max())


def beyond(kind: str) -> int:
    """Count the pairs of unrelated smooth maps of which the largest correlation is beyond the bound."""
    total = 0
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        values, others = smooth(rng, 1)[:, 0], smooth(rng, OTHERS)
        total += largest(values, others) > getattr(Maps(others, WEIGHT, ROW, COL).chance(values), kind)
    return total


def test_unrelated_maps_are_seldom_beyond_the_bound() -> None:
    assert beyond("moved") <= 8


def test_mutant_permuted_cells_take_chance_for_a_find() -> None:
    assert beyond("permuted") > 20


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_a_related_map_is_beyond_the_bound_with_holes_too(noise: float) -> None:
    rng = np.random.default_rng(2)
    values, others = smooth(rng, 1)[:, 0], smooth(rng, OTHERS)
    others[:, 4] = values / values.std() + noise * rng.normal(size=len(values))
    for inside in (ROW >= 0, (ROW - 4.5) ** 2 + (COL - 4.5) ** 2 < 26):
        chance = Maps(others[inside], WEIGHT[inside], ROW[inside], COL[inside]).chance(values[inside])
        r = unit_facts.weighted_correlation(values[inside], others[inside], WEIGHT[inside])
        assert abs(r[4]) > chance.moved > chance.permuted > 0


def test_each_way_is_the_correlation_with_the_map_moved_so() -> None:
    rng = np.random.default_rng(3)
    values, others = smooth(rng, 1)[:, 0], smooth(rng, 3)
    maps = Maps(others, WEIGHT, ROW, COL)
    source = maps.moved[0]
    expected = [largest(values[way], others) for way in source]
    np.testing.assert_allclose(maps._largest(values, *maps.moved), expected, rtol=1e-4)
    assert all((np.sort(way) == np.arange(SIDE * SIDE)).all() for way in source)
    assert len({tuple(way) for way in source.tolist()} | {tuple(range(SIDE * SIDE))}) == len(source) + 1


@pytest.mark.parametrize("cells", [0, 1, 3])
def test_a_map_with_few_cells_tells_nothing(cells: int) -> None:
    values = np.arange(cells, dtype=np.float64)
    chance = Maps(values[:, None], np.ones(cells, np.int64), np.zeros(cells, np.int64), np.arange(cells)).chance(values)
    assert chance.moved == np.inf


def test_a_constant_map_correlates_with_nothing() -> None:
    maps = Maps(smooth(np.random.default_rng(0), 3), WEIGHT, ROW, COL)
    assert maps.chance(np.ones(SIDE * SIDE)) == map_correlation.Chance(0.0, 0.0)
