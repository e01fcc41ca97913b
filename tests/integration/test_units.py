"""Unit cards: against every activation of every image, and on a network whose detectors are known."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import brute, corpus, detectors

from atlas import enrichment
from flows.cli import invoke
from flows.config import RunConfig
from flows.drawing import unit_pictures
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.questions import unit_samples, units
from flows.questions.patches import SIDES
from flows.sheets import unit_card
from flows.stages.shared.patch_boxes import PatchBoxes
from storage.errors import NotFound
from storage.run import Run, open_run

LAYER, LATER = corpus.LAYERS


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    images = corpus.write_images(tmp_path_factory.mktemp("images"), 40)
    extras = ("attribution", "influence", "gradients")
    config = corpus.config(images, tmp_path_factory.mktemp("store"), until="cells", grids=(2, 4), extras=extras)
    pipeline.run(config, Inline())
    return config


# --- against brute force


def test_samples_and_examples_are_those_of_the_images(finished: RunConfig) -> None:
    opened = open_run(finished.store, "small")
    found, samples = brute.all_activations(finished, opened, LATER), opened.samples(LATER)
    for number in (0, 7):
        answer = units.unit(opened, LATER, number)
        values = np.array(
            [found[i][number, y, x] for i, y, x in zip(samples.image_id.tolist(), samples.y, samples.x, strict=True)]
        )
        spread = answer["samples"]
        assert spread["count"] == len(values) == 80
        assert spread["zeros"] == (values == 0).mean()
        assert spread["largest"] == pytest.approx(values.max(), rel=1e-4)
        assert spread["quantiles"]["0.5"] == pytest.approx(np.median(values), rel=1e-3, abs=1e-4)
        assert sum(spread["histogram"]["counts"]) == sum(part["count"] for part in answer["intervals"]) == 80
        for part in answer["intervals"]:
            assert len(part["examples"]) == min(units.EACH, part["count"])
            for example in part["examples"]:
                there = found[example["image_id"]][number, example["y"], example["x"]]
                assert example["value"] == pytest.approx(there, rel=1e-4, abs=1e-5)
                assert part["from"] - 1e-5 <= example["value"] <= part["to"] + 1e-5
                assert Path(example["path"]).parent.name == example["label"]


def test_the_focus_of_an_example_is_that_of_a_patch(finished: RunConfig) -> None:
    opened = open_run(finished.store, "small")
    places = PatchBoxes(
        opened.store, [entry.key for entry in opened.version.stages if entry.stage == "images"], finished
    )
    for part in units.unit(opened, LATER, 3)["intervals"]:
        for one in part["examples"]:
            at = (np.array([one["image_id"]]), np.array([one["y"]]), np.array([one["x"]]))
            box = places.boxes(opened.field(LATER), *at)
            assert one["focus"] == {side: int(box[f"focus_{side}"][0]) for side in SIDES}


def classes_beyond(run: Run, number: int, shuffled: int | None = None) -> int:
    """Count the classes that a unit speaks for, or against, beyond chance; of cells in another order if asked."""
    shared = units.Shared(run, LATER)
    cells, attribution = shared.attributed
    if shuffled is not None:
        order = np.random.default_rng(shuffled).permutation(len(cells.row))
        cells = dataclasses.replace(cells, mean=cells.mean[order])
    shared.__dict__["attributed"] = cells, attribution
    related = units.unit(run, LATER, number, shared=shared)["classes"]
    assert related["cells"] == (attribution.used > 0).sum()
    assert related["bound"] is not None
    return sum(unit_card.stands_out(related, row) for row in related["for"] + related["against"])


def count_beyond(run: Run) -> tuple[int, int]:
    """Return how many classes of all units are beyond chance, and how many of cells in another order."""
    numbers = range(run.result("patches", LATER).counts["units"])
    return sum(classes_beyond(run, n) for n in numbers), sum(classes_beyond(run, n, n) > 0 for n in numbers)


def test_classes_of_cells_in_another_order_are_within_chance(finished: RunConfig) -> None:
    opened = open_run(finished.store, "small")
    there, by_chance = count_beyond(opened)
    assert by_chance <= 2
    assert there > by_chance


def test_mutant_without_a_bound_cells_in_another_order_speak_too(
    finished: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrichment, "bound_of", lambda largest: 0.0)
    assert count_beyond(open_run(finished.store, "small"))[1] > 2


def test_labels_and_links_are_those_of_the_tables(finished: RunConfig) -> None:
    opened = open_run(finished.store, "small")
    for number in (0, 7):
        answer = units.unit(opened, LATER, number)
        labels = [row["label"] for row in opened.patches(LATER, number, 64).to_pylist() if row["value"]]
        share = np.array([labels.count(label) / len(labels) for label in set(labels)])
        assert {row["label"]: row["patches"] for row in answer["labels"]["counts"]} == {
            label: labels.count(label) for label in set(labels)
        }
        assert answer["labels"]["entropy"] == pytest.approx(-(share * np.log2(share)).sum())
        links = [
            (earlier, row["influence"])
            for earlier in range(8)
            for row in opened.influence(LAYER, earlier).to_pylist()
            if row["later_unit"] == number and row["influence"] > 0
        ]
        links.sort(key=lambda pair: -pair[1])
        assert [(row["unit"], row["influence"]) for row in answer["driven"]["exciting"]] == links[: units.LINKS]
        assert answer["drives"] is None
    assert units.unit(opened, LAYER, 1)["drives"]["later_layer"] == LATER


def test_what_a_run_has_not_is_none(tmp_path: Path) -> None:
    images = corpus.write_images(tmp_path / "images", 16)
    pipeline.run(corpus.config(images, tmp_path / "store", until="patches"), Inline())
    opened = open_run(tmp_path / "store", "small")
    answer = units.unit(opened, LATER, 2)
    assert answer["classes"] is answer["drives"] is answer["driven"] is None
    with pytest.raises(NotFound, match="its units are 0 to 11"):
        units.unit(opened, LATER, 12)


# --- mutants: each is a fault in what a card is made by, and the test that is to see it


def moved(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"focus": {side: place + 1 for side, place in row["focus"].items()}} for row in rows]


FAULTS: dict[str, tuple[Any, str, Callable[[Any], Any], str]] = {
    "the values of others": (unit_samples, "spread", lambda f: lambda v: f(v[1:]), "samples"),
    "the sample before": (
        unit_samples,
        "_positions",
        lambda f: lambda run, layer, samples, rows: f(run, layer, samples, [row - 1 for row in rows]),
        "samples",
    ),
    "a focus a pixel off": (unit_samples, "_positions", lambda f: lambda *told: moved(f(*told)), "focus"),
    "the labels of the next unit": (units, "_labels", lambda f: lambda shared, n: f(shared, n + 1), "labels"),
    "the links of the next unit": (units, "_driven", lambda f: lambda run, layer, n: f(run, layer, n + 1), "labels"),
    "the next patch's picture": (
        unit_pictures,
        "_crops",
        lambda f: lambda run, places: f(run, [*places[1:], *places[:1]]),
        "cut",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_mutant_cards_are_seen(fault: str, finished: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name, wrong, seen_by = FAULTS[fault]
    tests = {
        "samples": test_samples_and_examples_are_those_of_the_images,
        "focus": test_the_focus_of_an_example_is_that_of_a_patch,
        "labels": test_labels_and_links_are_those_of_the_tables,
        "cut": test_pictures_are_cut_from_where_the_patches_lie,
    }
    monkeypatch.setattr(module, name, wrong(getattr(module, name)))
    with pytest.raises(AssertionError):
        tests[seen_by](finished)


# --- on known detectors


def planted(folder: Path, model: str) -> Run:
    images = folder / "images"
    if not images.exists():
        detectors.write_images(images, 140)
    config = corpus.config(
        images,
        folder / model,
        model=f"support.detectors:{model}",
        layers=("relu",),
        until="cells",
        grids=(8,),
        samples_per_image=4,
        extras=("attribution", "gradients"),
    )
    pipeline.run(config, Inline())
    return open_run(config.store, "small")


def unlike(opened: Run) -> list[str]:
    """Say where the units' cards are not of the detectors that were planted."""
    said = []
    for number, colour in enumerate(("red", "green", "red", "green")):
        answer, other = units.unit(opened, "relu", number), (number + 2) % 4
        patches = answer["positive"]["patches"]
        if {patch["label"] for patch in patches} != {colour} or answer["labels"]["counts"][0]["label"] != colour:
            said.append(f"unit {number} shows {sorted({patch['label'] for patch in patches})}")
        middles = [map(int, Path(patch["path"]).stem.split("_")[1:]) for patch in patches]
        off = [max(abs(patch["y"] - y), abs(patch["x"] - x)) for patch, (y, x) in zip(patches, middles, strict=True)]
        if max(off) > detectors.SQUARE // 2:
            said.append(f"unit {number} looks {max(off)} pixels off the square")
        if [row["unit"] for rows in answer["alike"].values() for row in rows[:1]] != [other] * 2:
            said.append(f"unit {number} is like {answer['alike']}")
        if [row["class"] for row in answer["classes"]["for"]][:1] != [detectors.COLOURS.index(colour)]:
            said.append(f"unit {number} goes with {answer['classes']['for']}")
        pictures = np.concatenate([p.reshape(-1, 3) for p in opened.gradients("relu", number).pictures]) - 128.0
        if pictures.mean(axis=0).argmax() != detectors.COLOURS.index(colour):
            said.append(f"unit {number} is driven by {pictures.mean(axis=0)}")
    return said


