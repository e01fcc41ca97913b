"""What is asked of a run is answered without reading its vectors or pictures, and says what was left out and how it lies."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import brute, corpus, overflowing
from typer.testing import CliRunner

from atlas.layout import locate as locating
from flows import launch
from flows.cli import app
from flows.one_image import locate
from flows.questions import cells as cell_answers
from flows.questions import runs, sql
from flows.viewer.answers import cells as viewer
from flows.viewer.answers.open_runs import OpenVersion
from storage.artefacts import arrays, tables
from storage.artefacts import cells as cell_arrays
from storage.artefacts import samples as sample_arrays
from storage.errors import Incomplete, UsageError
from storage.memory_cache import MemoryCache
from storage.run import Run, open_run
from storage.store.store import Store

LAYER, GRID = "features.5", 4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("questions")
    config = corpus.config(corpus.write_images(folder / "images", 40), folder / "store", layers=(LAYER,))
    launch.run(config, engine="inline")
    return folder / "store"


@pytest.fixture
def run(store: Path) -> Run:
    return open_run(store, "small")


def every_cell(run: Run) -> list[dict[str, Any]]:
    facts = run.cell_facts(LAYER, GRID)
    return [
        cell_answers.cell(run, LAYER, GRID, r, c) for r, c in zip(facts.row.tolist(), facts.col.tolist(), strict=True)
    ]


def labels_by_samples(run: Run, number: int) -> Counter[str]:
    """The labels of a cell, counted from the samples themselves."""
    cells, samples = run.cells(LAYER, GRID), run.samples(LAYER)
    members = cells.members[cells.offsets[number] : cells.offsets[number + 1]]
    return Counter(run.images(sorted(set(samples.image_id[members].tolist())))["label"].to_pylist())


def test_a_cell_counts_the_labels_of_its_images(run: Run) -> None:
    for number, answer in enumerate(every_cell(run)):
        assert {row["label"]: row["images"] for row in answer["labels"]} == labels_by_samples(run, number)


def test_mutant_labels_of_the_next_image(run: Run) -> None:
    names, of = run.labels
    run.__dict__["labels"] = names, np.roll(of, 1)
    with pytest.raises(AssertionError):
        test_a_cell_counts_the_labels_of_its_images(run)


def agree_on_coherence(run: Run) -> bool:
    """Do arrays, answers, SQL and the viewer hand on the coherence of each cell?"""
    opened = OpenVersion(run)
    rows = sql.ask(run, f"select coherence from cells where layer = '{LAYER}' and grid = {GRID} order by row, col")
    told = [
        run.cells(LAYER, GRID).coherence,
        [answer["coherence"] for answer in every_cell(run)],
        [row["coherence"] for row in rows],
        viewer.details(opened, LAYER, GRID)["coherence"],
        [viewer.one(opened, LAYER, GRID, a["row"], a["col"])["coherence"] for a in every_cell(run)],
    ]
    return all(np.allclose(values, brute.coherences(run, LAYER, GRID), atol=1e-3) for values in told)


def test_the_coherence_of_a_cell_is_called_so_everywhere(run: Run) -> None:
    assert agree_on_coherence(run)
    assert "spread" not in every_cell(run)[0]
    with pytest.raises(UsageError, match="spread"):
        sql.ask(run, "select spread from cells")


@pytest.mark.parametrize("stored", ["count", "mean"])
def test_mutant_another_column_read_as_coherence(run: Run, stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = cell_arrays.array
    read = lambda cells, name, rows=None: real(cells, stored if name == "coherence" else name, rows)  # noqa: E731
    monkeypatch.setattr(cell_arrays, "array", read)
    with pytest.raises((AssertionError, TypeError, UsageError, ValueError)):
        assert agree_on_coherence(run)


def test_members_have_the_places_of_their_samples(run: Run) -> None:
    samples, group = (
        run.samples(LAYER),
        cell_arrays.read_columns(run.result("cells", LAYER, GRID), ("row", "col", "members", "image_id", "y", "x")),
    )
    for name in ("image_id", "y", "x"):
        np.testing.assert_array_equal(group[name], getattr(samples, name)[group["members"]])
    for row, col in zip(group["row"].tolist(), group["col"].tolist(), strict=True):
        for member in run.members(LAYER, GRID, row, col).to_pylist():
            place = (member["image_id"], member["y"], member["x"])
            number = member["sample"]
            assert place == (samples.image_id[number], samples.y[number], samples.x[number])
        assert "picture" not in run.member_facts(LAYER, GRID, row, col).column_names


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody read vectors, pictures or whole groups."""
    real = arrays.read_array

    def read(path: Path, name: str, rows: Any = None) -> np.ndarray:
        if name in ("activations", "pictures"):
            raise AssertionError(f"{name} of {path} are read")
        return real(path, name, rows)

    monkeypatch.setattr(arrays, "read_array", read)


