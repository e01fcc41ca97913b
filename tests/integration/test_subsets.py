"""Subsets of a listing: by condition, label, sample, keys and growth; reused shards; parts from stored peaks."""

from __future__ import annotations

import itertools
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import corpus

from flows import guarded_sql
from flows.config import RunConfig, make
from flows.dry_run import estimate
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.pipeline.summary import Summary
from flows.stages import collect
from flows.stages.shared import stored_parts
from storage.errors import UsageError
from storage.images.listing import listing
from storage.images.shards import chosen_shards, living, shards
from storage.images.sources import open_source
from storage.run import Run, open_run

LAYER, OTHER = corpus.LAYERS


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"), 60)


def config(images: Path, store: Path, **changes: Any) -> RunConfig:
    return corpus.config(images, store, **{"until": "patches", "shard_size": 10} | changes)


@pytest.fixture(scope="module")
def store(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    pipeline.run(config(images, folder, name="whole", keep=("peaks",)), Inline())
    return folder


@pytest.fixture
def own(store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(store, tmp_path / "store"))


def subset(images: Path, store: Path, **changes: Any) -> tuple[Summary, Run]:
    summary = pipeline.run(config(images, store, **{"name": "part", "until": "collect"} | changes), Inline())
    return summary, open_run(store, "part")


def rows(run: Run) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run.images().to_pylist()
    return found


def test_a_condition_chooses_images(images: Path, own: Path) -> None:
    summary, run = subset(images, own, where="label = 'stripes' AND bytes > 0 -- all of them")
    expected = [row for row in rows(open_run(own, "whole")) if row["label"] == "stripes"]
    assert rows(run) == expected
    assert summary.images == len(expected) == run.version.about["subset"]["images"]
    assert run.version.about["subset"] == {"images": len(expected), "of": 60, "labels": {"stripes": len(expected)}}
    assert set(run.samples(LAYER).image_id.tolist()) == {row["image_id"] for row in expected}


def test_columns_of_a_table_are_joined_by_key(images: Path, own: Path, tmp_path: Path) -> None:
    named = [(row["key"], row["image_id"] % 3) for row in rows(open_run(own, "whole"))][:50]
    pq.write_table(
        pa.table({"file": [key for key, _ in named], "camera": [camera for _, camera in named]}), tmp_path / "t.parquet"
    )
    (tmp_path / "t.csv").write_text("path,camera\n" + "".join(f"{key},{camera}\n" for key, camera in named))
    expected = {key for key, camera in named if camera == 1}
    for file in ("t.parquet", "t.csv"):
        _, run = subset(images, own, where="camera = 1", table=str(tmp_path / file))
        assert {row["key"] for row in rows(run)} == expected


def test_labels_and_samples_are_chosen_by_hash(images: Path, own: Path) -> None:
    hashed = living(listing(open_source(images))).to_pylist()
    by_hash = sorted(hashed, key=lambda row: row["key_hash"])
    _, run = subset(images, own, per_label=4)
    for label in {row["label"] for row in hashed}:
        first = [row["key"] for row in by_hash if row["label"] == label][:4]
        assert {row["key"] for row in rows(run) if row["label"] == label} == set(first)
    _, run = subset(images, own, sample=7)
    assert {row["key"] for row in rows(run)} == {row["key"] for row in by_hash[:7]}


def test_keys_are_listed_in_a_file(images: Path, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = [row["key"] for row in rows(open_run(own, "whole"))][10:20]
    (tmp_path / "keys.txt").write_text("\n".join([*keys, "nowhere.png"]) + "\n")
    _, run = subset(images, own, keys=str(tmp_path / "keys.txt"))
    assert {row["key"] for row in rows(run)} == set(keys)


def test_options_narrow_one_after_another(images: Path, own: Path) -> None:
    _, run = subset(images, own, where="label <> 'stripes'", per_label=5, sample=8, limit=6)
    found = rows(run)
    assert len(found) == 6
    assert max(Counter(row["label"] for row in found).values()) <= 5
    assert "stripes" not in {row["label"] for row in found}


def test_a_run_grows_until_all_are_in(images: Path, tmp_path: Path) -> None:
    seen = []
    for _ in range(4):
        summary, run = subset(images, tmp_path / "s", grow=25)
        seen.append([row["image_id"] for row in rows(run)])
    assert [len(ids) for ids in seen] == [25, 50, 60, 60]
    assert seen[0] == seen[1][:25]
    assert seen[1] == seen[2][:50]
    assert not [o for o in summary.outcomes if o.computed and o.output.stage != "listing"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"where": "label = 'none'"}, r"--where label = 'none': none of the 60 images is chosen"),
        ({"where": "colour = 1"}, r"--where colour = 1: .*colour"),
        ({"where": "1); DROP TABLE images; --"}, "--where .*"),
        ({"where": "key IN (SELECT * FROM read_csv('/etc/passwd'))"}, "--where .*"),
        ({"where": "true) UNION ALL SELECT 'x' WHERE (true"}, "--where .*"),
        ({"keys": "missing.txt"}, "--keys missing.txt: No such file"),
        ({"where": "a = 1", "table": "missing.csv"}, "--table missing.csv: No such file"),
    ],
)
def test_what_cannot_be_chosen_is_one_line(images: Path, own: Path, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError, match=line) as caught:
        subset(images, own, **changes)
    assert "\n" not in str(caught.value)


