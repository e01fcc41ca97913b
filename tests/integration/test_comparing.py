"""What an update moved, asked of whole runs: against SciPy and the readers of the runs themselves."""

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
from scipy.stats import spearmanr
from support import corpus

from atlas.layout import layout as layouts
from flows import cli
from flows.comparing import answers as comparison_answer
from flows.comparing import compare, layout_noise, measure, pairs, thresholds, unit_changes
from flows.comparing import table as comparison_table
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.sheets import comparison as comparison_sheet
from storage.errors import NotFound, UsageError
from storage.run import Run, open_run
from storage.store import verify
from storage.store.store import Store

EARLY, LATE = corpus.LAYERS
SCRAMBLED = (2, 7)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"), 120)


@pytest.fixture(scope="module")
def store(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions: the net, one whose second convolution is shaken with two units scrambled, one shaken harder."""
    folder, state = tmp_path_factory.mktemp("store"), corpus.net().state_dict()
    generator = torch.Generator().manual_seed(1)
    pipeline.run(corpus.config(images, folder / "store", limit=110), Inline())
    for number, amount in ((1, 0.01), (2, 0.1)):
        state["features.3.weight"] += amount * torch.randn(state["features.3.weight"].shape, generator=generator)
        for unit in SCRAMBLED if number == 1 else ():
            kernel = state["features.3.weight"][unit]
            state["features.3.weight"][unit] = -kernel.flatten()[torch.randperm(kernel.numel())].reshape(kernel.shape)
        torch.save(state, folder / f"{number}.pt")
        pipeline.run(corpus.config(images, folder / "store", weights=str(folder / f"{number}.pt")), Inline())
    return folder / "store"


@pytest.fixture(scope="module")
def steps(store: Path) -> Any:
    return measure.measure(str(store), ["small@1", "small@2", "small@3"])


@pytest.fixture(scope="module")
def answer(steps: Any) -> dict[str, Any]:
    return comparison_answer.describe(steps)


def layer_of(answer: dict[str, Any], step: int, layer: str) -> dict[str, Any]:
    found: dict[str, Any] = next(made for made in answer["steps"][step]["layers"] if made["layer"] == layer)
    return found


def by_place(run: Run, layer: str) -> dict[tuple[Any, ...], np.ndarray]:
    """Return the sampled vectors by the image's key, position, and which of those there it is."""
    names = {row["image_id"]: row["key"] for row in run.images().to_pylist()}
    samples, seen, found = run.samples(layer), Counter[tuple[Any, ...]](), {}
    for vector, i, y, x in zip(samples.activations, samples.image_id.tolist(), samples.y, samples.x, strict=True):
        place = (names[i], int(y), int(x))
        found[*place, seen[place]] = vector
        seen[place] += 1
    return found


def wrong_drifts(store: Path, answer: dict[str, Any]) -> list[int]:
    """Return the units whose drift from version 1 to 2 is not what SciPy says of the joined samples."""
    old, new = (by_place(open_run(store, f"small@{n}"), LATE) for n in (1, 2))
    both = sorted(old.keys() & new.keys())
    a, b = (np.array([found[place] for place in both]) for found in (old, new))
    made = layer_of(answer, 0, LATE)
    assert made["samples"] == len(both) == 220
    expected = [1 - spearmanr(a[:, u], b[:, u]).statistic for u in range(12)]
    return [row["unit"] for row in made["units"] if abs(row["drift"] - expected[row["unit"]]) > 1e-9]


def test_drift_is_scipys_over_the_joined_samples(store: Path, answer: dict[str, Any]) -> None:
    assert wrong_drifts(store, answer) == []


def test_mutant_samples_paired_by_row_are_seen(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs.pairing, "shared_rows", lambda a, b: (np.arange(220), np.arange(220)[::-1]))
    assert wrong_drifts(store, compare.compare(str(store), ["small@1", "small@2"], layers=[LATE], noisy=False))


def test_scrambled_units_come_first_and_unchanged_layers_are_still(answer: dict[str, Any]) -> None:
    units = [row["unit"] for row in layer_of(answer, 0, LATE)["units"]]
    assert set(units[: len(SCRAMBLED)]) == set(SCRAMBLED)
    later = layer_of(answer, 1, EARLY)
    assert (later["same_samples"], later["same_layout"]) == (True, True)
    assert later["displacement"] == {
        "median": 0, "q95": 0, "noise_median": 0, "noise_q95": 0, "beyond_noise": 0
    }  # fmt: skip
    assert later["drift"]["q95"] == pytest.approx(0, abs=1e-12)
    assert all(grid["kept"] == len(grid["cells"]) for grid in later["cells"].values())


def overlaps(store: Path) -> dict[int, float]:
    """Count by hand what the strongest sixteen images of each unit, of those in both runs, have in common."""
    runs = [open_run(store, f"small@{n}") for n in (1, 2)]
    names = [{row["image_id"]: row["key"] for row in run.images().to_pylist()} for run in runs]
    found = {}
    for unit in range(12):
        lists = []
        for run, mine, theirs in zip(runs, names, names[::-1], strict=True):
            keys = [mine[row["image_id"]] for row in run.patches(LATE, unit, 64).to_pylist()]
            lists.append([key for key in keys if key in theirs.values()][: unit_changes.PATCHES])
        found[unit] = len(set(lists[0]) & set(lists[1])) / max(map(len, lists))
    return found


def test_overlap_is_that_of_the_listed_patches(store: Path, answer: dict[str, Any]) -> None:
    made = {row["unit"]: row["overlap"] for row in layer_of(answer, 0, LATE)["units"]}
    assert made == pytest.approx(overlaps(store))
    assert min(made.values()) < max(made.values())


def test_mutant_overlap_by_rank_is_seen(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_changes, "overlap", lambda a, b: (a == b).mean(axis=1))
    made = compare.compare(str(store), ["small@1", "small@2"], layers=[LATE], noisy=False)
    assert {row["unit"]: row["overlap"] for row in layer_of(made, 0, LATE)["units"]} != pytest.approx(overlaps(store))


def test_old_labels_are_the_commonest_of_the_old_patches(store: Path, answer: dict[str, Any]) -> None:
    old = open_run(store, "small@1")
    for row in layer_of(answer, 0, LATE)["units"]:
        labels = Counter(p["label"] for p in old.patches(LATE, row["unit"], 16).to_pylist())
        assert labels[row["old_label"]] == max(labels.values())


def test_cells_add_up(answer: dict[str, Any]) -> None:
    for step in (0, 1):
        for grid in layer_of(answer, step, LATE)["cells"].values():
            states = Counter(cell["state"] for cell in grid["cells"])
            assert {name: grid[name] for name in ("kept", "changed", "appeared", "emptied")} == {
                name: states[name] for name in ("kept", "changed", "appeared", "emptied")
            }
            for cell in grid["cells"]:
                filled = [cell["old_samples"] >= 2, cell["new_samples"] >= 2]
                assert filled == [cell["state"] != "appeared", cell["state"] != "emptied"]
    assert json.loads(json.dumps(answer)) == answer


def test_a_turned_layout_is_brought_over(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same samples laid out upside down, in a frame of their own: nothing has moved."""
    drawn = Run.layout

    def turned(run: Run, layer: str) -> np.ndarray:
        return 1 - drawn(run, layer) if run.number == 3 else drawn(run, layer)

    def early(frame: str) -> Any:
        monkeypatch.setattr(pairs, "frame_of", lambda run, layer: frame.format(run.number))
        found = compare.compare(str(store), ["small@2", "small@3"], layers=[EARLY], noisy=False)
        return layer_of(found, 0, EARLY)

    monkeypatch.setattr(Run, "layout", turned)
    assert not early("of {}")["same_frame"]
    assert early("of {}")["displacement"]["q95"] < 1e-5
    assert early("one")["displacement"]["median"] > 0.1


def test_the_frame_of_a_layout_is_followed_back(store: Path) -> None:
    frames = [pairs.frame_of(open_run(store, f"small@{n}"), LATE) for n in (1, 2, 3)]
    assert frames == [open_run(store, "small@1").result("layout", LATE).key] * 3


@pytest.mark.parametrize("framed", [True, False])
def test_noise_draws_the_anchors_that_the_layout_drew(
    framed: bool, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, drawn = open_run(store, "small@1"), []

    def few(*arguments: Any, **settings: Any) -> layouts.Layout:
        drawn.append(layouts_layout(*arguments, anchors=60, **settings))
        return drawn[-1]

    layouts_layout = layouts.layout
    monkeypatch.setattr(layouts, "layout", few)
    samples = run.samples(LATE)
    keys = layout_noise.sample_names(
        layout_noise.image_listing.key_hashes(run.store, run.result("listing").key, samples.image_id)
    )
    layouts.layout(samples.activations, method="pca", keys=keys)
    layout_noise._lay_out(run, LATE, samples, 1, framed)
    assert drawn[0].anchors.tolist() == drawn[1].anchors.tolist()


def test_noise_is_kept_and_measured_once(store: Path, steps: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(Store(store).results("noise")) == 3  # version 1 has fewer images: all layers of it, one of version 2
    monkeypatch.setattr("flows.comparing.layout_noise.layouts.layout", None)
    again = measure.measure(str(store), ["small@1", "small@2"])
    for first, second in zip(steps[0], again[0], strict=True):
        assert np.array_equal(first.noise, second.noise)
    assert verify.verify(Store(store)) == []


def test_runs_that_share_nothing_are_refused(store: Path, images: Path, tmp_path: Path) -> None:
    pipeline.run(corpus.config(images, store, name="apart", limit=40, seed=5, until="layout", layers=(LATE,)), Inline())
    with pytest.raises(NotFound, match=r"apart@1 has no layout of 'features.2'"):
        compare.compare(str(store), ["small", "apart"], layers=[EARLY])
    with pytest.raises(UsageError, match="two runs or more"):
        compare.compare(str(store), ["small"])
    corpus.write_images(tmp_path / "others" / "deeper", 30, seed=9)
    pipeline.run(corpus.config(tmp_path / "others", store, name="others", until="layout"), Inline())
    with pytest.raises(UsageError, match="no sample of features"):
        compare.compare(str(store), ["small", "others"])


def test_the_same_images_elsewhere_are_the_same_samples(store: Path, images: Path, tmp_path: Path) -> None:
    """Another place gives other ids, and no collect result is shared; keys tell."""
    shutil.copytree(images, tmp_path / "moved")
    (tmp_path / "moved" / "noise" / "0002.png").unlink()
    pipeline.run(corpus.config(tmp_path / "moved", store, name="moved", until="layout"), Inline())
    made = compare.compare(str(store), ["small@1", "moved"], noisy=False)["steps"][0]["layers"][0]
    assert made["samples"] >= 2 * 109
    assert made["drift"]["q95"] == pytest.approx(0, abs=1e-6)
    assert made["overlap"] == 1


def test_thresholds_read_the_answer() -> None:
    layer = {
        "layer": "a",
        "drift": {"median": 0.3},
        "overlap": None,
        "cells": {"4": {"cells": [{"state": "kept"}] * 3 + [{"state": "emptied"}]}},
    }
    answer: dict[str, Any] = {"left_out": [], "steps": [{"from": "a@1", "to": "a@2", "layers": [layer]}]}

    def crossed(*texts: str) -> list[str]:
        return [row["rule"] for row in thresholds.crossings(answer, [thresholds.parse(text) for text in texts])]

    assert crossed("drift>0.2", "drift > 0.3", "drift>=0.3", "drift<0.31") == ["drift>0.2", "drift>=0.3", "drift<0.31"]
    assert crossed("emptied>0.2", "emptied>0.25", "appeared>0") == ["emptied>0.2"]
    assert crossed("overlap<0.5") == ["overlap<0.5"]  # what cannot be told does not pass
    answer["left_out"] = [{"layer": "gone", "missing": ["a@2"]}]
    assert crossed("drift>0.9", "changed<0") == ["drift>0.9", "changed<0"]
    for wrong in ("drift", "drift>much", "drift>1e", "speed>3", "drift=3", "drift>1e999", "drift<-1e999"):
        with pytest.raises(UsageError, match="--fail-if"):
            thresholds.parse(wrong)


def say(capsys: pytest.CaptureFixture[str], store: Path, *arguments: str) -> tuple[int, str, str]:
    code = cli.invoke(["compare", *arguments, "--store", str(store)])
    return code, *capsys.readouterr()


def test_the_command_is_a_gate(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = say(capsys, store, "small@1", "small@3", "--fail-if", "drift>0.2", "--fail-if", "emptied>0.99")
    assert code == 5
    assert f"drift>0.2: drift of {LATE} in small@3 is" in err
    assert f"of {EARLY}" not in err
    assert out.splitlines()[0] == "small@1 → small@3"
    assert [line.split()[0] for line in out.splitlines()[2:4]] == list(corpus.LAYERS)
    assert say(capsys, store, "small@1", "small@3", "--layer", EARLY, "--fail-if", "drift>0.2")[0] == 0
    assert say(capsys, store, "small@1", "small@3", "--fail-if", "weight>1")[0] == 2
    assert say(capsys, store, "small@1", "small@9")[0] == 4


def test_a_layer_that_is_gone_does_not_pass_unseen(
    store: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.run(corpus.config(images, store, name="less", limit=14, until="layout", layers=(EARLY,)), Inline())
    gate = ("small@1", "less", "--no-noise", "--fail-if", "drift>1.9")
    code, out, err = say(capsys, store, *gate)
    assert code == 5
    assert f"{LATE} is left out: less@1 has no layout of it" in err
    assert f"drift>1.9: drift of {LATE} in less@1 cannot be told" in err
    assert "only 28 shared samples" in out
    code, out, _ = say(capsys, store, *gate, "--json")
    assert json.loads(out)["left_out"] == [{"layer": LATE, "missing": ["less@1"]}]
    assert say(capsys, store, *gate, "--layer", EARLY)[0] == 0


def test_files_hold_what_was_found(
    store: Path, steps: Any, answer: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = ("small@1", "small@2", "small@3")
    files = ("--out", str(tmp_path / "c.png"), "--parquet", str(tmp_path / "c.parquet"))
    for _ in range(2):  # over an older file, too
        code, out, _ = say(capsys, store, *runs, *files, "--json")
        assert code == 0
        assert json.loads(out)["steps"] == json.loads(json.dumps(answer["steps"]))
    table = pq.read_table(tmp_path / "c.parquet")
    assert table.schema.names == comparison_table.COLUMNS.names
    rows = table.to_pylist()
    units = {(r["to"], r["layer"], r["unit"]): r["drift"] for r in rows if r["what"] == "unit"}
    assert units["small@2", LATE, 7] == layer_of(answer, 0, LATE)["units"][0]["drift"] or len(units) == 40
    samples = [r for r in rows if (r["what"], r["layer"], r["to"]) == ("sample", LATE, "small@3")]
    assert [r["distance"] for r in samples] == steps[1][1].moved.tolist()
    assert len([r for r in rows if r["what"] == "label"]) == 12
    with Image.open(tmp_path / "c.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}
    assert {comparison_sheet.CHANGED, comparison_sheet.INK} <= colours
    code, _, err = say(capsys, store, *runs, "--out", str(tmp_path / "no" / "c.png"))
    assert (code, "--out" in err) == (2, True)
