"""Runs at the edges: hardly any images, a layer that never fires, a store among the images, runs cut short."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support import corpus
from torch import nn

from flows import cli
from flows.config import RunConfig
from flows.model import prepared
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from storage.models import user_code
from storage.run import open_run
from storage.store.store import Store


def run(config: RunConfig) -> dict[str, Any]:
    return pipeline.run(config, Inline()).as_dict()


@pytest.mark.parametrize("count", [1, 3, 5, 6])
def test_hardly_any_images(count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = corpus.write_images(tmp_path / "images", count)
    config = corpus.config(images, tmp_path / "store")
    single = config.model_copy(update={"samples_per_image": 1, "min_count": 5, "grids": (4,)})
    run(single)
    opened = open_run(single.store, "small")
    assert len(opened.patches("features.5", 3, 16)) == count
    assert list(opened.grids) == ([1] if count >= 5 else [])
    if count >= 5:
        assert opened.cells("features.5", 1).count.tolist() == [count]
    else:
        assert cli.invoke(["cell", "small", "features.5", "4", "0,0", "--store", single.store]) == 4
        assert "too few samples" in capsys.readouterr().err


class Half(nn.Module):
    """A net whose second layer fires and whose third never does."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Conv2d(3, 6, 3, stride=2)
        self.alive, self.silent, self.dead = nn.ReLU(), nn.Conv2d(6, 4, 3, stride=2), nn.ReLU()
        self.head = nn.Linear(4, 2)
        nn.init.constant_(self.silent.bias, -1e6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.dead(self.silent(self.alive(self.one(x)))).mean((2, 3)))


def half() -> nn.Module:
    return Half()


def test_a_layer_that_never_fires_does_not_end_the_run(tmp_path: Path) -> None:
    images = corpus.write_images(tmp_path / "images", 40)
    config = corpus.config(images, tmp_path / "store").model_copy(
        update={"model": f"{__name__}:half", "layers": ("alive", "dead"), "grids": (2,)}
    )
    run(config)
    opened = open_run(config.store, "small")
    dead, alive = opened.cells("dead", 2), opened.cells("alive", 2)
    assert dead.weak.all()
    assert not dead.cosine.any()
    assert (dead.icon == 128).all()
    assert alive.icon.std() > 1
    assert opened.overview("dead", 2).exists()


def test_a_store_among_the_images_is_not_eaten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = corpus.write_images(tmp_path / "images", 40)
    monkeypatch.chdir(images)
    config = corpus.config(Path("."), Path("actlas-store"))
    first = run(config)
    assert any(file.suffix == ".webp" for file in images.glob("actlas-store/**/*"))
    again = run(config)
    assert (first["images"], again["images"], again["computed"]) == (40, 40, 0)


def test_until_takes_nothing_from_readers(tmp_path: Path) -> None:
    images = corpus.write_images(tmp_path / "images", 40)
    config = corpus.config(images, tmp_path / "store")
    whole = run(config)
    for stage in ("listing", "collect", "cells"):
        cut = run(config.model_copy(update={"until": stage}))
        assert (cut["computed"], cut["rejected"]) == (0, whole["rejected"])
        assert Store(Path(config.store)).version("small").stages == Store(Path(config.store)).version("small", 1).stages
    other = config.model_copy(update={"until": "collect", "seed": 1})
    assert run(other)["computed"] > 0
    assert not open_run(config.store, "small").has("patches", "features.5")


def test_a_fault_in_a_stage_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from atlas.inversion import icons

    images = corpus.write_images(tmp_path / "images", 40)

    def failing(*args: Any, **kwargs: Any) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(icons, "icons", failing)
    monkeypatch.setattr(user_code, "_OURS", (*user_code._OURS, __file__))
    with pytest.raises(ValueError, match="no such thing") as error:
        run(corpus.config(images, tmp_path / "store"))
    assert error.value.__notes__ == ["in stage icon_parts of features.2"]


def test_cuda_counts_in_float32() -> None:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic
    try:
        cudnn.allow_tf32 = matmul.allow_tf32 = True
        prepared._pin_cuda()
        assert (cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic) == (False, False, True)
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic = before


def test_labels_from_a_spreadsheet(tmp_path: Path) -> None:
    from flows.stages.shared import label_table
    from storage.errors import UsageError

    file = tmp_path / "labels.csv"
    file.write_bytes("\ufeffkey,label\r\na.png,ant\r\n".encode())
    assert label_table.read(str(file)).labels == {"a.png": "ant"}
    file.write_text("key,label\na.png\n")
    with pytest.raises(UsageError, match=r"the row of 'a.png' has no label"):
        label_table.read(str(file))
