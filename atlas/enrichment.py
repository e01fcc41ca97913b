"""Tell which names stand out in a group: its members have them more often than chance explains.

Groups are the cells of a grid with their samples, or the units of a layer with their strongest patches. The lift of a
name in a group is measured by the log-likelihood ratio of its share there to its share overall, so that three members of
a small group do not count for more than thirty of a large one. The bound is the largest lift that any name reaches in any
group in 95 % of the permutations, so that a page of groups without meaning shows no name in 95 % of cases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Int

LEAST = 3
"""Members that must have a name."""

TIMES, LEVEL = 200, 0.95
"""Permutations, and the part of them that a lift must beat."""

SEED = 0

TOGETHER = 1 << 20
"""Numbers in memory at a time: a permutation of a small map costs less than its call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Groups and the names of their members: member j, of `m`, lies in group `group[j]` and is item `item[j]`, of `n`.

    Item i is called `name[i]`, −1 for nothing. A permutation moves whole blocks of items, `block n`, onto blocks of the
    same size: the samples of an image are alike, and stay together. `weight n` is how often each item counts overall.
    """

    groups: int
    group: Int
    item: Int
    name: Int
    block: Int
    weight: Int


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names that stand out, ordered by group and the largest lift first: `count` of its members have it."""

    group: Int
    name: Int
    count: Int
    share: NDArray[np.float64]
    lift: NDArray[np.float64]
    bound: float


def standing_out(groups: Groups, times: int = TIMES) -> Names:
    """Return the names that stand out in each group."""
    columns, name = _frequent(groups)
    names, size = len(columns) + 1, np.bincount(groups.group, minlength=groups.groups)
    bound = bound_of(_largest_by_chance(groups, name, names, size, times))
    key, count, lift = _lifts(groups, name[None], names, size)
    group, column = np.divmod(key, names)
    order = np.lexsort((column, -lift, group))
    order = order[lift[order] > bound]
    group, column, count = group[order], column[order], count[order]
    share, numbers = count / size[group], columns[column - 1]
    return Names(group=group, name=numbers, count=count, share=share, lift=lift[order], bound=bound)


def bound_of(largest: NDArray[np.float64], level: float = LEVEL) -> float:
    """Return the value that only a larger one beats at a level, given those found by chance; infinite for too few."""
    rank = int(np.ceil(level * (len(largest) + 1)))
    return float(np.sort(largest)[rank - 1]) if 0 < rank <= len(largest) else float("inf")


def _frequent(groups: Groups) -> tuple[Int, Int]:
    """Return the names that enough members have, and each item's column among them, from 1; 0 for any other."""
    members = np.bincount(groups.item, minlength=len(groups.name))
    total = np.bincount(groups.name + 1, weights=np.maximum(members, groups.weight))
    columns = np.flatnonzero(total[1:] >= LEAST)
    place = np.zeros(len(total), np.int64)
    place[columns + 1] = np.arange(1, len(columns) + 1)
    return columns, place[groups.name + 1]


def _largest_by_chance(groups: Groups, name: Int, names: int, size: Int, times: int) -> NDArray[np.float64]:
    """Return the largest lift of any name in any group, for each permutation; as many at a time as memory allows."""
    rng, blocks = np.random.default_rng(SEED), _blocks(groups.block)
    table = groups.groups * names
    together = max(1, TOGETHER // max(len(groups.item), len(name), table))
    largest = np.zeros(times)
    for start in range(0, times, together):
        drawn = min(together, times - start)
        key, _, lift = _lifts(groups, name[_shuffled(blocks, (drawn, len(name)), rng)], names, size)
        np.maximum.at(largest, start + key // max(1, table), lift)
    return largest


def _lifts(groups: Groups, name: Int, names: int, size: Int) -> tuple[Int, Int, NDArray[np.float64]]:
    """Return each pair of group and name that enough members have, with count and lift, for `name` `permutations n`.

    A pair is (permutation × groups + group) × names + name.
    """
    times = np.arange(len(name))[:, None]
    pairs = (times * groups.groups + groups.group) * names + name[:, groups.item]
    counts = np.bincount(pairs.ravel(), minlength=len(name) * groups.groups * names)
    key = np.flatnonzero(counts >= LEAST)
    key = key[key % names > 0]
    weight = np.broadcast_to(groups.weight, name.shape).ravel()
    overall = np.bincount((times * names + name).ravel(), weights=weight, minlength=names) / max(1, groups.weight.sum())
    group, column = np.divmod(key, names)
    permutation, group = np.divmod(group, max(1, groups.groups))
    return key, counts[key], likelihood_ratio(counts[key], size[group], overall[permutation * names + column])


def likelihood_ratio(count: Int, size: Int, overall: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much better a group's own share explains `count` of `size` than the share `overall`; 0 if it is less."""
    share = count / np.maximum(size, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = count * np.log(share / overall)
        outside = np.where(count < size, (size - count) * np.log((1 - share) / (1 - overall)), 0.0)
    return np.where(share > overall, inside + outside, 0.0)


def _blocks(block: Int) -> list[Int]:
    """Return the items of the blocks of each size, `blocks size`."""
    order = np.argsort(block, kind="stable")
    _, first, sizes = np.unique(block[order], return_index=True, return_counts=True)
    return [order[first[sizes == size][:, None] + np.arange(size)] for size in np.unique(sizes)]


def _shuffled(blocks: list[Int], shape: tuple[int, int], rng: np.random.Generator) -> Int:
    """Return the item whose name each item gets, in each permutation."""
    source = np.zeros(shape, np.int64)
    for part in blocks:
        drawn = rng.permuted(np.tile(np.arange(len(part)), (shape[0], 1)), axis=1)
        source[:, part] = part[drawn]
    return source