def test_cards_recover_what_was_planted(tmp_path: Path) -> None:
    assert unlike(planted(tmp_path, "net")) == []
    assert len(unlike(planted(tmp_path, "shuffled"))) >= 8


# --- the card


def test_the_command_writes_the_card(finished: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, ask = tmp_path / "card.png", ["unit", "small", f"{LATER}:3", "--store", finished.store]
    assert invoke([*ask, "--sheet", str(out), "--gradients", "gradient", "--no-draw", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["method"] == "gradient"
    assert answer["unit"] == 3
    drawn = Image.open(out)
    assert drawn.width == unit_card.WIDTH
    assert 1000 < drawn.height < 4000
    assert invoke(ask) == 0
    assert "cosine" in capsys.readouterr().out
    for wrong in (["--gradients", "gradient"], ["--sheet", "card.jpg"], ["--sheet", str(out), "--gradients", "x"]):
        assert invoke([*ask, *wrong]) == 2
    assert invoke(["unit", "small", f"{LATER}:99", "--store", finished.store]) == 4


def test_without_the_images_the_card_has_what_was_kept(finished: RunConfig, tmp_path: Path) -> None:
    images = corpus.write_images(tmp_path / "images", 20)
    pipeline.run(corpus.config(images, tmp_path / "store", until="patches"), Inline())
    shutil.rmtree(images)
    opened = open_run(tmp_path / "store", "small")
    answer = units.unit(opened, LATER, 3)
    made = unit_pictures.gather(opened, answer, draw=False)
    assert all(picture is not None for picture in made.patches["positive"])
    assert all(picture is None for row in made.examples for picture in row)
    assert made.gradients == {}
    assert len(made.remarks) == 1
    assert "images are no longer at" in made.remarks[0]
    assert unit_card.draw(answer, made).shape[1] == unit_card.WIDTH


def test_pictures_are_cut_from_where_the_patches_lie(finished: RunConfig) -> None:
    opened = open_run(finished.store, "small")
    answer = units.unit(opened, LATER, 3)
    made = unit_pictures.gather(opened, answer, draw=False)
    examples: list[Any] = [one for part in answer["intervals"] for one in part["examples"]]
    pairs = [*zip(answer["negative"]["patches"], made.patches["negative"], strict=True)]
    pairs += zip(examples, [picture for row in made.examples for picture in row], strict=True)
    for place, picture in pairs:
        box = tuple(place["focus"][side] for side in SIDES)
        image = (
            Image.open(place["path"]).convert("RGB").crop(box).resize(picture.shape[1::-1], Image.Resampling.BILINEAR)
        )
        assert np.abs(np.asarray(image, float) - picture).mean() < 12  # JPEG of stripes three pixels wide


def test_a_unit_that_never_changes_has_a_card(finished: RunConfig) -> None:
    opened = open_run(finished.store, "small")
    answer = units.unit(opened, LATER, 3)
    answer["intervals"], made = answer["intervals"][:1], unit_pictures.gather(opened, answer, draw=False)
    for side in ("positive", "negative"):
        answer[side] = answer[side] | {"patches": [], "note": "no data: no finite value was seen"}
    answer |= {"samples": None, "intervals": [], "alike": {"activation": [], "images": []}}
    made.patches, made.gradients, made.examples = {"positive": [], "negative": []}, {}, []
    assert unit_card.sentence(answer) == "no data: no finite value was seen"
    assert unit_card.draw(answer, made).shape[1] == unit_card.WIDTH


def test_the_query_loads_no_torch(finished: RunConfig) -> None:
    import subprocess
    import sys

    code = (
        "import sys\nfrom flows.questions import units\nfrom storage.run import open_run\n"
        f"units.unit(open_run({finished.store!r}, 'small'), {LATER!r}, 3)\n"
        "print([m for m in ('torch', 'prefect') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
