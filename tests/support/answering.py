"""Every question and every answer of the page about a run, each as a call on its store; and the files that it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flows import registry
from flows.comparing import answers as comparison
from flows.comparing import measure
from flows.questions import cells, classes, influence, patches, runs, sql, units
from flows.viewer.answers import about, catalogue
from flows.viewer.answers.encoding import encode
from flows.viewer.answers.open_runs import OpenRuns
from storage.artefacts import tables
from storage.run import Run, open_run
from storage.store import results
from storage.store.results import Result

Question = Callable[[str], Any]


def forget() -> None:
    """Drop what the process has read of tables before."""
    tables._checked_footer.cache_clear()
    tables._spans.cache_clear()


def questions(store: str, name: str) -> dict[str, Question]:
    """Return every question about a run and every answer of the page, by name."""
    run = open_run(store, name)
    layer, grid = run.layers[0], run.grids[-1]
    facts = run.cell_facts(layer, grid)
    cell = {"layer": layer, "grid": grid, "row": int(facts.row[0]), "col": int(facts.col[0])}
    found = dict(_of_command_line(name, cell)) | dict(_of_page(name, cell, OpenRuns(store).version(name).tag))
    return {title: _on_fresh_caches(question) for title, question in found.items()}


def _on_fresh_caches(question: Question) -> Question:
    def ask(store: str) -> Any:
        forget()
        return question(store)

    return ask


def _of_command_line(name: str, cell: dict[str, Any]) -> Iterator[tuple[str, Question]]:
    def of_run(ask: Callable[[Run], Any]) -> Question:
        return lambda store: ask(open_run(store, name))

    layer, place = cell["layer"], tuple(cell.values())
    yield "runs", lambda store: runs.runs(store)
    yield "runs show", of_run(runs.show_run)
    yield "top", of_run(lambda run: patches.top(run, layer, 3))
    yield "unit", of_run(lambda run: units.unit(run, layer, 3))
    yield "influence", of_run(lambda run: influence.influence(run, layer, 3))
    yield "cell", of_run(lambda run: cells.cell(run, *place))
    yield "classes", of_run(lambda run: classes.class_map(run, *place[:2], "0")["cells"])
    yield "moment", of_run(lambda run: run.attribution(*place[:2]).mean.tolist())
    yield "overview", of_run(lambda run: run.overview(*place[:2]).name)
    yield "compare", lambda store: comparison.describe(measure.measure(store, [name, name], noisy=False))
    for table in ("images", "rejects", "classes", "cell_metrics", "unit_metrics", *_tables()):
        yield f"sql {table}", of_run(lambda run, table=table: sql.ask(run, f"select * from {table}"))  # type: ignore[misc]


def _tables() -> list[str]:
    """Return the tables of stages that the viewed run has: all but those apart, which need more than its model."""
    return [name for row in registry.STAGES if not row.apart for name in row.tables]


def parameters(cell: dict[str, Any], tag: str, name: str) -> dict[str, dict[str, Any]]:
    """Return parameters for every kind of answer and picture of the page."""
    place = {part: cell[part] for part in ("layer", "grid")}
    unit = {"layer": cell["layer"], "unit": 3}
    of_cell, of_grid = ("cell", "icon"), ("cells", "details", "labels", "names", "tally", "real_fidelity")
    found: dict[str, dict[str, Any]] = dict.fromkeys(of_cell, cell) | dict.fromkeys(of_grid, place)
    found |= dict.fromkeys(("unit", "card", "likeness", "synthetic"), unit)
    found |= {kind: {} for kind in ("classes", "accuracy", "rejects", "libraries")}
    found |= {kind: {"id": 1} for kind in ("image", "thumbnail", "photo")}
    return found | {
        "class": place | {"of": "0"},
        "label": place | {"number": 0},
        "units": {"layer": cell["layer"]},
        "map": place | {"unit": 3},
        "speaks": {"layer": cell["layer"], "of": "0"},
        "moved": {"layer": cell["layer"], "since": f"{name}@{tag}"},
        "images": {"start": 0, "text": ""},
        "tile": place | {"level": 5, "x": 0, "y": 0},
        "icons": place | {"y": 0, "x": 0},
        "faces": {"layer": cell["layer"], "block": 0},
        "patch": unit | {"sign": "positive", "rank": 0},
        "gradient": unit | {"rank": 0},
        "member": cell | {"index": 0},
        "crop": unit | {"part": 0, "example": 0},
    }


def _of_page(name: str, cell: dict[str, Any], tag: str) -> Iterator[tuple[str, Question]]:
    asked = parameters(cell, tag, name)
    assert set(asked) == {*catalogue.ANSWERS, *catalogue.PICTURES}
    for kind in catalogue.ANSWERS:
        yield (
            f"page {kind}",
            lambda store, k=kind: encode(catalogue.answer(OpenRuns(store).version(name), k, asked[k])),  # type: ignore[misc]
        )
    for kind in catalogue.PICTURES:
        yield (
            f"page {kind}",
            lambda store, k=kind: catalogue.picture(OpenRuns(store).version(name), k, asked[k]).data,  # type: ignore[misc]
        )

    def run(store: str) -> bytes:
        opened = OpenRuns(store)
        return encode(about.about(opened.version(name), opened.numbers(name)))

    yield "page run", run


@contextmanager
def reading() -> Iterator[set[Path]]:
    """Give the files of results that the block reads, manifests included; a folder of files stands for all of them."""
    seen: set[Path] = set()
    real, of_record = Result.file, results._read

    def file(self: Result, name: str) -> Path:
        path = real(self, name)
        seen.update(path.rglob("*") if path.is_dir() else [path])
        return path

    def record(path: Path, name: str) -> bytes:
        seen.add(path)
        return of_record(path, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Result, "file", file)
        patch.setattr(results, "_read", record)
        yield seen
