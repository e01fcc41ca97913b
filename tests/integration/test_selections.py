"""Atlases of stored samples: the same as a run over the selected images, bit by bit, and neither images nor a model used."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from support import corpus, viewing

from flows import cli, guarded_sql
from flows.audit import images as audited
from flows.config import RunConfig, make
from flows.dry_run import estimate
from flows.model import prepared
from flows.pipeline import layout_frames, selections
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.pipeline.summary import Summary
from flows.questions import runs, samples, sql
from flows.stages import selection
from flows.stages.shared import reading
from flows.viewer.answers import reproduce
from storage.artefacts import images as image_tables
from storage.artefacts import samples as sample_arrays
from storage.errors import ActlasError
from storage.run import Run, open_run
from storage.store.store import Store

LAYER, OTHER = corpus.LAYERS
STRIPES = "label = 'stripes'"
MADE_ANEW = {"selection", "layout", "moment", "cells", "members", "icons", "tiles"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Images, and the store of a run over them with the attribution of its samples to classes."""
    return viewing.shared_run(tmp_path_factory)


@pytest.fixture
def images(shared: tuple[Path, Path]) -> Path:
    return shared[0]


@pytest.fixture
def store(shared: tuple[Path, Path], tmp_path: Path) -> Path:
    return viewing.copied(shared[1], tmp_path)


def config(store: Path, **changes: Any) -> RunConfig:
    settings = {"store": str(store), "name": "part", "of": "small", "until": "cells"} | changes
    return RunConfig(**{name: value for name, value in settings.items() if value is not None})


def select(store: Path, **changes: Any) -> tuple[Summary, Run]:
    asked = config(store, **changes)
    return pipeline.run(asked, Inline()), open_run(store, asked.name)


def over(images: Path, folder: Path, keys: list[str], **changes: Any) -> Run:
    """Run the model over these images alone, in a store of their own."""
    folder.mkdir()
    (folder / "keys.txt").write_text("\n".join(keys))
    settings = {"name": "fresh", "keys": str(folder / "keys.txt"), "grids": (2, 4), "min_count": 1, "until": "cells"}
    pipeline.run(corpus.config(images, folder / "store", **(settings | changes)), Inline())
    return open_run(folder / "store", "fresh")


def keys(run: Run) -> list[str]:
    found: list[str] = run.images()["key"].to_pylist()
    return found


def made(summary: Summary) -> dict[str, int]:
    counts: dict[str, int] = {}
    for outcome in summary.outcomes:
        counts[outcome.output.stage] = counts.get(outcome.output.stage, 0) + outcome.computed
    return {stage: number for stage, number in counts.items() if number}


def assert_same(a: Run, b: Run) -> None:
    assert a.images().equals(b.images())
    assert a.grids == b.grids
    for layer in (LAYER, OTHER):
        for name in sample_arrays.FIELDS:
            mine, other = (getattr(run.samples(layer), name) for run in (a, b))
            assert mine.dtype == other.dtype
            assert mine.tobytes() == other.tobytes()
        assert a.layout(layer).tobytes() == b.layout(layer).tobytes()
        for grid in a.grids:
            assert a.cell_facts(layer, grid).mean.tobytes() == b.cell_facts(layer, grid).mean.tobytes()


@pytest.mark.parametrize("layout", ["pca", "umap"])
def test_a_selection_of_images_equals_a_run_over_them(images: Path, store: Path, tmp_path: Path, layout: str) -> None:
    _, run = select(store, where=STRIPES, layout=layout)
    chosen = [row["key"] for row in open_run(store, "small").images().to_pylist() if row["label"] == "stripes"]
    assert keys(run) == chosen
    assert len(chosen) > 10
    assert_same(run, over(images, tmp_path / "fresh", chosen, layout=layout))


