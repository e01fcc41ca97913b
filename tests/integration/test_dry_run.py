"""A dry run says what a run then does, and writes nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support import corpus
from support.trees import tree

from flows import cli
from flows.config import RunConfig
from flows.dry_run import estimate, probe
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.planning import costs
from flows.stages import icons
from storage.run import open_run

EARLY, LATE = corpus.LAYERS
Counted = dict[tuple[str, str | None], tuple[int, int]]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"), 80)


@pytest.fixture(scope="module")
def finished(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    pipeline.run(corpus.config(images, store), Inline())
    return store


def counted(summary: dict[str, Any]) -> Counted:
    return {(row["stage"], row["layer"]): (row["computed"], row["reused"]) for row in summary["stages"]}


def foretold(config: RunConfig) -> tuple[Counted, Counted]:
    """Return what a dry run says, and what the run then does."""
    said = counted(estimate.estimate(config))
    return said, counted(pipeline.run(config, Inline()).as_dict())


def test_nothing_is_written_and_all_is_foretold(images: Path, tmp_path: Path) -> None:
    config = corpus.config(images, tmp_path / "store")
    answer = estimate.estimate(config)
    assert not (tmp_path / "store").exists()
    assert (answer["computed"], answer["reused"], answer["images"]) == (len(answer["stages"]) + 3 * 4, 0, 80)
    assert counted(answer) == counted(pipeline.run(config, Inline()).as_dict())
    assert 0 < answer["seconds"] < 600
    assert 1e8 < answer["memory_bytes"] < 1e10
    assert json.loads(json.dumps(answer)) == answer
    written = sum(path.stat().st_size for path in (tmp_path / "store" / "stages").rglob("*") if path.is_file())
    assert 0.4 < answer["bytes"] / written < 2.5


def test_after_a_run_there_is_nothing_to_do(finished: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(finished)
    monkeypatch.setattr(probe, "probe", None)
    answer = estimate.estimate(corpus.config(images, finished))
    assert (answer["computed"], answer["seconds"], answer["bytes"], answer["probe"]) == (0, 0, 0, None)
    assert tree(finished) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"icon_size": 20},
        {"limit": 50, "until": "layout"},
        {"layers": (*corpus.LAYERS, "features.0"), "until": "cells"},
        {"seed": 1, "until": "collect"},
        {"grids": (3,), "until": "members"},
    ],
    ids=str,
)
def test_changes_compute_what_was_foretold(
    changes: dict[str, Any], finished: Path, images: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "store")
    said, done = foretold(corpus.config(images, tmp_path / "store", **changes))
    assert said == done
    assert sum(computed for computed, _ in said.values()) > 0


def test_extras_are_foretold_without_being_tried(finished: Path, images: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "store")
    config = corpus.config(images, tmp_path / "store").model_copy(update={"extras": ("gallery", "influence")})
    answer = estimate.estimate(config)
    rows = {(row["stage"], row["layer"]): row for row in answer["stages"] if row["computed"]}
    assert set(rows) == {("gallery", EARLY), ("gallery", LATE), ("influence", EARLY)}
    assert all(row["seconds"] > 0 and row["bytes"] > 0 for row in rows.values())


def test_mutant_a_plan_without_frames_is_seen(
    finished: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More images, then the same again: a plan that forgets the frame would lay all out once more."""
    shutil.copytree(finished, tmp_path / "store")
    config = corpus.config(images, tmp_path / "store", limit=70, until="layout")
    pipeline.run(config, Inline())
    assert open_run(tmp_path / "store", "small").version.about["frames"]
    assert estimate.estimate(config)["computed"] == 0
    monkeypatch.setattr(estimate, "Frames", lambda store, config: None)
    assert estimate.estimate(config)["computed"] > 0


def cost(seconds: float, counts: dict[str, int] | None = None, **sizes: int) -> costs.Cost:
    return costs.Cost(seconds=seconds, bytes={k.replace("_", "."): v for k, v in sizes.items()}, counts=counts or {})


PROBE = costs.Probe(
    images=64,
    costs={
        ("collect", "a"): cost(2.0, samples_zarr=640, top_parquet=5000),
        ("patches", "a"): cost(3.0, {"units": 8}, patches_parquet=800),
        ("icon_parts", "a"): cost(5.0, {"icons": 1, "steps": 48, "most": 96}, icons_zarr=100),
        ("tiles", "a"): cost(1.0, {"cells": 1}, overview_png=4000, atlas_dzi=10),
        ("moment", "a"): cost(0.2, {"samples": 64}, moment_zarr=300),
        ("layout", "a"): cost(0.1, {"samples": 64}, layout_zarr=512),
    },
    decode=0.01,
    collect=0.05,
    memory=0,
    seconds=0,
)


def scaled(stage: str, layer: str = "a", **changes: Any) -> tuple[float, float]:
    size = {"images": 6400, "together": 1, "samples": 6400, "layers": 1, "units": 16, "cells": 33, "classes": 10}
    given: Any = size | {"input": (32, 32), "method": "umap", "per_cell": None} | changes
    made = estimate.scale(stage, layer, costs.Size(**given), PROBE)
    return made.seconds, made.bytes


def test_laws_by_hand() -> None:
    """100 times the images; twice the units; 33 icons are three batches, of twice the steps; layouts by their own rates."""
    assert scaled("collect", together=4) == pytest.approx((0.05 * 6400 / 4, 640 * 100 + 5000))
    assert scaled("patches") == pytest.approx((2 * 3.0 + 0.01 * (2 * 16 * 16 - 64), 1600))
    assert scaled("patches", "b") == scaled("patches", "a")
    assert scaled("icons") == pytest.approx((30.0 * icons.NEEDED, 3300))
    assert scaled("gallery") == pytest.approx((10.0, 1600))
    assert scaled("tiles") == pytest.approx((1.0, 4000 + 330))
    assert scaled("layout", samples=120_000) == pytest.approx((6 + 12 + 11, 512 * 1875))
    assert scaled("moment", units=2048, samples=10_000) == pytest.approx((0.2 + 1.468, 300), rel=1e-3)
    assert scaled("attribution", per_cell=2)[0] == pytest.approx(3 * 0.05 * 66)
    assert scaled("model") == (0, 0)
    assert costs.filled_cells(10_000, 10) == pytest.approx(73, abs=3)  # 73 to 80 were filled
    assert costs.filled_cells(3, 40) >= 1


def test_the_command_prints_a_table(finished: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["run", "--dry-run", "--images", str(images), "--model", "support.corpus:net", "--input-size", "32"]
    asked += ["--layers", LATE, "--store", str(finished), "--until", "patches", "--mean", ".5,.5,.5", "--std", "1,1,1"]
    assert cli.invoke(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["stage", "layer", "compute", "reuse", "time", "disk"]
    assert lines[-1].startswith("about ")
    assert lines[-1].endswith("from a probe of 64 images")
    assert cli.invoke([*asked, "--json", "--dask", "local:2"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["probe"]["images"] == 64
    assert "the time is for this process alone" in said.err
