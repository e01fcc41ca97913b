"""Names stand out where they were planted, and by chance in no more maps than the bound allows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from atlas import enrichment
from atlas.enrichment import Groups, Names

CELLS, IMAGES, LABELS, MAPS = 24, 160, 12, 100


def without_meaning(seed: int, together: float = 0.6) -> Groups:
    """Return a map of two samples an image, which often lie in the same cell, with labels drawn at random."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(IMAGES), 2)
    near = rng.integers(0, CELLS, IMAGES)[image]
    cell = np.where(rng.random(len(image)) < together, near, rng.integers(0, CELLS, len(image)))
    label = np.minimum(rng.geometric(0.2, IMAGES) - 1, LABELS - 1)
    return of_samples(cell, image, label[image])


def of_samples(cell: np.ndarray, image: np.ndarray, name: np.ndarray) -> Groups:
    """Return the groups of samples that each have a name of their own, as classes are."""
    item, weight = np.arange(len(name)), np.ones(len(name), np.int64)
    return Groups(groups=CELLS, group=cell, item=item, name=name, block=image, weight=weight)


def by_hand(groups: Groups, found: Names) -> list[str]:
    """Say what of the rule a name does not fulfil, counted sample by sample."""
    said = []
    for group, name, count, share in zip(found.group, found.name, found.count, found.share, strict=True):
        members = groups.name[groups.item[groups.group == group]].tolist()
        overall = groups.name.tolist().count(name) / len(groups.name)
        n = members.count(name)
        inside = n * np.log(n / len(members) / overall) if n else 0.0
        rest = len(members) - n
        lift = inside + (rest * np.log(rest / len(members) / (1 - overall)) if rest else 0.0)
        said += [f"{name} in {group}: count"] * int(n != count or n < enrichment.LEAST)
        said += [f"{name} in {group}: share"] * int(not np.isclose(n / len(members), share) or share <= overall)
        said += [f"{name} in {group}: lift {lift}"] * int(not lift > found.bound)
    return said


def maps_with_names(maps: int = MAPS, times: int = enrichment.TIMES) -> int:
    return sum(len(enrichment.standing_out(without_meaning(seed), times).group) > 0 for seed in range(maps))


def planted(seed: int = 3, members: int = 14) -> tuple[Groups, int]:
    """Return a map in whose cell 5 most samples have label 7, and how many there are in that cell."""
    groups = without_meaning(seed, 0.0)
    inside = np.flatnonzero(groups.group == 5)[:members]
    name = groups.name.copy()
    name[inside] = 7
    return dataclasses.replace(groups, name=name), len(inside)


def test_of_a_hundred_maps_without_meaning_at_most_ten_print_a_name() -> None:
    assert maps_with_names() <= 10


def test_mutant_without_a_bound_most_maps_print_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrichment, "bound_of", lambda largest: 0.0)
    assert maps_with_names(20, 1) > 18


def test_mutant_samples_of_an_image_torn_apart_print_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    real = enrichment._blocks
    monkeypatch.setattr(enrichment, "_blocks", lambda block: real(np.arange(len(block))))
    assert maps_with_names(20) > 2


def test_what_was_planted_is_printed_and_nothing_else() -> None:
    groups, members = planted()
    found = enrichment.standing_out(groups)
    assert list(zip(found.group.tolist(), found.name.tolist(), found.count.tolist(), strict=True)) == [(5, 7, members)]
    assert not by_hand(groups, found)


def test_every_printed_name_fulfils_the_rule() -> None:
    rng = np.random.default_rng(1)
    cell = rng.integers(0, CELLS, 2000)
    name = np.where(rng.random(2000) < 0.5, cell % LABELS, rng.integers(-1, LABELS, 2000))
    groups = of_samples(cell, np.arange(2000), name)
    found = enrichment.standing_out(groups)
    assert len(set(found.group.tolist())) == CELLS
    assert -1 not in found.name
    assert not by_hand(groups, found)
    assert by_hand(groups, dataclasses.replace(found, count=found.count + 1))


@pytest.mark.parametrize("members", [1, 2, 3])
def test_a_name_needs_three_samples(members: int) -> None:
    cell = np.concatenate([np.full(members, 5), np.zeros(4000, np.int64)])
    name = np.concatenate([np.full(members, 7), np.ones(4000, np.int64)])
    found = enrichment.standing_out(of_samples(cell, np.arange(len(cell)), name))
    assert (5 in found.group) == (members >= 3)


@pytest.mark.parametrize("samples", [0, 1, 40])
def test_maps_with_one_image_or_none_print_nothing(samples: int) -> None:
    """The samples of one image stay together: nothing can be told from them."""
    cell, image, name = (np.arange(samples) % CELLS, np.zeros(samples, np.int64), np.arange(samples) % CELLS)
    assert not len(enrichment.standing_out(of_samples(cell, image, name)).group)


def test_only_a_larger_value_beats_the_bound_and_few_permutations_have_none() -> None:
    assert enrichment.bound_of(np.arange(1.0, 201.0)) == 191
    assert enrichment.bound_of(np.arange(10.0)) == np.inf
