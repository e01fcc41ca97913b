"""Two runs held against each other as datasets: planted images are found and named, gates close, mistakes are one line."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from support import corpus

from atlas.comparing import two_samples
from flows import cli
from flows.comparing import compare, thresholds
from flows.comparing.datasets import answers, measure, pair
from flows.comparing.datasets import table as dataset_table
from flows.config import RunConfig
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.sheets import datasets as sheet
from flows.viewer.answers import catalogue
from flows.viewer.answers.open_runs import OpenRuns
from storage.errors import UsageError
from storage.run import open_run

LAYER = corpus.LAYERS[1]
PLANTED = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sets: 60 images; 40 others with 20 plain ones; and 40 others alone, under the keys of the first set."""
    folder = tmp_path_factory.mktemp("sets")
    corpus.write_images(folder / "a", 60)
    corpus.write_images(folder / "b", 40, seed=9)
    shutil.copytree(folder / "b", folder / "c")
    (folder / "b" / "plain").mkdir()
    for number in range(PLANTED):
        pixels = np.full((50, 60, 3), (250 - number, 250, 250), np.uint8)
        Image.fromarray(pixels).save(folder / "b" / "plain" / f"{number:04d}.png")
    return folder


@pytest.fixture(scope="module")
def store(folder: Path) -> Path:
    """Runs of the three; the second and third have no map."""
    store = folder / "store"
    pipeline.run(corpus.config(folder / "a", store, name="a", until="cells", keep=("peaks",)), Inline())
    pipeline.run(corpus.config(folder / "b", store, name="b", until="collect", keep=("peaks",)), Inline())
    pipeline.run(corpus.config(folder / "c", store, name="c", until="collect"), Inline())
    return store


@pytest.fixture(scope="module")
def measured(store: Path) -> tuple[pair.Datasets, list[measure.LayerDifference]]:
    compared = pair.datasets(str(store), ["a", "b"])
    return compared, list(measure.measure(compared))


@pytest.fixture(scope="module")
def answer(measured: Any) -> dict[str, Any]:
    return dict(answers.describe(*measured))


def layer_of(answer: dict[str, Any], layer: str = LAYER) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in answer["layers"] if row["layer"] == layer)
    return found


def test_planted_images_are_found_and_named(answer: dict[str, Any]) -> None:
    assert [(one["run"], one["images"]) for one in answer["datasets"]] == [("a", 60), ("b", 60)]
    layer = layer_of(answer)
    assert layer["p"] <= 0.001
    first = layer["cells"]["4"]["cells"][0]
    assert first["state"] in ("denser", "appeared")
    assert first["ratio"] is None or first["low"] > 1
    named = [Path(image["path"]).parent.name for image in first["images"]]
    assert Counter(named).most_common(1)[0][0] == "plain"
    assert first["makers"] >= PLANTED
    assert all(Path(image["path"]).is_file() for image in first["images"])


def test_an_unchanged_set_does_not_differ(store: Path) -> None:
    found = compare.compare_datasets(str(store), "a", "c")
    for layer in found["layers"]:
        assert layer["p"] > 0.05
        assert layer["shift"] == 0
        assert all(cell["state"] == "even" for cell in layer["cells"]["4"]["cells"])
        assert layer["p_peaks"] is None


def test_cells_count_the_samples_that_lie_there(measured: Any, answer: dict[str, Any]) -> None:
    sides = measured[1][1].measured.sides
    for cell in layer_of(answer)["cells"]["4"]["cells"]:
        inside = [
            [(int(y * 4), int(x * 4)) == (cell["row"], cell["col"]) for x, y in side.placed.points.tolist()]
            for side in sides
        ]
        assert cell["samples"] == [sum(one) for one in inside]
        assert sum(cell["samples"]) >= 2
        assert cell["shares"] == pytest.approx([sum(one) / len(one) for one in inside])  # two samples an image
    states = Counter(cell["state"] for cell in layer_of(answer)["cells"]["4"]["cells"])
    assert {name: layer_of(answer)["cells"]["4"][name] for name in answers.STATES} == {
        name: states[name] for name in answers.STATES
    }