def test_a_cell_is_told_without_vectors_and_pictures(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = every_cell(run)
    forbid(monkeypatch)
    fresh = Run(run.store, run.version)
    assert every_cell(fresh) == whole
    opened = OpenVersion(fresh)
    told = viewer.cell_labels(opened, LAYER, GRID)
    for number, answer in enumerate(whole):
        assert viewer.one(opened, LAYER, GRID, answer["row"], answer["col"])["labels"]
        assert told["cells"][number]


def test_mutant_cells_read_with_all_their_icons(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch)
    monkeypatch.setattr(Run, "cell_facts", Run.cells)
    with pytest.raises(AssertionError, match="pictures"):
        every_cell(Run(run.store, run.version))


def test_cells_of_before_their_images_were_written_are_read_all_the_same(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, real = every_cell(run), arrays.read_array

    def older(path: Path, name: str, rows: Any = None) -> np.ndarray:
        if (path.name, name) == ("cells.zarr", "image_id"):
            raise LookupError(name)
        return real(path, name, rows)

    monkeypatch.setattr(arrays, "read_array", older)
    assert every_cell(Run(run.store, run.version)) == whole


def test_the_next_question_reads_no_arrays(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = every_cell(run)
    monkeypatch.setattr(arrays, "read_array", lambda *_: pytest.fail("read again"))
    assert every_cell(run) == whole
    with pytest.raises(ValueError, match="read-only"):
        run.cell_facts(LAYER, GRID).mean[:] = 0


def test_what_is_kept_is_bounded() -> None:
    made, kept = [], MemoryCache(10)

    def make(number: int) -> int:
        made.append(number)
        return number

    for number in (4, 5, 4, 6, 4, 5, 11, 11):
        assert kept.get(number, lambda number=number: make(number), lambda weight: weight) == number
    assert made == [4, 5, 6, 5, 11, 11]  # 6 sends 5 away, the least lately asked for; 11 is too heavy to keep


def test_a_position_like_a_sample_is_located_where_that_lies(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, points = run.samples(LAYER), run.layout(LAYER)
    vectors = samples.activations[:6].T.reshape(-1, 2, 3)
    answer = locate.locate_activation(run, LAYER, vectors, GRID)
    found = np.array([position["point"] for position in answer["positions"]])
    np.testing.assert_allclose(found, points[:6], atol=1e-4)
    monkeypatch.setattr(sample_arrays, "read_by_shard", lambda *_: pytest.fail("read again"))
    assert locate.locate_activation(run, LAYER, vectors, GRID) == answer


def test_samples_may_come_in_any_chunks() -> None:
    rng = np.random.default_rng(0)
    samples, points = rng.normal(size=(50, 4)).astype(np.float32), rng.random((50, 2)).astype(np.float32)
    further = rng.normal(size=(20, 4)).astype(np.float32)
    whole = locating.locate(locating.anchors([samples], points), further)
    np.testing.assert_array_equal(locating.locate(locating.anchors(np.split(samples, [1, 33]), points), further), whole)
    swapped = [samples[33:], samples[:33]]  # the mutant: shards out of their order
    assert (locating.locate(locating.anchors(swapped, points), further) != whole).any()
    for wrong in ([samples[:-1]], [samples, samples[:1]]):
        with pytest.raises(ValueError, match="50 points"):
            locating.anchors(wrong, points)


def show(store: Path, *more: str) -> str:
    done = CliRunner().invoke(app, ["runs", "show", "small", "--store", str(store), *more])
    assert done.exit_code == 0, done.output
    return done.output


def test_runs_show_tells_how_well_the_layout_keeps_neighbours(store: Path, run: Run) -> None:
    record = run.layout_record(LAYER)
    assert 0 < record["trustworthiness"] <= 1
    assert json.loads(show(store, "--json"))["layouts"] == {LAYER: record}
    assert f"trustworthiness {record['trustworthiness']:.4g}" in show(store)
    assert f"samples.{LAYER}  used 80, not_finite 0" in show(store)


def by_scikit_learn(run: Run, points: np.ndarray) -> float:
    from sklearn.manifold import trustworthiness

    return float(trustworthiness(run.samples(LAYER).activations, points, n_neighbors=15, metric="cosine"))


def test_the_trustworthiness_told_is_that_of_the_layout(run: Run) -> None:
    told = run.layout_record(LAYER)["trustworthiness"]
    assert told == pytest.approx(by_scikit_learn(run, run.layout(LAYER)), abs=1e-3)  # but for near ties
    assert told != pytest.approx(by_scikit_learn(run, run.layout(LAYER)[::-1]), abs=1e-2)  # the mutant: another layout


# What is not finite.


@pytest.fixture(scope="module")
def overflown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("overflown")
    config = corpus.config(
        corpus.write_images(folder / "images", 30),
        folder / "store",
        model="support.overflowing:net",
        layers=("whole", overflowing.SOME),
        until="layout",
    )
    return config, launch.run(config, engine="inline")


def test_a_run_counts_the_bytes_that_it_wrote(overflown: Any) -> None:
    config, summary = overflown
    store = Store(Path(config.store))
    for row in summary["stages"]:
        made = [entry for entry in store.version(config.run_name).stages if entry.stage == row["stage"]]
        folders = [store.get(entry.stage, entry.key).path for entry in made if entry.layer == row["layer"]]
        files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files if file.name not in ("manifest.json", "happened.json"))
        assert row["bytes"] == size > 0, row


def scanned(run: Run, layer: str) -> dict[str, int]:
    """Count samples from their files, one by one."""
    used = left_out = 0
    for part in run.results("collect", layer):
        places = tables.read_table(part.file("positions.parquet"))
        activations = arrays.read_array(part.file("samples.zarr"), "activations")
        for y, vector in zip(places["y"].to_pylist(), activations, strict=True):
            used += y >= 0 and all(map(np.isfinite, vector))
            left_out += y >= 0 and not all(map(np.isfinite, vector))
    return {"used": int(used), "not_finite": int(left_out)}


def test_samples_left_out_are_counted(overflown: tuple[Any, dict[str, Any]]) -> None:
    config, summary = overflown
    run = open_run(config.store, "small")
    counts = {row["layer"]: {"used": row["used"], "not_finite": row["not_finite"]} for row in summary["samples"]}
    assert counts == {layer: scanned(run, layer) for layer in ("whole", "some")}
    assert counts == runs.show_run(run)["samples"]
    assert counts["whole"]["not_finite"] == 0
    assert counts["some"]["not_finite"] > 0
    assert counts["some"]["used"] == len(run.samples("some").y) == run.result("layout", "some").counts["samples"]
    assert f"not_finite {counts['some']['not_finite']}" in show(Path(config.store))


def test_mutant_samples_counted_by_their_place_alone(
    overflown: tuple[Any, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, summary = overflown
    row = next(row for row in summary["samples"] if row["layer"] == "some")
    run = open_run(config.store, "small")
    monkeypatch.setattr(sample_arrays, "_finite", lambda activations: np.ones(len(activations), bool))
    wrong = 0
    for part in run.results("collect", "some"):
        wrong += sample_arrays.counts(next(iter(sample_arrays.read_by_shard([part]))))["samples"]
    assert wrong != row["used"]


def test_the_closing_lines_say_what_was_left_out(
    overflown: tuple[Any, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.commands.run import _print_summary

    _, summary = overflown
    _print_summary(summary, "layout")
    row = next(row for row in summary["samples"] if row["layer"] == "some")
    said = capsys.readouterr().out
    assert f"some: {row['not_finite']} of {row['used'] + row['not_finite']} samples left out" in said
    assert "whole:" not in said


def test_a_layer_without_a_finite_sample_says_so(overflown: tuple[Any, dict[str, Any]]) -> None:
    config, _ = overflown
    with pytest.raises(Incomplete, match="all: all 60 samples are NaN or infinite") as raised:
        launch.run(config.model_copy(update={"layers": (overflowing.ALL,)}), engine="inline")
    assert "rejects" not in str(raised.value)


def test_what_was_not_counted_does_not_read_as_none() -> None:
    from flows.commands.store import _in_words

    assert _in_words({"used": 10, "not_finite": None}) == "used 10, not_finite not counted"
    assert _in_words({"trustworthiness": None, "notes": []}) == "trustworthiness none, notes none"


def test_shards_of_before_are_known_to_have_none_or_are_not_known() -> None:
    class Part:
        def __init__(self, **counts: int) -> None:
            self.counts = counts

    clean, dirty = Part(samples=5, nonfinite=0), Part(samples=5, nonfinite=2)
    new = Part(samples=4, nonfinite=2, samples_nonfinite=1)
    assert sample_arrays.total_counts([clean, new]) == {"used": 9, "not_finite": 1}  # type: ignore[list-item]
    assert sample_arrays.total_counts([clean, dirty]) == {"used": 10, "not_finite": None}  # type: ignore[list-item]
