"""The commands of docs/imagenet.md, run as they stand there on small copies of each form that ImageNet comes in."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import corpus, imagenet

from flows import cli
from flows.scheduling import serve as serving
from flows.stages.shared import reading
from storage.run import open_run

PAGE = Path(__file__).parents[2] / "docs" / "imagenet.md"

QUICK = (
    *("--model", "support.odd_models:imagenet_classes", "--layers", "conv2", "--layout", "pca", "--grids", "2"),
    *("--min-count", "1", "--recipe", "fast", "--icon-size", "32", "--engine", "inline"),
)
"""Options that are added to each run: a small model, and few steps."""

NAMES = set(imagenet.SHOWN.values())


def commands() -> list[list[str]]:
    """Return the commands of the page, in its order, without the name of the program."""
    lines = re.findall(r"^    actlas (.+)$", PAGE.read_text(), re.MULTILINE)
    return [shlex.split(line) for line in lines]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every form that the page names."""
    root = tmp_path_factory.mktemp("downloads")
    imagenet.kaggle(root)  # LOC_synset_mapping.txt and LOC_val_solution.csv stand beside the rest
    for form in (imagenet.folders, imagenet.training_tar, imagenet.validation_tar, imagenet.validation_folder):
        form(root)
    (root / "parquet").mkdir()
    imagenet.hugging_face(root / "parquet")
    imagenet.development_kit(root / "data")
    return root


assert corpus  # its import makes `fast` three steps


@pytest.fixture
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    reading.forget()
    monkeypatch.chdir(folder)
    yield folder
    reading.forget()


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


@pytest.mark.sweep
def test_the_commands_run_in_their_order(
    there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served: list[Any] = []
    monkeypatch.setattr(serving, "serve", lambda config, deployments, **options: served.append(config))
    ran: list[str] = []
    for arguments in commands():
        added = QUICK if arguments[0] == "run" else ()
        code = cli.invoke([*arguments, *added])
        out, err = capsys.readouterr()
        assert code == 0, f"actlas {shlex.join(arguments)}\n{out}\n{err}"
        ran.append(arguments[0])
        if "--of" in arguments:
            check_selection(there, arguments)
        elif arguments[0] == "run":
            check_run(there, arguments)
    assert {"run", "sql", "serve", "runs"} <= set(ran)
    assert [(config.images, config.grow) for config in served] == [("train", 20000)]


def check_run(root: Path, arguments: list[str]) -> None:
    """Check that each image has the label that the original gives it."""
    run = open_run(root / "actlas-store", option(arguments, "--name"))
    rows = run.images().to_pylist()
    files = {row["key"].rpartition("/")[2]: row["label"] for row in rows}
    if "parquet" in arguments:
        assert set(files.values()) == set(imagenet.CLASSES.values())
        return
    if any("val" in argument for argument in arguments):
        expected = {f"{name}.JPEG": imagenet.SHOWN[identity] for name, identity in imagenet.validation().items()}
    else:
        expected = {name.split("/")[1]: imagenet.SHOWN[name.split("/")[0]] for name in imagenet.training()}
    where = "--where" in arguments
    assert files == {name: label for name, label in expected.items() if not where or label == "Chihuahua"}


def check_selection(root: Path, arguments: list[str]) -> None:
    """Check that the samples are those of the images that the command asks for: the model takes every one for a tench."""
    run = open_run(root / "actlas-store", option(arguments, "--name"))
    label = {"tench-photos": {"tench"}, "taken-for-tench": NAMES - {"tench"}}.get(run.name, NAMES)
    assert set(run.images()["label"].to_pylist()) == label
    assert run.version.about["selection"]["of"] == "imagenet"


def test_the_page_answers_with_the_accuracy(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `runs show` says: the model takes every image for a tench, and a quarter of them are."""
    images = ["run", "--images", "train", "--name", "counted", "--with", "choices", "--until", "collect", *QUICK]
    assert cli.invoke(images) == 0
    capsys.readouterr()
    assert cli.invoke(["runs", "show", "counted", "--json"]) == 0
    accuracy = json.loads(capsys.readouterr().out)["accuracy"]
    assert {name: accuracy[name] for name in ("by", "images", "first")} == {
        "by": "WordNet ids",
        "images": 12,
        "first": 3,
    }
    taken = {row["label"]: (row["choice"], row["images"]) for row in accuracy["confused"]}
    assert taken == dict.fromkeys(NAMES - {"tench"}, ("tench", 3))
