"""Atlases stay put: only layers whose samples changed are laid out anew, in the frame of the old ones, and runs come to rest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import corpus

from atlas.comparing import pairing
from atlas.layout.alignment import register
from flows.config import RunConfig
from flows.pipeline import layout_frames
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.planning import libraries
from storage.run import Run, open_run

EARLY, LATE = corpus.LAYERS
AFTER_LAYOUT = {"layout", "cells", "members", "icons", "tiles"}


def run(config: RunConfig) -> dict[str, Any]:
    return pipeline.run(config, Inline()).as_dict()


def computed(summary: dict[str, Any]) -> set[tuple[str, str | None]]:
    return {(row["stage"], row["layer"]) for row in summary["stages"] if row["computed"]}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of the same net with another second convolution: `features.2` keeps its activations."""
    state = corpus.net().state_dict()
    noise = torch.randn(state["features.3.weight"].shape, generator=torch.Generator().manual_seed(1))
    state["features.3.weight"] += 0.02 * noise
    path = tmp_path_factory.mktemp("weights") / "tuned.pt"
    torch.save(state, path)
    return str(path)


@pytest.fixture(scope="module")
def once(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    run(corpus.config(images, store))
    return store


@pytest.fixture(scope="module")
def twice(once: Path, images: Path, tuned: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The store after an update of the model, and the summary of that run."""
    store = tmp_path_factory.mktemp("updated") / "store"
    shutil.copytree(once, store)
    return store, run(corpus.config(images, store, weights=tuned))


def record(opened: Run, layer: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(opened.result("layout", layer).file("layout.json").read_text())
    return found


def test_new_late_weights_reuse_early_layouts_and_frame_late_ones(twice: tuple[Path, Any]) -> None:
    store, summary = twice
    assert {layer for _, layer in computed(summary)} == {LATE, None}
    assert {stage for stage, layer in computed(summary) if layer is None} == {"model"}
    old, new = open_run(store, "small@1"), open_run(store, "small@2")
    key = old.result("layout", LATE).key
    assert new.version.about["frames"] == {LATE: {"layout": key, "version": 1}}
    assert new.result("layout", EARLY).key == old.result("layout", EARLY).key
    assert record(new, LATE)["kept"] == 120
    assert "kept" not in record(new, EARLY)


def test_a_third_run_computes_nothing(twice: tuple[Path, Any], images: Path, tuned: str) -> None:
    for _ in range(2):
        summary = run(corpus.config(images, twice[0], weights=tuned))
        assert (summary["computed"], summary["version"]) == (0, 2)


def test_the_framed_layout_lies_on_the_old_one(twice: tuple[Path, Any]) -> None:
    """PCA has no start: what the frame does is the similarity, and with it no other brings the two closer."""
    old, new = (open_run(twice[0], f"small@{n}").layout(LATE).astype(float) for n in (1, 2))
    moved = np.linalg.norm(new - old, axis=1)
    best = np.linalg.norm(register(new, old, new) - old, axis=1)
    assert np.sqrt((moved**2).mean()) < 1.1 * np.sqrt((best**2).mean())


def test_going_back_finds_the_old_layout(twice: tuple[Path, Any], images: Path, tuned: str, tmp_path: Path) -> None:
    shutil.copytree(twice[0], tmp_path / "store")
    back = run(corpus.config(images, tmp_path / "store"))
    assert (back["computed"], back["version"]) == (0, 3)
    assert "frames" not in open_run(tmp_path / "store", "small").version.about
    assert run(corpus.config(images, tmp_path / "store", weights=tuned))["computed"] == 0


def test_three_updates_in_a_row_come_to_rest(once: Path, images: Path, tmp_path: Path) -> None:
    """Each is laid out in the frame of the one before it; after that none is laid out again, in whichever order."""
    shutil.copytree(once, tmp_path / "store")
    state, updates = corpus.net().state_dict(), []
    for number in (1, 2, 3):
        noise = torch.randn(state["features.3.weight"].shape, generator=torch.Generator().manual_seed(number))
        state["features.3.weight"] += 0.02 * noise
        torch.save(state, tmp_path / f"{number}.pt")
        updates.append(
            corpus.config(images, tmp_path / "store", weights=str(tmp_path / f"{number}.pt"), until="layout")
        )
    assert all(("layout", LATE) in computed(run(update)) for update in updates)
    said = [open_run(tmp_path / "store", f"small@{n}").version.about["frames"][LATE]["version"] for n in (2, 3, 4)]
    assert said == [1, 2, 3]
    assert [run(updates[number])["computed"] for number in (2, 0, 1, 2, 2)] == [0] * 5


def test_another_library_lays_the_same_samples_out_in_the_frame_of_the_old_layout(
    once: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(once, tmp_path / "store")
    of_key = libraries.of_key
    other = {"lib scikit-learn": "9.9"}
    monkeypatch.setattr(
        libraries, "of_key", lambda stage, *more: of_key(stage, *more) | (other if stage == "layout" else {})
    )
    summary = run(corpus.config(images, tmp_path / "store", until="layout"))
    assert computed(summary) == {("layout", layer) for layer in corpus.LAYERS}
    old, new = open_run(tmp_path / "store", "small@1"), open_run(tmp_path / "store", "small@2")
    for layer in corpus.LAYERS:
        assert new.version.about["frames"][layer] == {"layout": old.result("layout", layer).key, "version": 1}
    again = run(corpus.config(images, tmp_path / "store", until="layout"))
    assert (again["computed"], again["version"]) == (0, 2)


def test_another_grid_keeps_the_frame(twice: tuple[Path, Any], images: Path, tuned: str, tmp_path: Path) -> None:
    shutil.copytree(twice[0], tmp_path / "store")
    summary = run(corpus.config(images, tmp_path / "store", weights=tuned, grids=(3,)))
    assert not {stage for stage, _ in computed(summary)} & {"layout", "moment"}
    frames_of = [open_run(tmp_path / "store", f"small@{n}").version.about["frames"] for n in (2, 3)]
    assert frames_of[0] == frames_of[1]


def test_more_images_are_laid_out_around_the_old_ones(images: Path, tmp_path: Path) -> None:
    run(corpus.config(images, tmp_path, limit=50, layout="umap", until="layout"))
    summary = run(corpus.config(images, tmp_path, limit=60, layout="umap", until="layout"))
    assert ("layout", EARLY) in computed(summary)
    old, new = open_run(tmp_path, "small@1"), open_run(tmp_path, "small@2")
    assert record(new, LATE)["kept"] == 100
    before, after = old.samples(LATE), new.samples(LATE)
    rows, others = pairing.shared_rows(*(places(s) for s in (before, after)))
    assert len(rows) == 100
    moved = np.linalg.norm(new.layout(LATE)[others] - old.layout(LATE)[rows], axis=1)
    fresh = tmp_path / "fresh"
    run(corpus.config(images, fresh, limit=60, layout="umap", until="layout"))
    unframed = np.linalg.norm(open_run(fresh, "small").layout(LATE)[others] - old.layout(LATE)[rows], axis=1)
    assert np.median(moved) < 0.5 * np.median(unframed)


def places(samples: Any) -> pairing.Places:
    return pairing.Places(key_hash=samples.image_id.astype(np.uint64), y=samples.y, x=samples.x)


def test_a_layout_by_another_method_is_no_frame(once: Path, images: Path, tuned: str, tmp_path: Path) -> None:
    shutil.copytree(once, tmp_path / "store")
    run(corpus.config(images, tmp_path / "store", weights=tuned, layout="tsne", until="layout"))
    assert "frames" not in open_run(tmp_path / "store", "small").version.about


def test_a_lost_frame_is_no_hindrance(twice: tuple[Path, Any], images: Path, tuned: str, tmp_path: Path) -> None:
    """Old versions dropped: the layout stays as long as it is there, and is laid out afresh once it is not."""
    store = tmp_path / "store"
    shutil.copytree(twice[0], store)
    opened = open_run(store, "small@2")
    for path in (*(store / "runs" / "small").glob("1.json*"), open_run(store, "small@1").result("layout", LATE).path):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert run(corpus.config(images, store, weights=tuned))["computed"] == 0
    shutil.rmtree(opened.result("layout", LATE).path)
    summary = run(corpus.config(images, store, weights=tuned))
    assert {stage for stage, _ in computed(summary)} == AFTER_LAYOUT
    assert "frames" not in open_run(store, "small").version.about
    assert run(corpus.config(images, store, weights=tuned))["computed"] == 0


def test_mutant_the_newest_layout_as_frame_never_comes_to_rest(
    twice: tuple[Path, Any], images: Path, tuned: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(twice[0], tmp_path / "store")
    monkeypatch.setattr(layout_frames, "_collected", lambda version, layer: (version.number, layer))
    monkeypatch.setattr(layout_frames.Frames, "_whole", lambda self, frame: True)
    monkeypatch.setattr(layout_frames, "_frame", newest_of(tmp_path / "store"))
    summary = run(corpus.config(images, tmp_path / "store", weights=tuned, until="layout"))
    assert summary["computed"] > 0


def newest_of(store: Path) -> Any:
    def frame(version: Any, layer: str, key: str) -> layout_frames.Frame:
        entries = [e for e in version.stages if (e.stage, e.layer) == ("collect", layer)]
        listing = next(e.key for e in version.stages if e.stage == "listing")
        return layout_frames.Frame(
            layout=key, version=version.number, collect=tuple(e.key for e in entries), listing=listing
        )

    return frame