def test_no_setting_hides_what_prefect_calls() -> None:
    """A flow's parameter is passed through `dict`, which calls `keys` where there is one."""
    assert not set(RunConfig.model_fields) & set(dir(dict))
    assert dict(make({"images": "x"}))["images"] == "x"


def test_a_table_without_a_condition_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--table t\.csv gives columns to --where"):
        make({"images": "x", "table": "t.csv"})


def test_a_dry_run_counts_what_a_subset_has(images: Path, own: Path) -> None:
    answer = estimate.estimate(config(images, own, name="part", where="label = 'stripes'"))
    assert answer["subset"] == subset(images, own, where="label = 'stripes'")[1].version.about["subset"]


def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the images that pass through the model."""
    counts: list[int] = []
    of_images = collect._pass

    def counted(model: Any, rows: pa.Table, *args: Any) -> Any:
        counts.append(len(rows))
        return of_images(model, rows, *args)

    monkeypatch.setattr(collect, "_pass", counted)
    return counts


def test_a_subset_comes_from_stored_peaks_as_from_a_pass(
    images: Path, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = "label = 'stripes'"
    _, passed = subset(images, tmp_path / "fresh", where=where, keep=("peaks",), until="layout")
    counts = passes(monkeypatch)
    _, run = subset(images, own, where=where, keep=("peaks",), until="layout")
    assert counts == []
    for layer in (LAYER, OTHER):
        assert np.array_equal(run.layout(layer), passed.layout(layer))
    digests = [
        {(e.stage, e.layer, e.shard): (e.key, e.manifest) for e in r.version.stages if e.stage != "listing"}
        for r in (run, passed)
    ]
    assert digests[0] == digests[1]


def test_without_peaks_images_pass_again(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.run(config(images, tmp_path / "s", name="whole", until="collect"), Inline())
    counts = passes(monkeypatch)
    subset(images, tmp_path / "s", where="label = 'stripes'")
    assert sum(counts) == 20


def test_shards_of_which_all_images_are_chosen_are_reused(images: Path, own: Path) -> None:
    keys = [row["key"] for row in rows(open_run(own, "whole"))][:25]
    summary, _ = subset(images, own, where=f"key IN ({', '.join(map(repr, keys))})")
    whole = {e.key for e in open_run(own, "whole").version.stages if e.stage == "collect"}
    reused = [o for o in summary.outcomes if o.output.stage == "collect" and o.output.key in whole]
    assert len(reused) == 2 * 2  # two whole shards of ten images, two layers


def test_shards_of_a_subset_hold_its_images_in_order(images: Path) -> None:
    table = listing(open_source(images))
    rng = random.Random(0)
    for size in (1, 7, 10, 64):
        whole = {shard.rows_key for shard in shards(table, None, size)}
        for count in (1, 5, 30, 59, 60):
            ids = np.array(sorted(rng.sample(range(60), count)))
            cut = chosen_shards(table, ids, size)
            assert [i for shard in cut for i in shard.rows["image_id"].to_pylist()] == ids.tolist()
            assert all(len(shard.rows) <= size for shard in cut)
            assert all(a.stop <= b.first for a, b in itertools.pairwise(cut))
            if count == 60:
                assert {shard.rows_key for shard in cut} == whole


def test_mutant_counts_of_ties_that_are_not_of_the_subset(
    images: Path, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_parts, "_sharing", lambda peaks, number, extreme: np.full(len(extreme), 60))
    with pytest.raises(AssertionError):
        test_a_subset_comes_from_stored_peaks_as_from_a_pass(images, own, tmp_path, monkeypatch)


def test_mutant_samples_of_images_that_are_not_chosen(
    images: Path, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_parts, "_samples", lambda parts, ids: stored_parts.sample_arrays.read_whole(parts[0]))
    with pytest.raises((AssertionError, ValueError)):
        test_a_subset_comes_from_stored_peaks_as_from_a_pass(images, own, tmp_path, monkeypatch)


def test_a_limited_run_gives_no_part_of_what_it_has_not_passed(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last shard holds one of two chosen images, or none of them."""
    for keep in (("peaks",), ()):
        store = tmp_path / f"s{len(keep)}"
        pipeline.run(config(images, store, name="some", limit=25, keep=keep, until="collect"), Inline())
        for ids in ((22, 33), (31, 33)):
            _, run = subset(images, store, where=f"image_id IN {ids}")
            assert sorted(set(run.samples(LAYER).image_id.tolist())) == list(ids)


