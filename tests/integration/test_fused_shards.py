"""A shard has the same bytes and keys whichever way the model runs over its images."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from support import corpus
from support.border_models import RIGHT
from support.trees import tree
from torch import Tensor

from atlas.model import fusing
from flows.config import RunConfig
from flows.model import fused_pass, prepared
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from storage.run import open_run


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = corpus.write_images(tmp_path_factory.mktemp("images"), 40)
    (folder / "noise" / "9.png").write_bytes(b"not an image")
    return folder


def stored(images: Path, store: Path) -> tuple[dict[str, str], set[str]]:
    """Return the hashes of a run's files, and how the model ran over its shards."""
    settings = {"until": "collect", "keep": ("peaks",), "batch": 16, "shard_size": 20}
    pipeline.run(corpus.config(images, store, **settings), Inline())
    run = open_run(store, "small")
    parts = [entry for entry in run.version.stages if entry.stage == "collect"]
    return tree(store), {str(run.store.get("collect", part.key).happened()["pass"]) for part in parts}


def ways(images: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, str], set[str]]]:
    eager = stored(images, folder / "store")
    (folder / "store").rename(folder / "eager")
    monkeypatch.setattr(fused_pass, "WORTH", 0)
    monkeypatch.setattr(time, "thread_time", lambda: 0.0)
    return [eager, stored(images, folder / "store")]


def test_both_ways_store_the_same_bytes(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    eager, fused = ways(images, tmp_path, monkeypatch)
    assert eager[1] == {"eager: few images"}
    assert fused[1] == {"fused"}
    assert eager[0] == fused[0]


def test_mutant_a_trace_that_is_not_compared_is_seen(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fusing.IN_PLACE, torch.ops.aten.relu_.default, lambda node: (0.0, 0.1))
    monkeypatch.setattr(fused_pass._Digest, "add", lambda self, name, values: None)
    eager, fused = ways(images, tmp_path, monkeypatch)
    assert fused[1] == {"fused"}
    assert eager[0] != fused[0]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(RIGHT)))
def test_models_at_the_edges_give_the_same_bits_both_ways(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_pass, "WORTH", 0)
    layer = list(RIGHT.values())[number][1]
    config = RunConfig(images="", model=f"support.border_models:right_{number}", layers=(layer,))
    model = prepared.prepare(config)
    fused, eager = (fused_pass.Pass(model, [layer], scored=False, batch=BATCH) for _ in range(2))
    monkeypatch.setattr(eager, "_why", "for comparison")
    generator = torch.Generator().manual_seed(number)
    for _ in range(4):
        pixels = torch.randint(0, 256, (BATCH, *model.model.preprocess.size, 3), dtype=torch.uint8, generator=generator)
        ours, theirs = shown(fused, pixels), shown(eager, pixels)
        assert torch.equal(ours.nan_to_num(7), theirs.nan_to_num(7)), fused.way


BATCH = 16


def shown(way: fused_pass.Pass, pixels: Tensor) -> Tensor:
    seen: list[Tensor] = []
    way.run(pixels, lambda name, activation: seen.append(activation.clone()))
    return seen[-1]
