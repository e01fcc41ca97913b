"""Answer which labels and classes stand out: those that samples or strongest patches have more often than chance explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from typing_extensions import TypedDict

from atlas import enrichment
from atlas.arrays import Int
from atlas.enrichment import Groups
from flows.questions import classes
from storage.artefacts import tables
from storage.artefacts.cells import CellFacts
from storage.errors import NotFound
from storage.run import Run

KINDS = ("labels", "classes")


class NameShare(TypedDict):
    """A name that stands out, how many members have it, and their share."""

    name: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands out in each group, the largest lift first; `bound` is the lift that chance reaches."""

    of_group: list[list[NameShare]]
    bound: float

    @property
    def nbytes(self) -> int:
        """Bytes in memory, roughly."""
        return sum(64 + 200 * len(rows) for rows in self.of_group)


def of_cells(run: Run, layer: str, grid: int, kind: str) -> Standing | None:
    """Return the labels or classes that stand out in each cell of a grid; None where the run has none to go by."""
    cells = run.cell_facts(layer, grid)
    groups, names = _labelled(run, cells) if kind == "labels" else _attributed(run, layer, grid, cells)
    return _standing(groups, names) if (groups.name >= 0).any() else None


def of_one_cell(run: Run, layer: str, grid: int, number: int) -> dict[str, list[NameShare] | None]:
    """Return what stands out in a cell, by kind of name; the answer for its grid is cached."""
    return {kind: standing.of_group[number] if standing else None for kind, standing in _both(run, layer, grid).items()}


def _both(run: Run, layer: str, grid: int) -> dict[str, Standing | None]:
    def compute() -> dict[str, Standing | None]:
        return {kind: of_cells(run, layer, grid, kind) for kind in KINDS}

    def size(both: dict[str, Standing | None]) -> int:
        return sum(one.nbytes for one in both.values() if one)

    return run.cache.get(("names", layer, grid), compute, size)


def tally(run: Run, layer: str, grid: int, kind: str) -> list[tuple[int, str, int]]:
    """Return number, name and samples of the labels, or strongest classes, of a grid's samples, the most frequent first."""
    cells = run.cell_facts(layer, grid)
    groups, names = _labelled(run, cells) if kind == "labels" else _attributed(run, layer, grid, cells)
    named = groups.name >= 0
    samples = np.bincount(groups.name[named], weights=groups.weight[named]).astype(np.int64)
    order = np.argsort(-samples, kind="stable")
    return [(number, str(names[number]), int(samples[number])) for number in order.tolist() if samples[number]]


def labelled_samples(run: Run, layer: str, grid: int, number: int) -> Int:
    """Return how many samples of each cell of a grid have a label. Raises NotFound."""
    names, label_of = run.labels
    if not 0 <= number < len(names) or not names[number]:
        raise NotFound(f"{run.name} has no label of number {number}")
    cells = run.cell_facts(layer, grid)
    has = label_of[cells.image_id] == number
    return np.bincount(cells_of(cells)[has], minlength=len(cells.row))


def labels_in_cells(run: Run, layer: str, grid: int) -> tuple[Int, Int, Int]:
    """Return the label, cell and number of samples of each cell with samples of a label, by label, then by cell."""
    cells, (names, label_of) = run.cell_facts(layer, grid), run.labels
    label = _numbers(names, label_of)[cells.image_id].astype(np.int64)
    pairs, samples = np.unique((label * len(cells.row) + cells_of(cells))[label >= 0], return_counts=True)
    number, cell = np.divmod(pairs, max(1, len(cells.row)))
    return number, cell, samples


def of_units(run: Run, layer: str) -> Standing:
    """Return the labels that stand out among each unit's strongest patches, against all images of the run."""
    result = run.result("patches", layer)
    table = tables.read_table(result.file("patches.parquet"), ["unit", "sign", "value", "image_id"])
    table = table.filter(pc.and_(pc.equal(table["sign"], "positive"), pc.not_equal(table["value"], 0)))
    names, label_of = run.labels
    images = _used_images(run)
    groups = Groups(
        groups=result.counts["units"],
        group=table["unit"].to_numpy().astype(np.int64),
        item=np.searchsorted(images, table["image_id"].to_numpy()),
        name=_numbers(names, label_of[images]),
        block=np.arange(len(images)),
        weight=np.ones(len(images), np.int64),
    )
    return _standing(groups, names)


def _used_images(run: Run) -> Int:
    """Return the ids of the images that the run has activations of, ascending."""
    table = run.images_of_units()
    ids = table.filter(pc.is_null(table["reason"]))["image_id"].to_numpy()
    return np.sort(ids).astype(np.int64)


def _labelled(run: Run, cells: CellFacts) -> tuple[Groups, list[str | None]]:
    names, label_of = run.labels
    images, item = np.unique(cells.image_id, return_inverse=True)
    name, block = _numbers(names, label_of[images]), np.arange(len(images))
    return _groups(cells, cells_of(cells), item, name, block), names


def _attributed(run: Run, layer: str, grid: int, cells: CellFacts) -> tuple[Groups, list[str | None]]:
    """Return the samples of the cells, named by their strongest class; no name where the run has no attribution."""
    if not run.has("attribution", layer, grid):
        none = np.zeros(0, np.int64)
        return _groups(cells, none, none, none, none), []
    attribution = run.attribution(layer, grid)
    order = np.argsort(cells.members)
    place = order[np.searchsorted(cells.members[order], attribution.sample)]
    first = attribution.sample_classes[:, 0].astype(np.int64)
    names: list[str | None] = [classes.class_name(run, number) for number in range(int(first.max(initial=-1)) + 1)]
    return _groups(cells, cells_of(cells)[place], np.arange(len(place)), first, cells.image_id[place]), names


def _groups(cells: CellFacts, group: Int, item: Int, name: Int, block: Int) -> Groups:
    weight = np.bincount(item, minlength=len(name))
    return Groups(groups=len(cells.row), group=group, item=item, name=name, block=block, weight=weight)


def cells_of(cells: CellFacts) -> Int:
    """Return the number of the cell of each member."""
    return np.repeat(np.arange(len(cells.row)), np.diff(cells.offsets))


def _numbers(names: list[str | None], label_of: Int) -> Int:
    """Return the labels by number, −1 for none."""
    named = np.array([bool(name) for name in names], np.bool_)
    return np.where(named[label_of], label_of, -1)


def _standing(groups: Groups, names: list[str | None]) -> Standing:
    marks = enrichment.standing_out(groups)
    rows: list[list[NameShare]] = [[] for _ in range(groups.groups)]
    columns = (marks.group, marks.name, marks.count, marks.share)
    for group, name, count, share in zip(*(column.tolist() for column in columns), strict=True):
        rows[group].append({"name": str(names[name]), "count": count, "share": share})
    return Standing(rows, marks.bound)
