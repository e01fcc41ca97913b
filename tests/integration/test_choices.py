"""The model's first classes, in the pass of collect; accuracy and confusion where labels are classes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import corpus
from typer.testing import CliRunner

from flows.cli import app
from flows.config import RunConfig
from flows.model import prepared
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.questions import accuracy, sql
from flows.stages import choices
from flows.viewer.answers import reproduce
from storage.errors import UsageError
from storage.images import loader
from storage.run import Run, open_run

CLASSES = ("noise", "other", "checks", "stripes")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = corpus.write_images(tmp_path_factory.mktemp("images"), 40)
    for label in ("noise", "no class"):  # no image of that label is used, so it says nothing about the others
        (folder / label).mkdir(exist_ok=True)
        (folder / label / "broken.png").write_bytes(b"not an image")
    return folder


def config(images: Path, store: Path, **changes: Any) -> RunConfig:
    classes = store.parent / "classes.txt"
    classes.write_text("\n".join(CLASSES))
    settings = {"until": "collect", "extras": ("choices",), "classes": str(classes), "shard_size": 16}
    return corpus.config(images, store, **settings | changes)


@pytest.fixture(scope="module")
def made(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    store = tmp_path_factory.mktemp("made") / "store"
    pipeline.run(config(images, store), Inline())
    return open_run(store, "small")


def test_first_classes_are_those_of_the_model(images: Path, made: Run) -> None:
    """Each image alone through the unfolded network."""
    net, rows = corpus.net(), made.choices().to_pylist()
    preprocess = prepared.load(config(images, made.store.root)).preprocess
    by_image = {row["image_id"]: [] for row in rows}
    for row in rows:
        by_image[row["image_id"]].append(row)
    used = [row for row in made.images().to_pylist() if row["reason"] is None]
    assert sorted(by_image) == [row["image_id"] for row in used]
    assert len(used) == 40
    for row in used:
        with Image.open(row["path"]) as image:
            pixels = preprocess.pixels(image)
        with torch.no_grad():
            logits = net(preprocess.normalise(torch.from_numpy(pixels.copy())[None]))[0]
        order = logits.argsort(descending=True)
        stored = by_image[row["image_id"]]
        assert [choice["class"] for choice in stored] == order.tolist()
        assert [choice["logit"] for choice in stored] == pytest.approx(logits[order].tolist(), abs=1e-4)
        assert [choice["probability"] for choice in stored] == pytest.approx(
            logits.softmax(0)[order].tolist(), abs=1e-4
        )


def test_collect_is_the_same_with_and_without(images: Path, made: Run, tmp_path: Path) -> None:
    pipeline.run(config(images, tmp_path / "store", extras=()), Inline())
    bare = open_run(tmp_path / "store", "small")
    for layer in corpus.LAYERS:
        assert [part.key for part in bare.results("collect", layer)] == [p.key for p in made.results("collect", layer)]
        assert [part.digest for part in bare.results("collect", layer)] == [
            part.digest for part in made.results("collect", layer)
        ]


def test_one_pass_serves_both_and_later_only_choices_are_made(
    images: Path, made: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: Counter[int] = Counter()
    load = loader.load

    def counted(source: Any, rows: Any, *args: Any, **options: Any) -> Any:
        decoded.update(rows["image_id"].to_pylist())
        return load(source, rows, *args, **options)

    monkeypatch.setattr(loader, "load", counted)
    store = tmp_path / "store"
    pipeline.run(config(images, store), Inline())
    assert set(decoded.values()) == {1}
    second = pipeline.run(config(images, tmp_path / "later", extras=()), Inline())
    third = pipeline.run(config(images, tmp_path / "later"), Inline())
    made_now = [{outcome.output.stage for outcome in run.outcomes if outcome.computed} for run in (second, third)]
    assert made_now[0] >= {"images", "collect"}
    assert made_now[1] == {"choices"}
    assert open_run(tmp_path / "later", "small").choices() == made.choices()


def brute_force(run: Run) -> tuple[int, int, int, Counter[tuple[str, str]]]:
    labels = {row["image_id"]: row["label"] for row in run.images().to_pylist()}
    first, five, confused = 0, 0, Counter[tuple[str, str]]()
    rows = [(row["rank"], labels[row["image_id"]], CLASSES[row["class"]]) for row in run.choices().to_pylist()]
    for rank, label, name in rows:
        first += rank == 0 and label == name
        five += label == name
        if rank == 0 and label != name:
            confused[label, name] += 1
    return sum(rank == 0 for rank, _, _ in rows), first, five, confused


def check_accuracy(run: Run) -> None:
    answer = accuracy.of_run(run)
    assert answer is not None
    images, first, five, confused = brute_force(run)
    assert (answer["images"], answer["first"], answer["first_five"]) == (images, first, five)
    assert {(row["label"], row["choice"]): row["images"] for row in answer["confused"]} == dict(confused)
    assert [row["images"] for row in answer["confused"]] == sorted(confused.values(), reverse=True)
    assert answer["low"] <= first / images <= answer["high"]


def test_accuracy_and_confusion_against_a_count(made: Run) -> None:
    check_accuracy(made)


def test_mutant_labels_of_other_images(made: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    names, index = made.labels
    monkeypatch.setattr(type(made), "labels", property(lambda self: (names, np.roll(index, 1))))
    with pytest.raises(AssertionError):
        check_accuracy(made)


def test_labels_that_are_no_classes_are_told(images: Path, tmp_path: Path) -> None:
    pipeline.run(config(images, tmp_path / "store", classes=None), Inline())
    run = open_run(tmp_path / "store", "small")
    assert accuracy.of_run(run) is None  # the model names no classes
    run.__dict__["model"] = {**run.model, "classes": ["noise", "a", "b", "c"]}
    answer = accuracy.of_run(Run(run.store, run.version))
    assert answer is None
    assert accuracy.join(dict.fromkeys(("noise", "checks", "stripes")), ["noise", "a"]).reason.startswith(
        "2 of 3 labels"
    )


def test_sql_has_choices_beside_labels(made: Run) -> None:
    rows = sql.ask(
        made,
        "SELECT label, name AS choice, count(*) AS images FROM images JOIN choices USING (image_id) "
        "JOIN classes USING (class) WHERE rank = 0 GROUP BY ALL ORDER BY ALL",
    )
    *_, confused = brute_force(made)
    assert {(r["label"], r["choice"]): r["images"] for r in rows if r["label"] != r["choice"]} == dict(confused)
    share = sql.ask(
        made,
        "SELECT avg((choices.class = label_classes.class)::int) AS share FROM images JOIN choices USING (image_id) "
        "JOIN label_classes USING (label) WHERE rank = 0",
    )
    answer = accuracy.of_run(made)
    assert answer is not None
    assert share[0]["share"] == pytest.approx(answer["first"] / answer["images"])


def test_runs_show_says_the_accuracy(made: Run) -> None:
    result = CliRunner().invoke(app, ["runs", "show", "small", "--store", str(made.store.root)])
    answer = accuracy.of_run(made)
    assert answer is not None
    assert f"the first class is the label of {answer['first']} of {answer['images']} images" in result.stdout


def test_a_subset_takes_them_from_the_store(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    pipeline.run(config(images, store, name="whole", keep=("peaks",)), Inline())
    part = config(images, store, name="part", where="label = 'checks'")
    with monkeypatch.context() as patched:
        patched.setattr(loader, "load", lambda *args, **options: pytest.fail("an image passes again"))
        pipeline.run(part, Inline())
    derived = open_run(store, "part").choices()
    pipeline.run(config(images, tmp_path / "own", name="part", where="label = 'checks'"), Inline())
    assert derived == open_run(tmp_path / "own", "part").choices()


def test_a_model_without_scores_is_refused_before_any_image(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "load", lambda *args, **options: pytest.fail("an image is read"))
    with pytest.raises(UsageError, match="--with choices: the model has no class scores"):
        pipeline.run(
            config(images, tmp_path / "store", model="support.odd_models:detector", classes=None, layers=("conv1",)),
            Inline(),
        )


def test_everything_is_what_a_model_without_scores_can_have(images: Path, tmp_path: Path) -> None:
    odd = {"model": "support.odd_models:detector", "classes": None, "layers": ("conv1",), "until": "listing"}
    pipeline.run(config(images, tmp_path / "store", **odd, extras=("everything",)), Inline())
    made = open_run(tmp_path / "store", "small")
    assert made.version.about["config"]["extras"] == ["influence", "gradients", "gallery"]
    assert "has no class scores" in made.version.about["no_scores"]
    assert reproduce.possible_extras(made) == ["influence", "gradients", "meaning", "gallery"]
    with pytest.raises(UsageError, match="--with attribution: the model has no class scores"):
        pipeline.run(config(images, tmp_path / "store", **odd, extras=("attribution",)), Inline())


def test_scores_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    class Nothing:
        def __init__(self, **values: Any) -> None:
            self.__dict__.update(values)

    there = np.array([True, False, True])
    found = Nothing(there=there, classes=np.arange(6).reshape(3, 2), logit=np.ones((3, 2), np.float32))
    found.probability = np.full((3, 2), np.nan, np.float32)
    table = choices.to_table(found, np.array([4, 7, 9]))  # type: ignore[arg-type]
    assert table["image_id"].to_pylist() == [4, 4, 9, 9]
    assert table["class"].to_pylist() == [0, 1, 4, 5]
    assert table["probability"].null_count == 4
