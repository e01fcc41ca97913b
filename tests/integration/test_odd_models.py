"""Models at the edges, from the command line: right numbers, or one line before any image is read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support import corpus, odd_models

from flows import cli
from flows.model import prepared
from flows.viewer.answers import reproduce
from storage.run import open_run


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("odd") / "images", 6)


def arguments(images: Path, store: Path, name: str, *more: str) -> list[str]:
    """Return a run of a model of `odd_models`, up to its patches."""
    model = f"support.odd_models:{name}"
    words = ["run", "--images", str(images), "--store", str(store), "--name", name.replace("_", "-"), "--model", model]
    return [
        *words,
        "--engine",
        "inline",
        "--batch",
        "4",
        "--grids",
        "2",
        "--min-count",
        "1",
        "--until",
        "patches",
        *more,
    ]


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the line of the error; what stands before it is progress."""
    lines = capsys.readouterr().err.splitlines()
    assert not any("Traceback" in line for line in lines)
    assert [line for line in lines if line.startswith("actlas: ")] == lines[-1:]
    return lines[-1]


@pytest.mark.parametrize("name", ["dropping", "without_statistics", "counting"])
def test_a_model_that_varies_is_refused_before_an_image_is_read(
    name: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, when, where, reason = odd_models.VARYING[name]
    assert cli.invoke(arguments(images, tmp_path / "store", name, "--layers", "conv2")) == 1
    line = one_line(capsys)
    for words in (f"model support.odd_models:{name}: its output is not a function of the image", when, where, reason):
        assert words in line
    assert "--allow-varying" in line
    assert not (tmp_path / "store").exists()


def test_a_model_that_varies_goes_on_where_that_is_allowed(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    allowed = arguments(images, store, "dropping", "--layers", "conv2", "--allow-varying")
    assert cli.invoke(allowed) == 0
    assert "drops values by chance" in capsys.readouterr().err
    run = open_run(str(store), "dropping")
    assert run.version.about["config"]["allow_varying"] is True
    assert "first in its own forward (Dropping)" in run.version.about["varying"]
    assert "--allow-varying" in reproduce.run_command(run, str(store)).split()
    assert cli.invoke(["runs", "show", "dropping", "--store", str(store)]) == 0
    assert "drops values by chance" in capsys.readouterr().out


def test_a_model_that_does_not_vary_records_nothing_of_it(images: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert cli.invoke(arguments(images, store, "plain", "--layers", "conv2")) == 0
    about = open_run(str(store), "plain").version.about
    assert "varying" not in about
    assert not {"allow_varying", "logits"} & about["config"].keys()


def saliency(capsys: pytest.CaptureFixture[str], images: Path, name: str, *more: str) -> tuple[dict[str, Any], str]:
    image = next(images.rglob("*.png"))
    code = cli.invoke(["saliency", str(image), "--model", f"support.odd_models:{name}", "--json", *more])
    output = capsys.readouterr()
    assert code == 0, output.err
    return json.loads(output.out), output.err


def test_the_scores_are_those_of_the_plain_model_wherever_they_stand(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, remarks = saliency(capsys, images, "plain")
    assert remarks == ""
    for name in ("embedding_first", "named_out", "with_a_mask"):
        answer, remarks = saliency(capsys, images, name)
        assert (answer["choices"], answer["score"]) == (plain["choices"], plain["score"])
        assert ("--logits" in remarks) == (name != "with_a_mask")
    embedding, remarks = saliency(capsys, images, "embedding_first", "--logits", "0")
    assert "0 (b × 12), as --logits says" in remarks
    assert embedding["choices"] != plain["choices"]


def test_probabilities_stay_what_they_are(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain, _ = saliency(capsys, images, "plain")
    answer, remarks = saliency(capsys, images, "softmax")
    assert "add up to 1" in remarks
    for ours, theirs in zip(answer["choices"], plain["choices"], strict=True):
        assert ours["probability"] == pytest.approx(theirs["probability"], abs=2e-6)


def test_one_score_per_image_has_no_probability(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer, _ = saliency(capsys, images, "one_score", "--out", str(tmp_path / "sheet.png"))
    assert [(row["index"], row["probability"]) for row in answer["choices"]] == [(0, None)]
    image = str(next(images.rglob("*.png")))
    assert cli.invoke(["saliency", image, "prob:0", "--model", "support.odd_models:one_score"]) == 2
    assert "no probability" in one_line(capsys)


def test_a_detector_has_no_class_scores(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = str(next(images.rglob("*.png")))
    assert cli.invoke(["saliency", image, "--model", "support.odd_models:detector"]) == 1
    assert "has no class scores" in one_line(capsys)


@pytest.mark.parametrize(
    ("target", "named"),
    [
        (["conv2:3"], "conv2:3"),
        (["conv2"], "conv2"),
        (["conv2", "--all"], "conv2:3"),
        (["class:1"], "class:1"),
        (["class:1+conv2:3"], "class:1"),
    ],
)
def test_a_unit_that_is_not_finite_is_not_drawn(
    target: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "n.png"
    model = ["--model", "support.odd_models:with_nan", "--size", "32", "--steps", "2"]
    assert cli.invoke(["show", *target, *model, "--out", str(out)]) == 2
    assert f"{named} has values that are not finite" in one_line(capsys)
    assert not out.exists()


def test_what_is_not_finite_is_neither_explained_nor_dreamt_of(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, model = str(next(images.rglob("*.png"))), ("--model", "support.odd_models:with_nan")
    for words in (
        ["saliency", image, "class:1", *model],
        ["saliency", image, "conv2:3", *model],
        ["dream", image, "conv2", "--out", str(tmp_path / "d.png"), *model],
        ["explain", image, "--layer", "conv1", *model],
    ):
        assert cli.invoke(words) == 2
        assert "not finite" in one_line(capsys)
    assert (
        cli.invoke(["show", "conv2:2", *model, "--size", "32", "--steps", "2", "--out", str(tmp_path / "n.png")]) == 0
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_class_names_of_any_editor(
    encoding: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = tmp_path / "classes.txt"
    names.write_bytes("cät\r\ndog\r\ncow\r\npig\r\nhen\r\n".encode(encoding))
    image = str(next(images.rglob("*.png")))
    words = ["saliency", image, "class:cät", "--model", "support.odd_models:plain", "--classes", str(names), "--json"]
    assert cli.invoke(words) == 0
    assert json.loads(capsys.readouterr().out)["target"]["name"] == "cät"


def test_class_names_of_another_number_are_refused_by_a_run(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "classes.txt").write_text("one\ntwo\n")
    more = ("--layers", "conv2", "--classes", str(tmp_path / "classes.txt"))
    assert cli.invoke(arguments(images, tmp_path / "store", "plain", *more)) == 2
    assert "has 2 names, and support.odd_models:plain 5 classes" in one_line(capsys)


@pytest.mark.parametrize("name", odd_models.WHITE)
def test_a_model_that_fails_on_one_image_is_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = odd_models.write_white(tmp_path / "images")
    assert cli.invoke(arguments(images, tmp_path / "store", name, "--layers", "conv2")) == 1
    assert re.fullmatch(f"actlas: model support.odd_models:{name}: {odd_models.WHITE[name]}", one_line(capsys))


AGAIN = "layer again runs more than once for some images; name a layer that runs alike for every image"


@pytest.mark.parametrize("name", ["white_repeats", "grey_repeats"])
def test_a_last_layer_that_some_images_call_again_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = odd_models.write_white(tmp_path / "images")
    assert cli.invoke(arguments(images, tmp_path / "store", name, "--layers", "again")) == 1
    assert one_line(capsys) == f"actlas: model support.odd_models:{name}: {AGAIN}"


@pytest.mark.parametrize("name", ["white_repeats", "grey_repeats"])
def test_mutant_a_model_tried_up_to_its_last_layer(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        prepared.PreparedModel, "try_whole", lambda self, pixels, names: self.visit(pixels, names, lambda *_: None)
    )
    with pytest.raises(AssertionError):
        test_a_last_layer_that_some_images_call_again_is_refused(name, tmp_path, capsys)


def test_a_failure_is_not_laid_on_the_gradient(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, name = str(odd_models.write_white(tmp_path / "images") / "3.png"), "white_misfits"
    assert cli.invoke(["saliency", image, "conv2:1", "--model", f"support.odd_models:{name}"]) == 1
    assert re.fullmatch(f"actlas: model support.odd_models:{name}: {odd_models.WHITE[name]}", one_line(capsys))


def test_a_part_that_fails_is_named_without_a_line_of_the_users(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = odd_models.write_white(tmp_path / "images")
    assert cli.invoke(arguments(images, tmp_path / "store", "white_fails_inside", "--layers", "1.conv2")) == 1
    assert re.search(r"module 0 \(NoWhite\) fails on an input of \d × 3 × 32 × 32: RuntimeError", one_line(capsys))
