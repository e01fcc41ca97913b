"""The command line as a person uses it, on the small corpus: what it prints, where, and the code it leaves with."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support import corpus
from support.trees import tree

from flows import cli, guarded_sql
from flows.model import prepared
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline

Said = tuple[int, str, str]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"), 40)


@pytest.fixture(scope="module")
def store(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    pipeline.run(corpus.config(images, folder), Inline())
    return folder


@pytest.fixture
def say(store: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> Said:
        code = cli.invoke([*arguments, "--store", str(store)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_top_prints_a_table_and_json(say: Any) -> None:
    code, out, _ = say("top", "small", "features.5:3", "-k", "4")
    assert code == 0
    assert out.splitlines()[0].split() == ["rank", "value", "label", "y,x", "path"]
    assert len(out.splitlines()) == 5
    code, out, _ = say("top", "small", "features.5:3", "--json")
    answer = json.loads(out)
    assert (code, answer["unit"], len(answer["patches"])) == (0, 3, 16)
    assert Path(answer["patches"][0]["path"]).exists()


def test_top_says_where_ties_decide(say: Any) -> None:
    """After a ReLU6 most images share a lowest value of zero."""
    code, out, _ = say("top", "small", "features.5:3", "--sign", "negative", "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["images_at_extreme"] > 16
    assert answer["note"].startswith("no negative side")


def test_sheet_is_a_picture(say: Any, tmp_path: Path) -> None:
    code, _, err = say("top", "small", "features.5:3", "-k", "6", "--sheet", str(tmp_path / "sheet.png"))
    assert code == 0
    assert "sheet.png" in err
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.width > 800
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 50


def test_cell_and_locate_agree(say: Any, images: Path) -> None:
    code, out, _ = say(
        "sql", "small", "select row, col from cells where layer = 'features.5' order by count desc", "--json"
    )
    place = json.loads(out)[0]
    code, out, _ = say("cell", "small", "features.5", "4", f"{place['row']},{place['col']}", "--json")
    cell = json.loads(out)
    assert code == 0
    assert cell["count"] >= 2
    member = cell["members"][0]
    code, out, _ = say("locate", "small", "features.5", str(member["image_id"]), "--json")
    found = json.loads(out)
    assert code == 0
    position = next(p for p in found["positions"] if (p["y"], p["x"]) == (member["y"], member["x"]))
    assert position["cell"] == [place["row"], place["col"]]


def test_sql_reads_the_run_and_nothing_else(say: Any) -> None:
    code, out, _ = say(
        "sql", "small", "select count(*) n from patches where unit = 3 and layer = 'features.5'", "--json"
    )
    assert (code, json.loads(out)) == (0, [{"n": 80}])
    for forbidden in (
        "select * from read_csv('/etc/passwd')",
        "copy images to 'x.csv'",
        "install httpfs",
        "attach 'x.db'",
    ):
        code, out, err = say("sql", "small", forbidden)
        assert (code, out) == (2, ""), forbidden
        assert len(err.splitlines()) == 1


LONG = "with recursive n as (select 1 i union all select i + 1 from n) select max(i) from n"


@pytest.mark.parametrize(
    ("query", "seconds", "words"),
    [
        (LONG, "0.3", "longer than 0.3 s"),
        ("select * from range(1000000000000)", "0.3", "longer than 0.3 s|more than 0.2 GiB"),
        ("select list(range) from range(1000000000)", "60", "more than 0.2 GiB"),
        ("select repeat('x', 2000000000)", "60", "more than 0.2 GiB"),
        ("select range(0, 1000000000)", "60", "more than 0.2 GiB"),
    ],
)
def test_a_query_has_limits(say: Any, query: str, seconds: str, words: str) -> None:
    """Those of memory are of this process: DuckDB counts no long values, and none of our rows."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    code, out, err = say("sql", "small", query, "--time-limit", seconds, "--memory-limit", "0.2")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert re.search(words, err)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert say("sql", "small", "select 1 a", "--json")[1].strip() == '[{"a": 1}]'


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt: in what a shell starts in the background it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_a_query_at_once(say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the thread that it is for, DuckDB would see it at the end of the query: after a minute, by the limit of time."""
    # To the process, as a terminal sends it: `raise_signal` would reach the timer's thread alone.
    pending, ask = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]), guarded_sql._rows

    def begun(*arguments: Any) -> Any:
        pending.start()
        return ask(*arguments)

    monkeypatch.setattr(guarded_sql, "_rows", begun)
    code, out, err = say("sql", "small", LONG, "--time-limit", "30")
    assert (code, out, len(err.splitlines())) == (130, "", 1)
    pending.join()


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("top", "nobody", "features.5:3"), 4, "nobody"),
        (("top", "small@9", "features.5:3"), 4, "9"),
        (("top", "small", "features.9:3"), 4, "features.2, features.5"),
        (("top", "small", "features.5:99"), 4, "0 to 11"),
        (("top", "small", "features.5"), 2, "LAYER:UNIT"),
        (("cell", "small", "features.5", "4", "9,9"), 4, "0 to 3"),
        (("cell", "small", "features.5", "7", "0,0"), 4, "it has 4"),
        (("locate", "small", "features.5", "no.jpg"), 4, "no.jpg"),
        (("runs", "rollback", "small", "7"), 4, "7"),
        (("gc", "--older-than", "soon"), 2, "soon"),
    ],
)
def test_wrong_questions_get_one_line(arguments: tuple[str, ...], code: int, named: str, say: Any) -> None:
    left, out, err = say(*arguments)
    assert (left, out) == (code, "")
    assert err.startswith("actlas: ")
    assert len(err.splitlines()) == 1
    assert named in err


def test_runs_rollback_and_verify(say: Any) -> None:
    code, out, _ = say("runs", "list", "--json")
    assert (code, json.loads(out)[0]["images"]) == (0, 40)
    code, out, _ = say("runs", "show", "small", "--json")
    assert json.loads(out)["model"] == "support.corpus:net"
    code, out, err = say("verify")
    assert (code, out) == (0, "")
    assert "as it was committed" in err


def test_verify_names_damage_and_repair_mends_it(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = corpus.config(images, tmp_path, until="cells")
    pipeline.run(config, Inline())
    before = tree(tmp_path)
    chunk = sorted(path for path in tmp_path.rglob("cells.zarr/mean/c/*/*"))[0]
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    assert cli.invoke(["verify", "--store", str(tmp_path)]) == 1
    assert str(chunk.relative_to(tmp_path)) in capsys.readouterr().out
    assert cli.invoke(["verify", "--repair", "--store", str(tmp_path)]) == 0
    pipeline.run(config, Inline())
    assert tree(tmp_path) == before
    assert cli.invoke(["verify", "--store", str(tmp_path)]) == 0


def test_run_leaves_with_3_for_rejected_images(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "noise" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no picture")
    settings = corpus.config(images, tmp_path / "store").model_dump(mode="json")
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items() if value not in (None, {})]
    (tmp_path / "run.toml").write_text("\n".join(lines))
    try:
        arguments = [
            "run",
            "--config",
            str(tmp_path / "run.toml"),
            "--until",
            "collect",
            "--engine",
            "inline",
            "--json",
        ]
        assert cli.invoke(arguments) == 3
        summary = json.loads(capsys.readouterr().out)
        assert (summary["used"], summary["rejected"]) == (40, 1)
        assert cli.invoke([*arguments, "--max-rejected", "0"]) == 1
        assert "nothing was published" in capsys.readouterr().err
    finally:
        (images / "noise" / "broken.png").unlink()


def test_the_end_of_a_run_names_pictures_and_commands_that_work(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = corpus.config(images, tmp_path / "store")
    asked = [
        "run",
        "--images",
        str(images),
        "--store",
        str(tmp_path / "store"),
        "--name",
        "small",
        "--engine",
        "inline",
    ]
    asked += ["--model", config.model, "--layers", *config.layers, "--input-size", str(config.input_size)]
    assert cli.invoke([*asked, "--grids", "2", "40", "--shard-size", "12"]) == 0
    out = capsys.readouterr().out
    assert "grids left out: 40; 40 images are too few" in out
    pictures = [line.split(": ")[1] for line in out.splitlines() if " 2 × 2: " in line]
    assert len(pictures) == len(config.layers)
    assert all(Path(picture).exists() for picture in pictures)
    suggested = [line.split() for line in out.partition("next:")[2].splitlines() if line]
    assert [words[1] for words in suggested] == ["view", "top", "cell"]
    assert cli.invoke([*suggested[1][1:]][:3] + suggested[1][-2:]) == 0
    assert cli.invoke(suggested[2][1:]) == 0
    capsys.readouterr()
    assert cli.invoke([*asked, "--grids", "2", "40", "--shard-size", "12"]) == 0
    assert "next:" not in capsys.readouterr().out


def test_where_there_is_no_such_folder(say: Any, tmp_path: Path) -> None:
    code, _, err = say("top", "small", "features.5:3", "--sheet", str(tmp_path / "nowhere" / "a.png"))
    assert code == 2
    assert f"there is no folder {tmp_path / 'nowhere'}" in err


def test_a_broken_image_is_named(say: Any, tmp_path: Path, images: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(next(images.glob("*/*.png")).read_bytes()[:60])
    code, _, err = say("locate", "small", "features.5", str(broken))
    assert code == 1
    assert str(broken) in err


def test_sql_refuses_damaged_tables(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One flipped bit gives the right answer (where it is in bytes that nobody reads) or an error, never another number."""
    pipeline.run(corpus.config(images, tmp_path, until="patches"), Inline())
    table = next((tmp_path / "stages" / "patches").rglob("units.parquet"))
    whole, refused = table.read_bytes(), 0
    question = ["sql", "small", "select sum(positive_extreme) s from units", "--json", "--store", str(tmp_path)]
    assert cli.invoke(question) == 0
    right = capsys.readouterr().out
    for place in range(4, len(whole), len(whole) // 25):
        data = bytearray(whole)
        data[place] ^= 8
        table.write_bytes(data)
        code = cli.invoke(question)
        said = capsys.readouterr()
        assert (code, said.out) in ((0, right), (1, ""))
        refused += code
    assert refused >= 10


def test_locate_refuses_a_model_that_has_changed(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.run(corpus.config(images, tmp_path, until="cells"), Inline())
    made = corpus.net

    def other() -> Any:
        module = made()
        module.features[0].weight.data[0, 0, 0, 0] += 0.5
        return module

    monkeypatch.setattr(corpus, "net", other)
    prepared.forget()
    assert cli.invoke(["locate", "small", "features.5", "3", "--store", str(tmp_path)]) == 1
    assert "another model" in capsys.readouterr().err
    prepared.forget()


def test_a_sheet_outlives_its_images(tmp_path: Path) -> None:
    images = corpus.write_images(tmp_path / "images", 12)
    pipeline.run(corpus.config(images, tmp_path / "store", until="patches"), Inline())
    images.rename(tmp_path / "elsewhere")
    arguments = [
        "top",
        "small",
        "features.5:3",
        "--sheet",
        str(tmp_path / "sheet.png"),
        "--store",
        str(tmp_path / "store"),
    ]
    assert cli.invoke(arguments) == 0
    with Image.open(tmp_path / "sheet.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 50


@pytest.mark.parametrize(
    ("command", "words"),
    [(["run", "--images", "x"], "resumes"), (["top", "small", "a:3"], "nothing was written")],
)
def test_an_interrupt_says_what_it_leaves(
    command: list[str], words: str, store: Path, monkeypatch: pytest.MonkeyPatch, say: Any
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("storage.run.open_store", interrupt)
    monkeypatch.setattr("flows.launch.check", interrupt)
    code, out, err = say(*command)
    assert (code, out, len(err.splitlines())) == (130, "", 1)
    assert err.startswith("actlas: interrupted; ")
    assert words in err
