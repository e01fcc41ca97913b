"""Labels of two datasets: shares among labelled images, against permutations and SciPy's closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from flows.comparing.datasets import labels
from flows.comparing.pairs import Images

RNG = np.random.default_rng


def compare(first: list[str | None], second: list[str | None], units: np.ndarray | None = None) -> labels.LabelChanges:
    sides = [Images(key_hash=np.arange(len(one), dtype=np.uint64), label=one) for one in (first, second)]
    ids = np.arange(len(first)), np.arange(len(second))
    values = RNG(0).normal(size=(len(first) + len(second), 4)).astype(np.float32) if units is None else units
    found = labels.changes((sides[0], sides[1]), ids, values, 1_999, 0)
    assert found is not None
    return found


def test_shares_are_among_labelled_images() -> None:
    """Half of the second set has no label; among those that have one, nothing differs."""
    first: list[str | None] = ["cat"] * 60 + ["dog"] * 40
    found = compare(first, [*first, *[None] * 100])
    assert found.ratios.first.tolist() == pytest.approx([0.6, 0.4])
    assert found.ratios.second.tolist() == pytest.approx([0.6, 0.4])
    assert found.p.tolist() == [1, 1]
    assert (found.unlabelled, found.unlabelled_p < 1e-10) == ((0, 100), True)
    assert compare(first, first).unlabelled_p == 1


@pytest.mark.parametrize(
    ("count", "sizes"), [((3, 9), (20, 30)), ((0, 4), (9, 6)), ((5, 5), (10, 10)), ((7, 0), (8, 9))]
)
def test_the_p_value_is_that_of_all_relabellings(count: tuple[int, int], sizes: tuple[int, int]) -> None:
    n, m = sizes
    total = sum(count)
    shares = np.array([abs(k / m - (total - k) / n) for k in range(total + 1)])
    chance = stats.hypergeom(n + m, total, m).pmf(np.arange(total + 1))
    expected = chance[shares >= shares[count[1]] - 1e-9].sum()
    assert labels.share_p(np.array([count]), np.array(sizes))[0] == pytest.approx(expected)
    if n == m:  # as far on both sides: Fisher's test
        table = [[count[0], n - count[0]], [count[1], m - count[1]]]
        assert expected == pytest.approx(stats.fisher_exact(table).pvalue)


def test_a_rare_label_of_a_thousand_that_comes_often_is_beyond_chance() -> None:
    names: list[str | None] = [f"label{number}" for number in range(1000)] * 2
    found = compare(names, [*names[:1000], *["label7"] * 40])
    assert [found.names[number] for number in np.flatnonzero(found.beyond)] == ["label7"]


def test_one_label_of_many_whose_images_shift_is_beyond_chance() -> None:
    names: list[str | None] = [f"label{number:03d}" for number in range(250) for _ in range(12)]
    units = RNG(1).normal(size=(2 * len(names), 2)).astype(np.float32)
    units[len(names) :][np.array(names) == "label100"] += 6
    sides = [Images(key_hash=np.arange(len(names), dtype=np.uint64), label=names)] * 2
    found = labels.changes((sides[0], sides[1]), (np.arange(len(names)),) * 2, units, 99, 0)
    assert found is not None
    assert [found.names[number] for number in np.flatnonzero(found.shift_beyond)] == ["label100"]
    assert found.shift[100] == pytest.approx(6, rel=0.2)