def test_a_damaged_whole_shard_is_passed_again(images: Path, own: Path) -> None:
    part = open_run(own, "whole").results("peaks", LAYER)[0]
    file = next(path for path in (part.path / "peaks.zarr").rglob("*") if path.is_file() and path.name != "zarr.json")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    _, run = subset(images, own, where="image_id IN (1, 3)")
    assert sorted(set(run.samples(LAYER).image_id.tolist())) == [1, 3]


def test_several_patches_an_image_are_no_part_of_peaks(
    images: Path, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several: dict[str, Any] = {"patches_per_image": 2, "until": "patches"}
    pipeline.run(config(images, own, name="several", **several), Inline())
    where = "image_id IN (1, 3, 12)"
    _, run = subset(images, own, where=where, **several)
    _, fresh = subset(images, tmp_path / "fresh", where=where, **several)
    assert run.patches(LAYER, 0).equals(fresh.patches(LAYER, 0))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("camera\n1\n", "--table .*: needs a column key, has camera"),
        ("key,Label\na,b\n", "--table .*: the listing has a column label, too; rename it"),
        ("key,Camera,camera\na,b,c\n", "--table .*: has two columns camera, as SQL reads it; rename one"),
        ("key,camera\nnowhere,1\n", "--table .*: none of its 1 keys is the key of an image"),
    ],
)
def test_a_table_that_does_not_fit_is_one_line(images: Path, own: Path, tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UsageError, match=line):
        subset(images, own, where="camera = 1", table=str(tmp_path / "t.csv"))


def test_keys_that_look_like_numbers_are_text(tmp_path: Path) -> None:
    corpus.write_images(tmp_path / "in", 6)
    (tmp_path / "t.csv").write_text("image_id,good\n" + "".join(f"{i:04d},{i % 2}\n" for i in range(6)))
    _, run = subset(tmp_path / "in", tmp_path / "s", where="good = 1", table=str(tmp_path / "t.csv"))
    assert sorted(row["key"][-8:-4] for row in rows(run)) == ["0001", "0003", "0005"]


def test_an_interrupt_that_duckdb_sees_first_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise duckdb.InterruptException

    monkeypatch.setattr(guarded_sql, "_prepare", interrupted)
    with pytest.raises(KeyboardInterrupt):
        guarded_sql.ask({}, "SELECT 1")
    with pytest.raises(UsageError, match=r"took longer than 0 s; narrow it$"):  # `run` has no option to raise
        guarded_sql.ask({}, "SELECT 1", guarded_sql.Limits(seconds=0))
    with pytest.raises(UsageError, match="narrow it, or raise --time-limit"):
        guarded_sql.ask({}, "SELECT 1", guarded_sql.Limits(seconds=0, options=True))