def test_mutant_samples_beside_the_selected_ones(
    images: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = sample_arrays.take
    monkeypatch.setattr(sample_arrays, "take", lambda parts, numbers: take(parts, np.maximum(numbers - 1, 0)))
    with pytest.raises(AssertionError):
        test_a_selection_of_images_equals_a_run_over_them(images, store, tmp_path, "pca")


def test_neither_images_nor_the_model_are_looked_at(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def looked(*_: Any, **__: Any) -> None:
        raise AssertionError("looked at")

    for module, name in ((prepared, "load"), (reading, "open_source")):
        monkeypatch.setattr(module, name, looked)
    summary, _ = select(store, where=STRIPES)
    assert made(summary) == {"selection": 2, "layout": 2, "moment": 2, "cells": 4}
    with pytest.raises(AssertionError, match="looked at"):
        select(store, where=STRIPES, until="icons")


def test_the_rest_is_made_anew_or_the_source_s_own(store: Path) -> None:
    summary, run = select(store, of_class="honeycomb", until=None)
    source = open_run(store, "small")
    assert set(made(summary)) == MADE_ANEW
    mine = {(e.stage, e.layer, e.shard, e.grid): e.key for e in run.version.stages}
    its = {(e.stage, e.layer, e.shard, e.grid): e.key for e in source.version.stages}
    assert {stage for stage, *_ in mine} == {stage for stage, *_ in its} - {"collect", "attribution"} | {"selection"}
    assert all(key == its[place] for place, key in mine.items() if place[0] not in MADE_ANEW)
    assert run.patches(LAYER, 3).equals(source.patches(LAYER, 3))
    assert {row["cosine"] is None for row in sql.ask(run, "SELECT cosine FROM icons")} == {False}


def test_the_same_question_computes_nothing_and_another_does(store: Path) -> None:
    select(store, where=STRIPES)
    summary, run = select(store, where=f"  {STRIPES} AND true")
    assert made(summary) == {}
    assert run.number == 2  # the version says what it was asked
    assert made(select(store, where="label <> 'stripes'")[0])["selection"] == 2
    assert made(select(store, where=STRIPES, name="again")[0]) == {}


def test_a_changed_source_is_selected_from_anew(images: Path, store: Path) -> None:
    first, _ = select(store, where=STRIPES)
    pipeline.run(corpus.config(images, store, grids=(2, 4), min_count=1, seed=1, until="layout"), Inline())
    second, run = select(store, where=STRIPES)
    assert made(second)["selection"] == 2
    assert run.version.about["selection"]["version"] == 2
    pinned, _ = select(store, where=STRIPES, of="small@1")
    assert made(pinned) == {}
    assert first.images == second.images


def test_a_selection_outlives_its_source(images: Path, tmp_path: Path) -> None:
    store, first = tmp_path / "s", {"grids": (2,), "min_count": 1, "layers": (LAYER,), "limit": 20}
    pipeline.run(corpus.config(images, store, **first), Inline())
    _, run = select(store, where=STRIPES, until=None)
    points, cell = run.layout(LAYER), run.cells(LAYER, 2)
    collected = open_run(store, "small").sample_results(LAYER)[0].key
    pipeline.run(corpus.config(images, store, **first, seed=1, until="layout"), Inline())
    assert cli.invoke(["gc", "--older-than", "0", "--keep", "1", "--store", str(store)]) == 0
    assert Store(store).find("collect", collected) is None
    again = open_run(store, "part")
    assert cli.invoke(["verify", "part", "--store", str(store)]) == 0
    assert np.array_equal(again.layout(LAYER), points)
    assert np.array_equal(again.cells(LAYER, 2).icon, cell.icon)
    assert runs.show_run(again)["selection"]["of"] == "small"


def attributed(run: Run, layer: str, name: str) -> dict[int, float]:
    """Return what each sample adds to the score of a class, read sample by sample."""
    index = list(viewing.CLASSES).index(name)
    found: dict[int, float] = {}
    for grid in run.grids:
        stored = run.attribution(layer, grid)
        for sample, classes, values in zip(stored.sample, stored.sample_classes, stored.sample_values, strict=True):
            found |= {int(sample): float(v) for c, v in zip(classes, values, strict=True) if c == index}
    return found


def strongest(values: dict[int, float], number: int) -> list[int]:
    best = sorted((sample for sample, value in values.items() if value > 0), key=lambda s: (-values[s], s))
    return sorted(best[:number])


def places(run: Run, layer: str) -> list[tuple[int, int, int]]:
    samples = run.samples(layer)
    return list(zip(samples.image_id.tolist(), samples.y.tolist(), samples.x.tolist(), strict=True))


def test_a_class_atlas_has_the_samples_that_speak_most_for_it(store: Path) -> None:
    _, run = select(store, of_class="honeycomb", strongest=15)
    source = open_run(store, "small")
    for layer in (LAYER, OTHER):
        expected = strongest(attributed(source, layer, "honeycomb"), 15)
        assert len(expected) == 15
        assert places(run, layer) == [places(source, layer)[number] for number in expected]
        assert run.version.about["selection"]["layers"][layer]["samples"] == 15


def test_mutant_a_class_atlas_of_the_weakest(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = selection._strongest
    monkeypatch.setattr(selection, "_strongest", lambda value, numbers, most: of(1 / value, numbers, most))
    with pytest.raises(AssertionError):
        test_a_class_atlas_has_the_samples_that_speak_most_for_it(store)


def test_two_classes_are_ranked_from_left_to_right(store: Path) -> None:
    a, b = "honeycomb", "tiger cat"
    _, run = select(store, of_class=a, against=b, strongest=20)
    _, plain = select(store, where="sample IN (SELECT 1)", name="other")  # any other question
    source = open_run(store, "small")
    for layer in (LAYER, OTHER):
        for_a, for_b = (attributed(source, layer, name) for name in (a, b))
        chosen = sorted({*strongest(for_a, 20), *strongest(for_b, 20)})
        assert places(run, layer) == [places(source, layer)[number] for number in chosen]
        gaps = [for_a.get(sample, 0.0) - for_b.get(sample, 0.0) for sample in chosen]
        ranks = [(sum(x < gap for x in gaps) + sum(x <= gap for x in gaps)) / (2 * len(gaps)) for gap in gaps]
        np.testing.assert_allclose(run.layout(layer)[:, 0], ranks, atol=1e-6)
        listed = ", ".join(map(str, chosen))
        _, flat = select(store, where=f"layer <> '{layer}' OR sample IN ({listed})", name="flat", layers=(layer,))
        assert np.array_equal(run.layout(layer)[:, 1], flat.layout(layer)[:, 1])
    assert plain.number == 1


def test_samples_are_a_table(store: Path) -> None:
    run = open_run(store, "small")
    query = f"SELECT * FROM samples WHERE layer = '{LAYER}' ORDER BY sample"
    rows = sql.ask(run, query)
    samples, points, every = run.samples(LAYER), run.layout(LAYER), {r["image_id"]: r for r in run.images().to_pylist()}
    values = {name: attributed(run, LAYER, name) for name in viewing.CLASSES}
    assert [row["sample"] for row in rows] == list(range(len(samples.y)))
    for row in rows[::7]:
        number = row["sample"]
        image = every[int(samples.image_id[number])]
        assert {name: row[name] for name in ("image_id", "key", "label", "width")} == {
            name: image[name] for name in ("image_id", "key", "label", "width")
        }
        assert row["name"] == Path(image["key"]).name
        assert (row["y"], row["x"]) == (samples.y[number], samples.x[number])
        assert row["norm"] == pytest.approx(float(np.sqrt((samples.activations[number] ** 2).sum())), rel=1e-5)
        assert (row["layout_x"], row["layout_y"]) == pytest.approx(tuple(points[number].tolist()))
        choice = run.choices([image["image_id"]]).to_pylist()[0]
        assert choice["rank"] == 0
        assert row["first_choice"] == viewing.CLASSES[choice["class"]]
        assert row["probability"] == choice["probability"]
        its = {name: values[name][number] for name in values if number in values[name]}
        assert dict(row["attribution"]) == pytest.approx(its)
        assert row["strongest_class"] == max(its, key=lambda name: its[name])


@pytest.mark.parametrize(
    ("where", "column"),
    [
        ("strongest_class = 'honeycomb'", "strongest_class"),
        ("first_choice <> 'honeycomb' AND probability > 0.2", "first_choice, probability"),
        ("attribution['honeycomb'] > 0", "attribution"),
        ("norm > 1 AND y < 3", "norm"),
        ("layout_x < 0.5 AND bytes > 0", "layout_x"),
        ("image_id IN (SELECT image_id FROM samples WHERE x > 2)", "x"),
    ],
)
def test_any_column_selects(store: Path, where: str, column: str) -> None:
    _, run = select(store, where=where, layers=(LAYER,))
    source = open_run(store, "small")
    fitting = sql.ask(
        source, f"SELECT sample FROM samples WHERE layer = '{LAYER}' AND ({where}) ORDER BY sample, {column}"
    )
    assert places(run, LAYER) == [places(source, LAYER)[row["sample"]] for row in fitting]


READ = {"norm": "_norms", "facts": "_facts", "choices": "_choices", "classes": "_classes"}


@pytest.mark.parametrize(
    ("query", "reads"),
    [
        ("SELECT count(*) FROM samples", set()),
        ("SELECT sample, y * x FROM samples -- the norm is not", {"norm"}),
        ("SELECT count(*) AS n FROM images AS i, samples AS s WHERE i.image_id = s.image_id", set()),
        ("SELECT max(width * height) FROM samples", {"facts"}),
        ("SELECT * FROM samples", set(READ)),
        ('FROM "samples"', set(READ)),
        ("SELECT s.* FROM main.samples AS s", set(READ)),
        ("SELECT image_id FROM samples NATURAL JOIN images", set(READ)),
        ("SELECT (SELECT max(norm) FROM samples) AS best FROM classes", {"norm"}),
        ("SELECT n FROM (SELECT sample AS n FROM (SELECT sample, y FROM Samples))", set()),
        ("SELECT samples FROM units LIMIT 0", set()),
    ],
)
def test_what_a_query_reads_of_samples(
    store: Path, query: str, reads: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()

    def watched(name: str) -> Any:
        of = getattr(samples, READ[name])
        return lambda *given: seen.add(name) or of(*given)

    for name, function in READ.items():
        monkeypatch.setattr(samples, function, watched(name))
    try:
        assert sql.ask(open_run(store, "small"), query)
    except ActlasError as error:
        assert "samples" in str(error).rpartition("(tables: ")[2]  # noqa: PT017
    assert seen == reads


def test_answers_of_many_rows_are_no_dicts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded_sql, "_rows", lambda *_: pytest.fail("a dict per row"))
    table, number = pa.table({"a": np.arange(3_000_000)}), 3_000_000
    got = guarded_sql.column({"t": lambda: table}, "SELECT a FROM t WHERE a % 3 = 1")
    assert np.array_equal(got.to_numpy(), np.arange(1, number, 3))
    for query, line in (("DROP TABLE t", "single SELECT"), ("SELECT b FROM t", '"b" not found.* tables: t|tables: t')):
        with pytest.raises(ActlasError, match=line):
            guarded_sql.column({"t": lambda: table}, query)


def test_a_shard_is_asked_for_its_own_images_only(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, read, asked = open_run(store, "small"), image_tables.read_rows, list[int]()

    def seen(result: Any, file: str, ids: Any, columns: Any = None) -> Any:
        asked.append(len(ids))
        return read(result, file, ids, columns)

    expected, every = run.choices(), [*range(-50, 500)]
    monkeypatch.setattr(image_tables, "read_rows", seen)
    assert image_tables.read_choices(run.results("choices"), every).equals(expected)
    assert sum(asked) == 40


def test_a_class_that_none_speaks_for_is_told_of_those_that_fit(store: Path) -> None:
    source = open_run(store, "small")
    values = attributed(source, LAYER, "honeycomb")
    against = [sample for sample, value in values.items() if value <= 0]
    assert against
    listed = ", ".join(map(str, against))
    line = (
        rf"of the {len(against)} samples of features\.2 that fit the condition and whose .* stored, none speaks for it"
    )
    for other in (None, "honeycomb"):
        with pytest.raises(ActlasError, match=line):
            select(store, layers=(LAYER,), of_class="honeycomb", against=other, where=f"sample IN ({listed})")
    with pytest.raises(ActlasError, match=r"none of the 80 samples of features\.2 is selected"):
        select(store, layers=(LAYER,), of_class="honeycomb", where="false")


def test_who_might_say_as_much() -> None:
    value = np.array([3, np.nan, np.nan, np.nan, 2, np.nan], np.float32)
    fifth = np.array([1, 2, 1.9, -1, 1, np.nan], np.float32)
    found = selection._unsure(value, fifth, np.array([3, 2], np.float32), 2)
    assert found.tolist() == [False, True, False, False, False, False]
    assert selection._unsure(value, fifth, value[[0, 4]], 5).tolist() == [False, True, True, False, False, False]


def test_a_value_that_starts_like_an_option_is_printed_with_it(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["run", "--of", "small", "--where=-norm < -0.1", "--name", "part", "--until", "layout", "--layout", "pca"]
    assert cli.invoke([*asked, "--engine", "inline", "--store", str(store)]) == 0
    command = reproduce.run_command(open_run(store, "part"), str(store))
    assert "--where='-norm < -0.1'" in command
    words = shlex.split(command)
    capsys.readouterr()
    again = [*words[words.index("actlas") + 1 :], "--until", "layout", "--engine", "inline"]
    assert cli.invoke(again) == 0, capsys.readouterr().err
    assert open_run(store, "part").version.about["selection"]["by"] == {"where": "-norm < -0.1"}
    with pytest.raises(ActlasError, match="--where=-norm < -1e9: none"):
        select(store, where="-norm < -1e9")


def test_a_selection_of_a_selection(store: Path) -> None:
    _, whole = select(store, where="label <> 'noise'", until="tiles")
    _, run = select(store, of="part", name="narrow", where=STRIPES)
    _, direct = select(store, where=STRIPES, name="direct")
    assert_same(run, direct)
    record = run.version.about["selection"]
    assert (record["of"], record["of_images"]) == (whole.name, len(whole.images()))
    assert record["of_images"] < runs.images_of_units(run) == runs.images_of_units(open_run(store, "small")) == 40


def test_everything_is_what_a_selection_can_have(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary, run = select(store, where=STRIPES, extras=("everything",))
    assert made(summary)["attribution"] == 4
    assert run.version.about["config"]["extras"] == ["attribution"]
    _, early = select(store, where=STRIPES, extras=("everything",), until="layout", name="early")
    assert "extras" not in early.version.about["config"]


def test_what_is_not_taken_over_is_said_truly(images: Path, tmp_path: Path) -> None:
    names = ("features.0", LAYER, OTHER)
    asked = {"layers": names, "limit": 20, "extras": ("influence",), "grids": (2,), "min_count": 1, "until": "cells"}
    pipeline.run(corpus.config(images, tmp_path / "s", **asked), Inline())
    for layers, layer, line in (
        (
            (names[0], OTHER),
            names[0],
            r"part@\d has no influence of features\.0, a selection: not taken over; ask small@1",
        ),
        ((names[0], OTHER), OTHER, r"no influence of features\.5: no layer of the run comes after it"),
        ((LAYER,), LAYER, r"no influence of features\.2: no layer of the run comes after it"),
    ):
        _, run = select(tmp_path / "s", layers=layers, layout="pca")
        with pytest.raises(ActlasError, match=line):
            run.result("influence", layer)
    with pytest.raises(
        ActlasError, match=r"part@\d has no gallery of features\.2, a selection: not taken over; ask small@1"
    ):
        run.result("gallery", LAYER)


def test_a_run_stays_of_its_kind(images: Path, store: Path) -> None:
    select(store, where=STRIPES)
    over_images = corpus.config(images, store, name="part")
    line = r"--name part: part@1 is a selection of small, and this is a run over --images .*; give it another name"
    for make_it in (lambda: pipeline.run(over_images, Inline()), lambda: estimate.estimate(over_images)):
        with pytest.raises(ActlasError, match=line):
            make_it()
    pipeline.run(corpus.config(images, store, name="plain", until="listing"), Inline())
    line = r"--name plain: plain@1 is a run over .*, and --of small makes a selection; give it another name"
    for make_it in (lambda: select(store, name="plain"), lambda: estimate.estimate(config(store, name="plain"))):
        with pytest.raises(ActlasError, match=line):
            make_it()


def framed(store: Path, question: layout_frames.Question | None) -> bool:
    frames = layout_frames.Frames(Store(store), config(store, layout="pca"), question)
    return frames.choose(LAYER, ["others"], lambda frame: "none") is not None


def test_frames_are_those_of_the_same_question(store: Path) -> None:
    select(store, where=STRIPES, layout="pca")
    assert framed(store, ("small", {"where": STRIPES}))
    assert not framed(store, None)
    assert not framed(store, ("other", {"where": STRIPES}))
    assert not framed(store, ("small", {"where": STRIPES, "class": "honeycomb"}))


def test_mutant_frames_of_any_version(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_frames, "_question", lambda version: None)
    with pytest.raises(AssertionError):
        test_frames_are_those_of_the_same_question(store)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"of": "nothing"}, r"no run 'nothing' in .*small"),
        ({"of": "small@7"}, r"small.*7"),
        (
            {"layers": ("features.9",)},
            r"--layers features\.9: small@1 has no such layer; it has features\.2, features\.5",
        ),
        ({"where": "label = 'none'"}, r"--where label = 'none': none of the 80 samples of features\.2 is selected"),
        ({"where": "colour = 1"}, r"--where colour = 1: .*colour"),
        ({"where": "true) UNION ALL SELECT 'x' WHERE (true"}, r"--where .*"),
        ({"where": "key IN (SELECT * FROM read_csv('/etc/passwd'))"}, r"--where .*"),
        (
            {"where": "sample < 5", "layout": "umap"},
            r"--where sample < 5: 5 of the 80 .* a layout needs 12; ask for more",
        ),
        ({"of_class": "sea lion"}, r"the model has no class 'sea lion'; nearest: .*"),
        ({"of_class": "honeycomb", "against": "7"}, r"the model has no class 7; its classes are 0 to 3"),
        ({"seed": 5}, r"--seed 5 contradicts small@1, which was made with 0; drop it"),
        ({"images": "elsewhere"}, r"--images elsewhere contradicts small@1, which was made with .*; drop it"),
        ({"precision": "bf16"}, r"--precision bf16 contradicts small@1, which was made with fp32; drop it"),
        ({"sample": 4}, r"--sample is of a pass over images, and --of small@1 makes none; drop it, or use --where"),
        ({"keep": ("peaks",)}, r"--keep is of a pass over images"),
        ({"until": "collect"}, r"--until collect: --of small@1 passes no image; it can stop after layout, cells"),
        ({"extras": ("gallery",)}, r"--with gallery: gallery is of units, which a selection has from small@1"),
        ({"extras": ("choices",)}, r"--with choices: choices is of images, which a selection has from small@1"),
        ({"name": "small"}, r"--name small is the run that --of names"),
    ],
)
def test_what_cannot_be_selected_is_one_line(store: Path, changes: dict[str, Any], line: str) -> None:
    before = sorted(path for path in store.rglob("*") if path.is_file() and "locks" not in path.parts)
    with pytest.raises(ActlasError, match=line) as caught:
        select(store, **changes)
    assert "\n" not in str(caught.value)
    assert sorted(path for path in store.rglob("*") if path.is_file() and "locks" not in path.parts) == before


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"of": "small"}, r"--name is missing: what --of small selects becomes a run of its own"),
        ({"images": "x", "of": "small", "name": "a"}, r"--images x with --of small: .*; drop one"),
        ({"images": "x", "class": "cat"}, r"--class cat needs --of"),
        ({"of": "small", "name": "a", "against": "cat"}, r"--against cat needs --class"),
        ({"of": "small", "name": "a", "strongest": 5}, r"--strongest 5 needs --class"),
        ({}, r"--images is missing"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(ActlasError, match=line):
        make(settings)


def test_without_attribution_a_class_selects_nothing(images: Path, tmp_path: Path) -> None:
    pipeline.run(corpus.config(images, tmp_path / "s", until="cells"), Inline())
    for changes in ({"of_class": "1"}, {"where": "strongest_class = '1'"}):
        with pytest.raises(ActlasError, match=r"small@1 has no attribution yet: run it again with --with attribution"):
            select(tmp_path / "s", **changes)
    with pytest.raises(ActlasError, match=r"small@1 has no model|--until"):
        select(tmp_path / "s", until="listing")


def test_a_form_that_gives_every_setting_contradicts_nothing(store: Path) -> None:
    plain = config(store, where=STRIPES)
    filled = RunConfig.model_validate_json(plain.model_dump_json())
    assert filled.model_fields_set == set(RunConfig.model_fields)
    assert selections.resolve(filled)[1] == selections.resolve(plain)[1]


def test_a_dry_run_counts_what_a_run_computes_and_writes_nothing(store: Path) -> None:
    before = sorted(store.rglob("*"))
    answer = estimate.estimate(config(store, of_class="honeycomb", until=None))
    assert sorted(store.rglob("*")) == before
    summary, _ = select(store, of_class="honeycomb", until=None)
    assert {row["stage"]: row["computed"] for row in answer["stages"] if row["computed"]} == {
        stage: made(summary)[stage] // 2 for stage in MADE_ANEW
    }
    assert (answer["computed"], answer["reused"]) == (
        sum(outcome.computed for outcome in summary.outcomes),
        sum(not outcome.computed for outcome in summary.outcomes),
    )


def test_a_selection_is_a_run_like_any_other(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audited, "LEAST_IMAGES", 10)
    where = ["--store", str(store)]
    asked = ["run", "--of", "small", "--class", "honeycomb", "--against", "tiger cat", "--name", "part", "--grids", "2"]
    assert cli.invoke([*asked, "--engine", "inline", *where]) == 0
    for command in (
        ["runs", "show", "part"],
        ["verify", "part"],
        ["compare", "small", "part", "--no-noise"],
        ["cell", "part", LAYER, "2", "0,0"],
        ["compare", "small", "part", "--datasets"],
        ["compare", "part", "small", "--datasets", "--layer", LAYER],
        ["unit", "part", f"{LAYER}:3"],
        ["audit", "part", "--class", "class:2", "--label", "stripes", "--no-ablate"],
        ["export", "part", str(tmp_path / "out"), "--dry-run"],
    ):
        capsys.readouterr()
        assert cli.invoke([*command, *where]) == 0, (command, capsys.readouterr().err)
