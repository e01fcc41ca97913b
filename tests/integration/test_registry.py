"""One row of the registry makes a stage: options, plans, keys, tables and the page know it, with no product file touched."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from support import corpus
from support.entropy_stage import ROW

from flows import cli, registry
from flows.dry_run import estimate
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.pipeline.plan import Step
from flows.planning import costs, libraries
from flows.registry import Stage
from flows.viewer.answers import about
from flows.viewer.answers.open_runs import OpenRuns
from storage.store.store import Store

PRODUCT = registry.STAGES


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, ROW)


def register(monkeypatch: pytest.MonkeyPatch, *rows: Stage) -> None:
    monkeypatch.setattr(registry, "STAGES", (*PRODUCT, *rows))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"), 40)


@pytest.fixture(scope="module")
def store(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose run has a version without the stage, and one with it."""
    folder = tmp_path_factory.mktemp("store")
    pipeline.run(corpus.config(images, folder, until="patches"), Inline())
    with pytest.MonkeyPatch.context() as patch:
        register(patch, ROW)
        pipeline.run(corpus.config(images, folder, until="patches", extras=("entropy",)), Inline())
    return folder


# What lists stages.


HELP = """
import sys
from flows import registry
registry.STAGES += (registry.Stage(**{row!r}),)
from flows import cli
sys.exit(cli.invoke(sys.argv[1:]))
"""


