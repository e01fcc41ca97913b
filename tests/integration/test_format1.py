"""A run made in format 1 with a library's model goes on in format 2 without computing anything again."""

from __future__ import annotations

import importlib.metadata
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from support import corpus
from support.formats import KEPT

from flows.config import RunConfig
from flows.dry_run.estimate import estimate
from flows.model import prepared
from flows.pipeline import format1
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.pipeline.summary import Summary
from storage.run import open_run
from storage.store.gc import gc
from storage.store.store import Store
from storage.store.verify import verify

LAYERS = ("layer1", "layer2")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """Unpack the kept run and its images, with the versions of libraries that its keys were made with."""
    with tarfile.open(KEPT / "library1" / "store.tar.xz") as tar:
        tar.extractall(tmp_path, filter="data")
    store = Store(tmp_path / "store")
    part = next(entry for entry in store.version("library").stages if entry.stage == "collect")
    recorded = store.get("collect", part.key).happened()["libraries"]
    real = importlib.metadata.version
    if recorded["torch"] != real("torch"):
        pytest.skip(f"traces are compared with those of torch {recorded['torch']}, and here is {real('torch')}")
    monkeypatch.setattr("importlib.metadata.version", lambda name: recorded.get(name) or real(name))
    monkeypatch.chdir(tmp_path)
    return corpus.config(
        Path("images"),
        Path("store"),
        name="library",
        model="timm:test_resnet",
        weights="random",
        input_size=64,
        mean=None,
        std=None,
        layers=LAYERS,
        grids=(2,),
        icon_size=16,
        icon_tries=1,
        until="icons",
        extras=("influence",),
    )


def run(config: RunConfig) -> Summary:
    return pipeline.run(config, Inline())


def computed(summary: Summary) -> list[str]:
    return sorted({outcome.output.stage for outcome in summary.outcomes if outcome.computed})


def test_nothing_but_icons_is_computed_again(config: RunConfig) -> None:
    before = open_run("store", "library@1")
    assert {row["stage"] for row in estimate(config)["stages"] if row["computed"]} == {"icons", "listing", "model"}
    assert computed(run(config)) == ["icons", "listing", "model"]
    after = open_run("store", "library@2")
    assert [after.version.format, before.version.format] == [2, 1]
    for layer in LAYERS:
        assert np.array_equal(before.layout(layer), after.layout(layer))
        assert before.patches(layer, 3).drop_columns("path").equals(after.patches(layer, 3).drop_columns("path"))
        assert np.array_equal(before.cells(layer, 2).coherence, after.cells(layer, 2).coherence)
    assert verify(Store(Path("store"))) == []
    assert computed(run(config)) == []


def test_more_images_compute_what_they_reach(config: RunConfig) -> None:
    corpus.write_images(Path("images/more"), 16, seed=1)
    summary = run(config.model_copy(update={"until": "field", "extras": ()}))
    parts = [outcome for outcome in summary.outcomes if outcome.output.stage == "collect"]
    assert [part.computed for part in parts] == [True] * 4  # the first shard was not full, and the second is new
    fields = [outcome for outcome in summary.outcomes if outcome.output.stage == "field"]
    assert [field.computed for field in fields] == [True] * 2  # it is measured on the first 256 images


def test_a_result_that_is_damaged_is_computed_again(config: RunConfig) -> None:
    store = Store(Path("store"))
    entry = next(entry for entry in store.version("library").stages if entry.stage == "layout")
    path = next(path for path in (store.get("layout", entry.key).path / "layout.zarr").rglob("*") if path.is_file())
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    assert computed(run(config)) == ["icons", "layout", "listing", "model"]


def test_what_is_taken_over_stays_when_the_old_version_goes(config: RunConfig) -> None:
    run(config)
    assert gc(Store(Path("store")), older_than=0, keep=1)
    assert verify(Store(Path("store"))) == []
    assert len(open_run("store", "library").patches("layer1", 0)) > 0


def test_a_model_of_the_user_s_own_is_computed_again(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.model.prepared.PreparedModel.own", property(lambda model: True))
    assert "collect" in computed(run(config.model_copy(update={"until": "collect", "extras": ()})))


def test_mutant_other_weights_take_nothing_over(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    state = prepared.load(config).module.state_dict()
    next(iter(state.values()))[0, 0, 0, 0] += 1e-6
    torch.save(state, "other.pt")
    changed = {"weights": "other.pt", "until": "collect", "extras": ()}
    assert "collect" in computed(run(config.model_copy(update=changed)))


def test_mutant_other_code_versions_find_nothing(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format1, "CODES", {})
    monkeypatch.setattr("flows.dry_run.estimate._probe", lambda planner, missing: None)
    missing = {row["stage"] for row in estimate(config)["stages"] if row["computed"]}
    assert {"collect", "field", "cells"} <= missing
