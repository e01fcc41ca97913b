"""A metric is one row: registered here, it is in the details, in SQL and in what the page imports, with no other change."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import viewing

from flows import glossary
from flows.metrics import contrast, metrics
from flows.metrics import values as metric_values
from flows.metrics.metrics import Metric, Order
from flows.questions import sql
from flows.viewer import app, build
from flows.viewer.answers import cells, units
from flows.viewer.answers.open_runs import OpenRuns, OpenVersion
from storage.run import Run

LAYER, GRID = "features.5", 4


def crowding(run: Run, layer: str, grid: int) -> np.ndarray:
    """Return each cell's share of the samples: a metric of this test."""
    count = run.cell_facts(layer, grid).count
    return np.asarray(count / count.sum())


def swing(run: Run, layer: str) -> np.ndarray:
    """Return the distance of each unit's extremes: a metric of this test."""
    strongest, weakest = (metric_values.of_units(run, layer, row) for row in metrics.UNIT[:2])
    return np.asarray(strongest - weakest)


HERE = "test_metrics:"
CELL = (
    Metric(
        name="crowding",
        key="crowd",
        words="share of all samples",
        unit="0 to 1",
        stage="cells",
        function=HERE + "crowding",
        answer="details",
        orders=(Order("crowding", "high", "the most crowded first"),),
        shade="crowding",
    ),
    Metric(
        name="attempts",
        key="tries",
        words="tries",
        unit="",
        stage="icons",
        column="tries",
        answer="details",
        kind="count",
    ),
)
UNIT = Metric(
    name="swing", key="swing", words="swing", unit="", stage="patches", function=HERE + "swing", answer="units"
)


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> OpenVersion:
    _, store = viewing.shared_run(tmp_path_factory)
    return OpenRuns(str(store)).version("small")


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, HERE.rstrip(":"), sys.modules[__name__])
    monkeypatch.setattr(metrics, "CELL", (*metrics.CELL, *CELL))
    monkeypatch.setattr(metrics, "UNIT", (*metrics.UNIT, UNIT))


def faults(version: OpenVersion) -> list[str]:
    """Return where the registered metrics are not found, or are not what they should be."""
    run, faults = version.run, []
    expected = crowding(run, LAYER, GRID)
    details: Any = cells.details(version, LAYER, GRID)
    if not np.allclose(details.get("crowd", np.nan), expected, rtol=1e-4):
        faults.append("details")
    if details.get("tries") != run.cell_facts(LAYER, GRID).tries.tolist():
        faults.append("stored column")
    columns: Any = units.columns(version, LAYER)
    if not np.allclose(columns.get("swing", np.nan), swing(run, LAYER), rtol=1e-4):
        faults.append("units")
    schemas = app.description()["components"]["schemas"]
    if "crowd" not in schemas["CellDetails"]["required"] or "swing" not in schemas["UnitColumns"]["required"]:
        faults.append("OpenAPI")
    return faults


def test_a_registered_metric_is_in_answers_and_their_description(version: OpenVersion, registered: None) -> None:
    assert faults(version) == []


def test_mutant_metrics_that_are_not_registered_are_in_no_answer(version: OpenVersion) -> None:
    assert faults(version) == ["details", "stored column", "units", "OpenAPI"]


def test_a_registered_metric_is_a_column_of_sql(version: OpenVersion, registered: None) -> None:
    where = f"where layer = '{LAYER}' and grid = {GRID} order by row, col"
    rows = sql.ask(version.run, f"select crowding, attempts, coherence, samples from cell_metrics {where}")
    facts = version.run.cell_facts(LAYER, GRID)
    assert [row["samples"] for row in rows] == facts.count.tolist()
    assert np.allclose([row["crowding"] for row in rows], crowding(version.run, LAYER, GRID))
    assert np.allclose([row["coherence"] for row in rows], facts.coherence)
    assert [row["attempts"] for row in rows] == facts.tries.tolist()
    rows = sql.ask(version.run, f"select swing from unit_metrics where layer = '{LAYER}' order by unit")
    assert np.allclose([row["swing"] for row in rows], swing(version.run, LAYER))


def test_a_registered_metric_is_in_the_data_of_the_page(registered: None, tmp_path: Path) -> None:
    build.write_data(tmp_path)
    table = json.loads((tmp_path / "metrics.json").read_text())
    row = next(row for row in table["cell"] if row["name"] == "crowding")
    assert (row["key"], row["shade"], row["words"]) == ("crowd", "crowding", "share of all samples")
    assert row["orders"] == [{"name": "crowding", "first": "high", "words": "the most crowded first"}]
    assert "swing" in [row["name"] for row in table["unit"]]


def test_every_metric_of_cells_and_units_is_in_sql(version: OpenVersion) -> None:
    cell = sql.ask(
        version.run, f"select * from cell_metrics where layer = '{LAYER}' and grid = {GRID} order by row, col"
    )
    assert set(cell[0]) == {"layer", "grid", "row", "col"} | {row.name for row in metrics.CELL}
    one = [cells.one(version, LAYER, GRID, row["row"], row["col"]) for row in cell]
    assert [row["flat"] for row in cell] == [answer["flat"] for answer in one]
    assert np.allclose([row["contrast"] for row in cell], [answer["contrast"] for answer in one], rtol=1e-2)
    unit = sql.ask(version.run, f"select * from unit_metrics where layer = '{LAYER}' order by unit")
    columns: Any = units.columns(version, LAYER)
    for row in metrics.columns(metrics.UNIT, "units"):
        values = [line[row.name] for line in unit]
        if row.stage == "meaning":  # the run has no encoder's scores
            assert set(values) == {None}
            assert columns[row.key] is None
        else:
            assert np.allclose(values, columns[row.key], rtol=1e-2), row.name
    assert set(unit[0]) == {"layer", "unit"} | {row.name for row in metrics.UNIT}


def test_a_metric_that_the_run_lacks_is_null(version: OpenVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    has = Run.has
    monkeypatch.setattr(Run, "has", lambda run, stage, *place: stage != "icons" and has(run, stage, *place))
    assert {row["fidelity"] for row in sql.ask(version.run, "select fidelity from cell_metrics")} == {None}


def test_patches_are_decoded_only_for_a_query_that_names_their_metric(
    version: OpenVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    monkeypatch.setattr(contrast, "of_patches", lambda encoded: decoded.append(1) or 0.5)
    sql.ask(version.run, "select avg(coherence) from cell_metrics")
    assert not decoded
    sql.ask(version.run, "select avg(contrast) from cell_metrics")
    assert decoded


def test_names_of_metrics_are_words_of_the_glossary() -> None:
    rows = {(row.name, row.meaning, row.formula) for row in metrics.CELL + metrics.UNIT if row.meaning}
    assert {name for name, *_ in rows} == {
        "coherence",
        "fidelity",
        "rank",
        "weak",
        "contrast",
        "flat",
        "mis",
        "sparsity",
    }
    assert rows <= {tuple(row) for row in glossary.WORDS}


def test_names_and_keys_occur_once() -> None:
    for rows in (metrics.CELL, metrics.UNIT):
        for names in ([row.name for row in rows], [row.key for row in rows]):
            assert len(names) == len(set(names))
        assert all(bool(row.column) != bool(row.function) for row in rows)