def test_units_shift_by_deviations_of_the_reference(store: Path, answer: dict[str, Any]) -> None:
    means = []
    for name in ("a", "b"):
        samples = open_run(store, name).samples(LAYER)
        ids = np.unique(samples.image_id)
        means.append(np.array([samples.activations[samples.image_id == i].mean(axis=0) for i in ids], np.float64))
    units = {unit["unit"]: unit for unit in layer_of(answer)["units"]}
    expected = (means[1].mean(axis=0) - means[0].mean(axis=0)) / means[0].std(axis=0)
    assert [units[u]["shift"] for u in range(12)] == pytest.approx(expected.tolist(), rel=1e-4)
    beyond = [abs(unit["shift"]) for unit in units.values() if unit["beyond"]]
    assert layer_of(answer)["shift"] == max(beyond) > 0.2
    best = [np.concatenate([part.value[:, 0] for part in open_run(store, name).peaks(LAYER)], axis=1) for name in "ab"]
    shift = (best[1].mean(axis=1) - best[0].mean(axis=1)) / best[0].std(axis=1)
    assert [units[u]["peak"]["shift"] for u in range(12)] == pytest.approx(shift.tolist(), rel=1e-3)


def test_labels_are_compared(answer: dict[str, Any]) -> None:
    labels = layer_of(answer)["labels"]
    assert labels[0]["label"] == "plain"
    assert (labels[0]["images"], labels[0]["beyond"], labels[0]["shift"]) == ([0, PLANTED], True, None)
    assert {row["label"]: row["images"] for row in labels[1:]} == {
        "noise": [20, 13], "stripes": [20, 14], "checks": [20, 13]
    }  # fmt: skip
    assert not any(row["shift_beyond"] for row in labels[1:])


def same_images(store: Path, before: str, after: str) -> bool:
    return pair.share_images(open_run(store, before), open_run(store, after))


def say(capsys: pytest.CaptureFixture[str], store: Path, *arguments: str) -> tuple[int, str, str]:
    code = cli.invoke(["compare", *arguments, "--store", str(store)])
    return code, *capsys.readouterr()


