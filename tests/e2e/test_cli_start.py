"""The command line before any work: help, version, options, encodings, and what is refused at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from support import corpus
from torch import nn

from flows import cli, registry
from flows.pipeline import run as pipeline
from flows.pipeline import steps
from flows.pipeline.engines import Inline
from flows.stages import icons
from storage.errors import UsageError


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"), 40)


def test_help_names_the_defaults() -> None:
    """They stand in the help as text, so that it loads nothing."""
    from typer.testing import CliRunner

    from flows.config import RunConfig

    shown = " ".join(CliRunner().invoke(cli.app, ["run", "--help"], env={"COLUMNS": "400"}).output.split())
    made = RunConfig(images="x")
    for number in (
        made.max_rejected,
        made.shard_size,
        made.min_count,
        made.icon_size,
        made.samples_per_image,
        made.seed,
    ):
        assert f"({number})" in shown
    assert f"({' '.join(map(str, made.grids))})" in shown
    for word in (made.recipe, made.layout, made.device, made.precision):
        assert f"{word} (the default)" in shown
    assert f"({made.store})" in shown
    assert all(stage in shown for stage in registry.steps()[:-1])


def test_what_is_wrong_is_said_before_a_server_is_started(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.scheduling import prefect_flow

    monkeypatch.setattr(prefect_flow, "run", lambda *a, **k: pytest.fail("the flow was started"))
    config = corpus.config(images, tmp_path / "store")
    model = ["--model", config.model, "--input-size", str(config.input_size), "--store", str(tmp_path / "store")]
    layer = ["--layers", "features.2"]
    assert cli.invoke(["run", "--images", str(tmp_path / "nowhere"), *model, *layer]) == 4
    assert "nowhere" in capsys.readouterr().err
    assert cli.invoke(["run", "--images", str(images), *model, "--layers", "features.99"]) == 4
    assert "features.99" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--engine=nope", "--dask=foo"])
@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_an_engine_that_is_none_is_named_first(
    option: str, dry: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where nothing is to be run: what is tried out is the command."""
    assert cli.invoke(["run", "--images", str(tmp_path / "nowhere"), option, *dry]) == 2
    assert option.split("=")[0] in capsys.readouterr().err


PRINT = """
import sys
from flows.commands.shared import printing, terminal
terminal.write_anything()
row = {"label": None, "path": "a\\udce9/ü – 3 × 4 → €.png"}
printing.as_table([row])
printing.as_json(row)
print("…", file=sys.stderr)
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_any_text_is_printed_in_any_encoding(encoding: str) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", PRINT], env=environment, capture_output=True)
    assert (done.returncode, done.stderr.decode(encoding).strip()) in ((0, "..."), (0, "…"))
    *table, text = done.stdout.decode(encoding).splitlines()
    assert json.loads(text)["path"] == "a\udce9/ü – 3 × 4 → €.png"
    assert r"a\udce9/" in table[1]
    assert table[1].startswith("–" if encoding in ("cp1252", "utf-8") else "-")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["--version"]) == 0
    assert capsys.readouterr().out == f"actlas {metadata.version('actlas')}\n"


@pytest.mark.parametrize("command", [["runs", "list"], ["view", "--no-browser"], ["run", "--images", "sample-photos"]])
def test_a_store_that_is_a_file_is_refused_before_any_work(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name, words in (("file", "file is a file"), ("file/below", "file is a file"), ("link", "a link to nothing")):
        assert cli.invoke([*command, "--store", str(tmp_path / name)]) == 2
        out, err = capsys.readouterr()
        assert (out, len(err.splitlines())) == ("", 1)
        assert words in err


class Ambiguous(nn.Module):
    """Gives 8 × 8 × 8 numbers without a hint which axis is which, and a layer without places."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.odd, self.count, self.head = nn.Conv2d(3, 8, 3), Turned(), Count(), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count(x)
        return self.head(self.odd(self.conv(x)).mean((1, 2)))


class Turned(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, :1, :5].permute(0, 3, 1, 2).repeat(1, 1, 1, 8)[:, :, :5, :]


class Count(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tensor(float(len(x)))


def ambiguous() -> nn.Module:
    return Ambiguous().eval()


def test_layers_that_are_not_listed_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["layers", f"{__name__}:ambiguous", "--input-size", "32", "--no-reach"]
    assert cli.invoke(command) == 0
    out, err = capsys.readouterr()
    rows = [line.split()[0] for line in out.splitlines()[1:]]
    assert rows == ["conv", "head"]
    assert "axes are ambiguous: odd; give them with --axes LAYER=AXES" in err
    assert "no tensor with a row per image: count" in err
    assert cli.invoke([*command, "--axes", "odd=bhwc", "--json"]) == 0
    assert [row["layer"] for row in json.loads(capsys.readouterr().out)] == ["conv", "odd", "head"]
    for axes, code in (("none=bhwc", 4), ("odd=abc", 2), ("count=bhwc", 2)):
        assert cli.invoke([*command, "--axes", axes]) == code
        assert capsys.readouterr().err.splitlines()[-1].startswith("actlas: ")


def test_icons_too_small_for_the_recipe_are_refused_before_any_work(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = corpus.config(images, tmp_path / "store", recipe="distill", icon_size=24)
    with pytest.raises(UsageError, match=r"--icon-size 24: .*recipe distill; give at least (\d+)") as refused:
        pipeline.run(config, Inline())
    assert not (tmp_path / "store").exists()
    least = int(str(refused.value).split()[-1])
    icons.check_size(config.model_copy(update={"icon_size": least}))
    with pytest.raises(UsageError):
        icons.check_size(config.model_copy(update={"icon_size": least - 1}))
    steps.check_drawing(config.model_copy(update={"until": "cells"}))
    for extra in ("gallery", registry.EVERYTHING):
        with pytest.raises(UsageError):
            steps.check_drawing(config.model_copy(update={"until": "patches", "extras": (extra,)}))


def test_several_values_after_one_option() -> None:
    spread = cli.spread(["run", "--layers", "a", "b", "--grids", "1", "2", "3", "--json"])
    assert spread == ["run", "--layers", "a", "--layers", "b", "--grids", "1", "--grids", "2", "--grids", "3", "--json"]


def test_the_installed_command_answers() -> None:
    done = subprocess.run([sys.executable, "-m", "flows.cli", "--help"], capture_output=True, text=True, check=True)
    assert "activation atlas" in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"]])
def test_a_reader_that_has_left_is_no_error(arguments: list[str]) -> None:
    """As in `actlas … | head`."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "flows.cli", *arguments], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_json_has_no_words_for_infinity(capsys: pytest.CaptureFixture[str]) -> None:
    from flows.commands.shared import printing

    printing.as_json({"a": float("inf"), "b": [float("nan"), 1.5]})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {"a": None, "b": [None, 1.5]}
