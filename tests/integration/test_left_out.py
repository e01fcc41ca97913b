"""What a run leaves out is told wherever the run is; a decoder or a column that comes later computes what it can reach."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import corpus
from support.pictures import heif, photo
from support.source_forms import FORMS

from flows import cli, progress
from flows.model.images import image_of_run
from flows.pipeline.engines import Inline
from flows.pipeline.run import run
from flows.pipeline.summary import with_overviews
from flows.scheduling import run_report
from flows.viewer.answers import reproduce
from flows.viewer.answers.about import about
from flows.viewer.answers.open_runs import OpenVersion
from storage.images import contract, formats, shards
from storage.run import open_run

REMEDY = "pip install 'actlas[heif]'"


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """A list whose last item is the version of HEIF's decoder; None for none."""
    versions: list[str | None] = [None]
    for module in (contract, formats, shards):
        monkeypatch.setattr(module, "heif_version", lambda: versions[-1])
    return versions


def pngs(folder: Path, count: int = 12) -> Path:
    for number in range(count):
        (folder / f"c{number % 2}").mkdir(parents=True, exist_ok=True)
        photo(40 + number, 36).save(folder / f"c{number % 2}/{number:02}.png")
    return folder


def test_it_is_told_on_stderr_in_json_in_runs_show_on_the_page_and_in_the_report(
    tmp_path: Path, decoder: list[str | None], capsys: pytest.CaptureFixture[str]
) -> None:
    images, store = pngs(tmp_path / "in"), str(tmp_path / "s")
    for number in range(9):
        (images / f"{number}.heic").write_bytes(b"x")
    for number in range(3):
        (images / f"link{number}.png").symlink_to("/etc/hostname")
    photo(8, 8).save(images / "flat.png")
    table = tmp_path / "labels.csv"
    table.write_text("key,label\nc0/00.png,a\n" + "".join(f"x/{number}.jpg,b\n" for number in range(500)))
    words = ["run", "--images", str(images), "--labels", str(table), "--model", "support.corpus:net", "--store", store]
    words += ["--layers", "features.5", "--input-size", "32", "--name", "r", "--engine", "inline", "--until", "collect"]
    assert cli.invoke([*words, "--json"]) == 0
    told = capsys.readouterr()
    links = "3 links that point outside the folder: copy there what it points to, or give that folder to --images"
    lines = [f"not listed: 9 HEIC files: {REMEDY}", f"not listed: {links}"]
    lines.append("not labelled: 1 image without a row in the label table: add its key and label")
    for line in lines:
        assert f"\n  {line}\n" in told.err
    assert "of its 501 keys 1 match an image; 'x/0.jpg' matches none, and an image's key is '" in told.err
    counts = {
        "not_listed": {"heif": 9, "link-out-of-root": 3},
        "not_labelled": {"not-in-table": 1},
        "label_keys": {"keys": 501, "matched": 1},
    }
    summary = json.loads(told.out)
    assert {name: summary[name] for name in counts} == counts
    assert summary["remedies"]["heif"] == REMEDY
    lines.append("label table: of its 501 keys 1 match an image")
    assert cli.invoke(["runs", "show", "r", "--store", store, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {name: shown[name] for name in counts} == counts
    assert cli.invoke(["runs", "show", "r", "--store", store]) == 0
    text = capsys.readouterr().out
    assert "not_listed.heif  9\n" in text
    assert f"left_out  {'; '.join(lines)}\n" in text
    assert about(OpenVersion(open_run(store, "r")), [1])["left_out"] == lines
    report = run_report.report(summary)
    assert f"- not listed: 9 HEIC files: {REMEDY}; {links}\n- not labelled: 1 image without a row" in report
    assert cli.invoke([*words, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["not_listed"] == counts["not_listed"]


def test_a_run_that_leaves_nothing_out_records_nothing(tmp_path: Path) -> None:
    config = corpus.config(pngs(tmp_path / "in", 4), tmp_path / "s", until="collect")
    summary = run(config, Inline())
    assert not {"not_listed", "not_labelled", "label_keys"} & open_run(config.store, "small").version.about.keys()
    assert with_overviews(config, summary)["not_listed"] == {}


def test_heif_is_read_once_its_decoder_is_there(
    tmp_path: Path, decoder: list[str | None], capsys: pytest.CaptureFixture[str]
) -> None:
    images = pngs(tmp_path / "in", 4)
    (images / "c0/phone.heic").write_bytes(heif(photo(50, 40)))
    (images / "c0/named.jpg").write_bytes(heif(photo(30, 44)))
    config = corpus.config(images, tmp_path / "s", until="collect", max_rejected=0.5, shard_size=2)
    with progress.reporting(progress.for_stream(sys.stderr)):
        first = run(config, Inline())
    assert f"\n  rejected: 1 unsupported, HEIF: {REMEDY}\n" in capsys.readouterr().err
    assert (first.images, first.rejected) == (5, {"unsupported": 1})
    (row,) = open_run(config.store, "small").rejects().to_pylist()
    assert row["detail"] == f"HEIF: {REMEDY}"
    decoder.append("1.0")
    second = run(config, Inline())
    assert (second.images, second.rejected) == (6, {})
    sizes = {(row["key"], row["width"], row["height"]) for row in open_run(config.store, "small").images().to_pylist()}
    assert {("c0/phone.heic", 50, 40), ("c0/named.jpg", 30, 44)} <= sizes
    assert {outcome.output.shard for outcome in second.outcomes if not outcome.computed} > {None}
    assert all(outcome.computed is False for outcome in run(config, Inline()).outcomes)


def test_another_column_holds_other_images(tmp_path: Path) -> None:
    files = [path.read_bytes() for path in sorted(pngs(tmp_path / "in", 8).rglob("*.png"))]
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"image": files[:4], "photo": files[4:], "label": [1.0, 2.0, None, 1.0]}), file)
    for column, expected in ((None, files[:4]), ("photo", files[4:]), (None, files[:4])):
        config = corpus.config(file, tmp_path / "s", until="collect", image_column=column)
        run(config, Inline())
        opened = open_run(config.store, "small")
        table = opened.images()
        by_row = {int(row["key"].split("/")[1]): image_of_run(opened, row["image_id"]) for row in table.to_pylist()}
        assert [by_row[number] for number in range(4)] == expected
        assert sorted(table["label"].to_pylist(), key=str) == ["1", "1", "2", None]
        assert opened.version.about["config"].get("image_column") == column
        assert ("--image-column photo" in reproduce.run_command(opened, config.store)) == (column is not None)
    assert opened.version.about["not_labelled"] == {"no-label": 1}


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMS)
def test_no_form_of_a_source_ends_in_a_traceback(
    name: str, tmp_path: Path, decoder: list[str | None], capsys: pytest.CaptureFixture[str]
) -> None:
    form = FORMS[name]
    decoder.append("1.0" if form.decoder else None)
    (tmp_path / "in").mkdir()
    words = ["run", "--images", str(form.make(tmp_path / "in")), "--model", "support.corpus:net", "--input-size", "32"]
    words += ["--layers", "features.5", "--engine", "inline", "--store", str(tmp_path / "s"), "--until", "collect"]
    words += ["--max-rejected", "1", *(["--image-column", form.column] if form.column else [])]
    if form.table is not None:
        (tmp_path / "labels.csv").write_bytes(form.table if isinstance(form.table, bytes) else form.table.encode())
        words += ["--labels", str(tmp_path / "labels.csv")]
    for more in (["--dry-run"], [], []):
        code = cli.invoke([*words, *more])
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("actlas: ")]
        assert (code, len(lines)) in (((2, 1), (4, 1)) if form.line else ((0, 0), (3, 0))), lines