def test_the_command_tells_datasets_from_versions(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sets a and c share keys, but no content; a and itself share both."""
    assert same_images(store, "a", "a")
    assert not same_images(store, "a", "c")
    code, out, _ = say(capsys, store, "a", "c", "--layer", LAYER)
    assert (code, out.splitlines()[0]) == (0, "a@1 (60 images) and c@1 (40 images): two datasets")
    assert "p: 9,999 permutations of whole images" in out
    code, out, err = say(capsys, store, "b", "c", "--versions", "--fail-if", "shift>0.1")
    assert (code, "versions has no shift" in err) == (2, True)
    code, out, err = say(capsys, store, "a", "a", "--datasets", "--json", "--fail-if", "p<0.05", "--fail-if", "shift>0")
    assert (code, json.loads(out)["shared_images"]) == (0, 60)


def test_parts_of_one_source_without_a_common_image_are_datasets(store: Path, folder: Path) -> None:
    """Both list the same images; which of them each has read decides."""
    for name in ("stripes", "checks"):
        part = corpus.config(folder / "a", store, name=name, until="collect", where=f"label = '{name}'")
        pipeline.run(part, Inline())
    assert not same_images(store, "stripes", "checks")
    assert same_images(store, "stripes", "a")
    for name in ("stripes", "checks"):
        selected = RunConfig(store=str(store), name=f"of-{name}", of="a", until="cells", where=f"label = '{name}'")
        pipeline.run(selected, Inline())
    assert not same_images(store, "of-stripes", "of-checks")
    found = compare.compare_datasets(str(store), "of-stripes", "of-checks")
    assert [one["images"] for one in found["datasets"]] == [20, 20]
    assert found["shared_images"] == 0
    assert layer_of(dict(found))["p"] <= 0.01


def test_the_command_is_a_gate_on_incoming_data(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gate = ("--fail-if", "p<0.001", "--fail-if", "shift>0.2", "--fail-if", "emptied>0.9")
    code, out, err = say(capsys, store, "a", "b", *gate, "--layer", LAYER)
    assert code == thresholds.CROSSED
    assert f"p<0.001: p of {LAYER} in b@1 is" in err
    assert f"shift>0.2: shift of {LAYER} in b@1 is" in err
    assert "emptied>" not in err
    assert "cells that differ" in out
    assert say(capsys, store, "a", "c", *gate)[0] == 0
    code, _, err = say(capsys, store, "a", "b", "--fail-if", "drift>0.2")
    assert (code, "two datasets has no drift" in err) == (2, True)


def test_files_hold_what_differs(
    store: Path, answer: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ("--out", str(tmp_path / "d.png"), "--parquet", str(tmp_path / "d.parquet"))
    code, out, _ = say(capsys, store, "a", "b", *files, "--json")
    assert code == 0
    assert json.loads(out)["layers"] == json.loads(json.dumps(answer["layers"]))
    table = pq.read_table(tmp_path / "d.parquet")
    assert table.schema.names == dataset_table.COLUMNS.names
    rows = table.to_pylist()
    assert Counter(row["what"] for row in rows if row["layer"] == LAYER) == {
        "cell": len(layer_of(answer)["cells"]["4"]["cells"]), "unit": 12, "peak": 12, "label": 4, "sample": 240
    }  # fmt: skip
    shifts = {row["unit"]: row["shift"] for row in rows if (row["what"], row["layer"]) == ("unit", LAYER)}
    assert shifts == {unit["unit"]: unit["shift"] for unit in layer_of(answer)["units"]}
    with Image.open(tmp_path / "d.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}
    assert {sheet.INK, sheet.QUIET, sheet.LINE} <= colours
    assert {(250 - number, 250, 250) for number in range(PLANTED)} & colours  # a planted image, as it is


def test_datasets_of_different_models_are_refused(
    store: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = corpus.net().state_dict()
    state["features.3.weight"] *= 1.5
    torch.save(state, tmp_path / "other.pt")
    other = corpus.config(folder / "c", store, name="other", until="collect", weights=str(tmp_path / "other.pt"))
    pipeline.run(other, Inline())
    code, _, err = say(capsys, store, "a", "other")
    assert code == 2
    assert err.count("\n") == 1
    assert f"different models up to {LAYER}" in err
    assert say(capsys, store, "a", "other", "--layer", corpus.LAYERS[0])[0] == 0  # the same up to there


def test_mistakes_are_one_line(store: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = corpus.config(folder / "c", store, name="one", until="collect", layers=(LAYER,), limit=1)
    pipeline.run(one, Inline())
    for arguments, words in (
        (("c", "a", "--datasets"), "c@1 has no map"),
        (("a", "one"), "1 images; a dataset has at least 2"),
        (("a", "one", "--layer", corpus.LAYERS[0]), "one@1 has no samples of"),
        (("a", "b", "c", "--datasets"), "two datasets are compared at a time"),
        (("a", "nowhere", "--datasets"), "no run 'nowhere'"),
    ):
        code, _, err = say(capsys, store, *arguments)
        assert code in (2, 4)
        assert err.splitlines()[-1].startswith("actlas") or words in err
        assert words in err
        assert "Traceback" not in err


def test_a_layer_that_the_second_lacks_does_not_pass_unseen(
    store: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    less = corpus.config(folder / "c", store, name="less", until="collect", layers=(LAYER,))
    pipeline.run(less, Inline())
    code, _, err = say(capsys, store, "a", "less", "--fail-if", "shift>5")
    assert code == thresholds.CROSSED
    assert f"{corpus.LAYERS[0]} is left out: less@1 has no samples of it" in err
    assert f"shift>5: shift of {corpus.LAYERS[0]} in less@1 cannot be told" in err


def test_the_viewer_claims_no_motion_between_different_images(store: Path, folder: Path) -> None:
    """Neither where no key is common, nor where keys are and contents differ; it names the command."""
    shutil.copytree(folder / "b", folder / "d" / "deeper")
    pipeline.run(corpus.config(folder / "d", store, name="d", until="cells"), Inline())
    pipeline.run(corpus.config(folder / "c", store, name="c2", until="cells"), Inline())
    runs = OpenRuns(str(store))
    asked = {"layer": LAYER, "since": f"a@{runs.version('a').tag}"}
    for name in ("d", "c2"):
        with pytest.raises(UsageError, match=f"actlas compare a@1 {name}@1 --datasets"):
            catalogue.answer(runs.version(name), "moved", asked)
    assert catalogue.answer(runs.version("a"), "moved", asked)["displacement"]["median"] == 0


def test_the_answer_is_the_same_every_time(store: Path, answer: dict[str, Any]) -> None:
    assert compare.compare_datasets(str(store), "a", "b", layers=[LAYER])["layers"] == [layer_of(answer)]
    assert two_samples.PERMUTATIONS == 9_999
    assert "9,999" in answer["rule"]
