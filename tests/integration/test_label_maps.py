"""The samples of a grid by label and by strongest class: counted one by one, and told by the rule of names."""

from __future__ import annotations

import numpy as np
import pytest
from support import viewing

from atlas import enrichment
from flows.questions import names
from flows.viewer.answers import label_maps
from flows.viewer.answers.open_runs import OpenVersion
from storage.errors import NotFound
from storage.run import Run, open_run

LAYER = "features.5"


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Run:
    return viewing.run_with_bound(tmp_path_factory, monkeypatch)


def counted(run: Run, grid: int) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Return the samples with each label, of a grid and of each of its cells, counted one by one."""
    stored, label_of = run.labels
    facts = run.cell_facts(LAYER, grid)
    total: dict[str, int] = {}
    by_cell: dict[str, list[int]] = {}
    for cell, (start, stop) in enumerate(zip(facts.offsets[:-1], facts.offsets[1:], strict=True)):
        for image in facts.image_id[start:stop].tolist():
            label = str(stored[label_of[image]])
            total[label] = total.get(label, 0) + 1
            by_cell.setdefault(label, [0] * len(facts.row))[cell] += 1
    return total, by_cell


def maps_agree(run: Run, grid: int) -> bool:
    """Do the tally and the map of each label tell what is counted, and what stands out by the rule of names?"""
    version, (total, by_cell) = OpenVersion(run), counted(run, grid)
    labels = label_maps.tally(version, LAYER, grid)["labels"]
    standing = names.of_cells(run, LAYER, grid, "labels")
    for number, label, samples in labels:
        told = label_maps.one(version, LAYER, grid, number)["cells"]
        out = [any(row["name"] == label for row in rows) for rows in (standing.of_group if standing else [])]
        if told != [(cell, n, out[cell]) for cell, n in enumerate(by_cell[label]) if n] or samples != total[label]:
            return False
    together = [label_maps.one(version, LAYER, grid, number) for number in sorted(number for number, *_ in labels)]
    return {label: n for _, label, n in labels} == total and label_maps.every(version, LAYER, grid) == together


def test_labels_are_counted_and_stand_out_by_the_rule_of_names(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert maps_agree(run, 4)
    monkeypatch.setattr(enrichment, "bound_of", lambda largest: 0.0)
    assert maps_agree(open_run(run.store.root, "small"), 2)


def test_mutant_labels_of_other_images_are_seen(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stored, label_of = run.labels
    expected = counted(run, 4)
    monkeypatch.setattr(f"{__name__}.counted", lambda *_: expected)
    run.__dict__["labels"] = stored, np.roll(label_of, 1)
    assert not maps_agree(run, 4)


def test_mutant_maps_of_all_labels_that_are_those_of_the_next_are_seen(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = names.labels_in_cells
    monkeypatch.setattr(names, "labels_in_cells", lambda *a: (right(*a)[0], right(*a)[1], np.roll(right(*a)[2], 1)))
    assert not maps_agree(run, 4)


def test_first_choices_are_counted(run: Run) -> None:
    told = label_maps.tally(OpenVersion(run), LAYER, 4)["classes"]
    first = run.attribution(LAYER, 4).sample_classes[:, 0].tolist()
    assert {(number, n) for number, _, n in told} == {(number, first.count(number)) for number in set(first)}
    assert [n for *_, n in told] == sorted((n for *_, n in told), reverse=True)


def test_a_number_that_is_no_label_is_refused(run: Run) -> None:
    for number in (-1, 99):
        with pytest.raises(NotFound, match="no label"):
            label_maps.one(OpenVersion(run), LAYER, 4, number)