def help_of(row: Stage, *command: str) -> str:
    """Return a command's help in one line: options are made when the commands are imported, so in a process of its own."""
    code = HELP.format(row=asdict(row))
    done = subprocess.run([sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, check=True)
    return " ".join(done.stdout.split())


def test_the_help_lists_it() -> None:
    assert "gallery, entropy; or everything." in help_of(ROW, "run")
    assert "gallery, entropy, classes" in help_of(ROW, "sql")


def test_mutant_a_stage_that_is_no_extra_is_not_an_extra() -> None:
    text = help_of(replace(ROW, extra=False), "run")
    assert ", gallery; or everything." in text
    assert "Stop after listing, collect, field, patches, layout, cells, members, icons or tiles" in text


def test_a_dry_run_lists_it_with_its_cost(images: Path, tmp_path: Path) -> None:
    answer = estimate.estimate(corpus.config(images, tmp_path, until="patches", extras=("entropy",)))
    rows = {row["layer"]: row for row in answer["stages"] if row["stage"] == "entropy"}
    assert {layer: (row["computed"], row["bytes"]) for layer, row in rows.items()} == {
        "features.2": (1, 12 * 8),
        "features.5": (1, 12 * 12),
    }


def ask(capsys: pytest.CaptureFixture[str], store: Path, name: str, query: str) -> Any:
    """Return what `actlas sql` answers; None where it fails."""
    code = cli.invoke(["sql", name, query, "--store", str(store), "--json"])
    output = capsys.readouterr().out
    return json.loads(output) if code == 0 else None


def entropies(patches: Sequence[dict[str, Any]]) -> dict[tuple[str, int], float]:
    """Return the entropy of the positions of each unit's patches, counted one by one."""
    bits: dict[tuple[str, int], float] = {}
    for layer, unit in {(row["layer"], row["unit"]) for row in patches}:
        counts = Counter((row["y"], row["x"]) for row in patches if (row["layer"], row["unit"]) == (layer, unit))
        shares = [count / counts.total() for count in counts.values()]
        bits[layer, unit] = -sum(share * math.log2(share) for share in shares)
    return bits


def test_it_is_a_table_of_sql(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ask(capsys, store, "small", "select layer, unit, bits from entropy")
    patches = ask(capsys, store, "small", "select layer, unit, y, x from patches")
    assert {(row["layer"], row["unit"]): row["bits"] for row in rows} == pytest.approx(entropies(patches))
    assert len({round(row["bits"], 6) for row in rows}) > 1
    assert ask(capsys, store, "small@1", "select * from entropy") is None


def test_mutant_a_list_of_tables_kept_by_hand_forgets_it(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {table: (row.name, file) for row in PRODUCT for table, file in row.tables.items()}
    monkeypatch.setattr(registry, "tables", lambda: tables)
    assert ask(capsys, store, "small", "select * from entropy") is None


def missing(store: Path, version: str) -> dict[str, str]:
    """Return the stages that a version lacks on the page, each with the command that makes it."""
    commands: dict[str, str] = about.about(OpenRuns(str(store)).version("small", version), [1, 2])["missing"]
    return commands


def test_the_page_names_the_command_that_makes_it(store: Path) -> None:
    assert missing(store, "1")["entropy"].endswith("--with entropy")
    assert missing(store, "1").keys() - missing(store, "2").keys() == {"entropy"}


def test_mutant_a_list_of_extras_kept_by_hand_forgets_it(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extras = [row.name for row in PRODUCT if row.extra]
    monkeypatch.setattr(registry, "extras", lambda: extras)
    assert "entropy" not in missing(store, "1")


# Keys.


def keys(images: Path, store: Path, *extras: str) -> dict[tuple[str, str | None, int | None, int | None], str]:
    """Plan a run; return its keys by stage and place."""
    _, outputs, *_ = estimate._plan(Store(store), corpus.config(images, store, until="patches", extras=extras))
    return {(output.stage, output.layer, output.shard, output.grid): output.key for output in outputs}


def followed(images: Path, store: Path) -> set[str]:
    """Return the changes that reach the stage's keys. No change reaches a key of another stage."""
    plain = keys(images, store, "entropy")
    installed, reached = importlib.metadata.version, set()
    changes = {
        "code": (replace(ROW, code=2), {}),
        "libraries": (replace(ROW, libraries=("pyarrow", "duckdb")), {}),
        "version": (ROW, {"pyarrow": "0"}),
    }
    for change, (row, versions) in changes.items():
        with pytest.MonkeyPatch.context() as patch:
            register(patch, row)
            patch.setattr(importlib.metadata, "version", lambda name, v=versions: v.get(name) or installed(name))
            changed = keys(images, store, "entropy")
        different = {place for place, key in changed.items() if plain[place] != key}
        assert different in (set(), {place for place in plain if place[0] == "entropy"}), change
        reached |= {change} if different else set()
    return reached


def test_its_keys_follow_its_code_and_its_libraries(images: Path, store: Path) -> None:
    assert followed(images, store) == {"code", "libraries", "version"}


def test_mutant_keys_without_libraries_follow_the_code_alone(
    images: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = libraries.of_key
    monkeypatch.setattr(libraries, "of_key", lambda stage, *more: {} if stage == "entropy" else honest(stage, *more))
    assert followed(images, store) == {"code"}


def test_the_keys_of_other_stages_stay(images: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_row = keys(images, store, "entropy")
    register(monkeypatch)
    assert keys(images, store) == {place: key for place, key in with_row.items() if place[0] != "entropy"}


def test_a_worker_must_have_its_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, replace(ROW, libraries=("duckdb",)))
    assert "duckdb" in libraries.in_keys()
    register(monkeypatch)
    assert "duckdb" not in libraries.in_keys()


# Every row.


def broken(rows: Sequence[Stage]) -> list[str]:
    """Return the rows whose module lacks `compute`, whose step has no `plan`, or whose cost law is unknown."""
    return [row.name for row in rows if not all(_facts(row))]


def _facts(row: Stage) -> Iterator[bool]:
    module = importlib.import_module(row.module)
    yield row.cost == "as_probed" or callable(getattr(module, row.cost, None) or getattr(costs, row.cost, None))
    if row.per == "source" or row.on_demand:  # written before any plan, or by a question
        return
    step = next((other for other in registry.STAGES if other.name == row.step), row)
    yield callable(getattr(module, "compute", None))
    yield callable(getattr(importlib.import_module(step.module), "plan", None))


def test_every_row_has_its_functions() -> None:
    assert broken(registry.STAGES) == []


def test_mutant_a_row_without_its_functions_is_seen() -> None:
    wrong = [replace(ROW, cost="unheard_of"), replace(ROW, module="support.corpus"), replace(ROW, step="labels")]
    assert [broken([row]) for row in wrong] == [["entropy"]] * 3
    assert broken([replace(ROW, module="support.corpus", on_demand=True, cost="nothing")]) == []


@pytest.fixture(scope="module")
def steps(images: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    """The plan of a run with every extra of the product."""
    extras = tuple(row.name for row in PRODUCT if row.extra)
    config = corpus.config(images, tmp_path_factory.mktemp("planned"), extras=extras, keep=("peaks",))
    return estimate._plan(Store(Path(config.store)), config)[0].steps()


def misplaced(rows: Sequence[Stage], steps: Sequence[Step]) -> list[str]:
    """Return the rows that no step plans, another one than theirs, or elsewhere than `per` says."""
    planned: dict[str, set[tuple[str, tuple[str, ...]]]] = {}
    for step in steps:
        for output in (output for task in step.tasks for output in task.outputs):
            planned.setdefault(output.stage, set()).add((step.stage, tuple(sorted(output.place))))
    return [row.name for row in rows if planned.get(row.name) != {(row.step or row.name, _place(row))}]


def _place(row: Stage) -> tuple[str, ...]:
    return tuple(sorted(set(row.per.split(" and ")) - {"run"}))


def test_every_row_is_planned_where_it_says(steps: list[Step]) -> None:
    assert misplaced([row for row in PRODUCT if row.per != "source" and not row.on_demand], steps) == []


def test_mutant_a_row_that_says_otherwise_is_seen(steps: list[Step]) -> None:
    cells, moment = registry.stage("cells"), registry.stage("moment")
    wrong = [replace(cells, per="layer"), replace(cells, per="run"), replace(moment, step=""), ROW]
    assert misplaced([*wrong, cells, moment], steps) == ["cells", "cells", "moment", "entropy"]
