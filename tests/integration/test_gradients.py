"""Gradients as a stage: those of the strongest patches, one image at a time; repeatable, and read unit by unit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import corpus
from support.trees import tree
from torch import Tensor, nn

from atlas.attribution.gradients import gradient
from atlas.attribution.guided_backprop import deconvnet, guided_backprop
from atlas.attribution.scores import Score
from flows.cli import invoke
from flows.config import RunConfig
from flows.drawing import patch_gradients
from flows.model import prepared
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.questions import patches as patch_answers
from flows.stages.shared import passes
from storage.errors import Incomplete, NotFound, UsageError
from storage.images.decode import decode
from storage.run import Run, open_run

METHODS = {"gradient": gradient, "guided-backprop": guided_backprop, "deconvnet": deconvnet}


def run(config: RunConfig) -> dict[str, Any]:
    return pipeline.run(config, Inline()).as_dict()


def asked(images: Path, store: Path, **changes: Any) -> RunConfig:
    return corpus.config(images, store, **({"until": "patches", "extras": ("gradients",)} | changes))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"), 40)


@pytest.fixture(scope="module")
def finished(images: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    config = asked(images, tmp_path_factory.mktemp("store"))
    run(config)
    return config


def expected(
    config: RunConfig, patch: dict[str, Any], layer: str, number: int, method: str, size: int = 72
) -> np.ndarray:
    """Return a patch's gradient, `h w 3` from 0 to 255: of one image, through the unfolded model, cut by Pillow."""
    subj = prepared.prepare(config)
    preprocess, image = subj.model.preprocess, decode(Path(patch["path"]).read_bytes())
    shown: Tensor = preprocess.normalise(torch.from_numpy(preprocess.pixels(image).copy())[None])
    turn = -1 if patch["sign"] == "negative" else 1
    score = Score(read=lambda seen: turn * seen[:, number, patch["y"], patch["x"]], layer=subj.layers[layer])
    found = METHODS[method](subj.model.module, shown, score)[0].numpy()
    geometry, focus = preprocess.geometry(image.width, image.height), patch["focus"]
    left, right = ((focus[side] - 0.5 - geometry.offset_x) / geometry.scale_x + 0.5 for side in ("left", "right"))
    top, bottom = ((focus[side] - 0.5 - geometry.offset_y) / geometry.scale_y + 0.5 for side in ("top", "bottom"))
    scale = size / max(focus["right"] - focus["left"], focus["bottom"] - focus["top"])
    shape = (round((focus["right"] - focus["left"]) * scale), round((focus["bottom"] - focus["top"]) * scale))
    # The box may begin a little outside of the input, where the gradient is zero.
    box, inside = (left + 8, top + 8, right + 8, bottom + 8), np.pad(np.ones(found[0].shape, np.float32), 8)
    filters = [(inside, Image.Resampling.NEAREST)]
    filters += [(np.pad(colour, 8, mode="edge"), Image.Resampling.BILINEAR) for colour in found]
    mask, *colours = (np.asarray(Image.fromarray(line).resize(shape, by, box=box)) for line, by in filters)
    cut = np.stack(colours, axis=2) * mask[..., None]
    largest = float(np.percentile(np.abs(cut), 99.5)) or float(np.abs(cut).max()) or 1.0
    return 127.5 + 127.5 * np.clip(cut / largest, -1, 1)


def wrong(config: RunConfig, opened: Run, layer: str, method: str, units: range = range(0, 12, 3)) -> list[str]:
    """Say where stored gradients are not those of the strongest patches."""
    said = []
    for number in [n for n in units if n < opened.result("gradients", layer).counts["units"]]:
        found, patches = opened.gradients(layer, number), opened.patches(layer, number, 9).to_pylist()
        assert found.method == method
        if [tuple(p[name] for name in ("rank", "image_id", "y", "x")) for p in patches] != list(
            zip(*(getattr(found, name).tolist() for name in ("rank", "image_id", "y", "x")), strict=True)
        ):
            said.append(f"{layer}:{number} other patches")
        for patch, picture in zip(patches, found.pictures, strict=False):
            true = expected(config, patch, layer, number, method)
            if picture.shape != true.shape or np.abs(picture - true).max() > 1:
                said.append(f"{layer}:{number} {patch['rank']}")
    return said


def test_each_is_the_gradient_of_its_patch(finished: RunConfig) -> None:
    opened = open_run(finished.store, "small")
    for layer in corpus.LAYERS:
        assert wrong(finished, opened, layer, "guided-backprop") == []
    assert len(opened.gradients(corpus.LAYERS[0], 0).pictures) == 9


@pytest.mark.parametrize("method", ["gradient", "deconvnet"])
def test_the_method_asked_for(method: str, finished: RunConfig, images: Path, tmp_path: Path) -> None:
    shutil.copytree(finished.store, tmp_path / "store")
    config = asked(images, tmp_path / "store", gradients_method=method)
    summary = run(config)
    assert {row["stage"] for row in summary["stages"] if row["computed"]} == {"gradients"}
    opened = open_run(config.store, "small")
    assert wrong(config, opened, corpus.LAYERS[1], method) == []
    assert wrong(config, opened, corpus.LAYERS[1], method, range(1, 2)) == []
    assert opened.version.about["config"]["gradients_method"] == method


def test_mutants_are_seen(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.stages import gradients

    def turned(values: np.ndarray, device: torch.device, real: Callable[..., Tensor] = passes.fill_batch) -> Tensor:
        return real(np.roll(values, 1), device)

    monkeypatch.setattr(gradients, "fill_batch", turned)
    config = asked(images, tmp_path)
    run(config)
    assert wrong(config, open_run(config.store, "small"), corpus.LAYERS[0], "guided-backprop")


def test_the_same_bytes_again(finished: RunConfig, images: Path, tmp_path: Path) -> None:
    run(asked(images, tmp_path, extras=()))
    bare = open_run(tmp_path, "small")
    with pytest.raises(Incomplete, match="run it again with --with gradients"):
        bare.gradients(corpus.LAYERS[0], 0)
    assert "gradients_method" not in bare.version.about["config"]
    run(asked(images, tmp_path))
    stage = Path("stages") / "gradients"
    assert tree(tmp_path / stage) == tree(Path(finished.store) / stage)


def asked_now(opened: Run, sign: str, method: str | None, patches: int = 12) -> tuple[str, list[Any], list[Any]]:
    answer = patch_answers.top(opened, corpus.LAYERS[1], 3, k=patches, sign=sign)
    return *patch_gradients.of_patches(opened, answer, method), answer["patches"]


@pytest.mark.parametrize("sign", ["positive", "negative"])
def test_gradients_made_when_asked(sign: str, finished: RunConfig) -> None:
    opened = open_run(finished.store, "small")
    for method in METHODS:
        found, pictures, patches = asked_now(opened, sign, method)
        assert found == method
        assert len(pictures) == 12
        kept = 9 if (sign, method) == ("positive", "guided-backprop") else 0
        for number, (picture, patch) in enumerate(zip(pictures, patches, strict=True)):
            size = 72 if number < kept else 144
            true = expected(finished, patch, corpus.LAYERS[1], 3, method, size)
            assert picture.shape == true.shape
            assert np.abs(picture - true).max() <= 1
    assert asked_now(opened, sign, None)[0] == "guided-backprop"


def test_without_the_images_the_run_has_its_own(finished: RunConfig, tmp_path: Path) -> None:
    images = corpus.write_images(tmp_path / "images", 20)
    config = asked(images, tmp_path / "store")
    run(config)
    opened = open_run(config.store, "small")
    before = asked_now(opened, "positive", None)
    shutil.rmtree(images)
    method, pictures, _ = asked_now(opened, "positive", None)
    assert method == "guided-backprop"
    assert all(np.array_equal(a, b) for a, b in zip(pictures[:9], before[1], strict=False))
    assert pictures[9:] == [None] * 3
    for sign, other in (("negative", None), ("positive", "gradient")):
        with pytest.raises(NotFound, match=r"images are no longer at .* a run made --with gradients keeps"):
            asked_now(opened, sign, other)


def test_the_sheet_of_a_unit_with_gradients(
    finished: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sheet.png"
    ask = ["top", "small", "features.5:3", "--store", finished.store, "--json", "--gradients"]
    assert invoke([*ask, "deconvnet", "--sheet", str(out)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["method"] == "deconvnet"
    assert len(answer["patches"]) == 16
    assert Image.open(out).size[0] > 1000
    assert invoke([*ask, "deconvnet"]) == 2
    assert invoke([*ask, "smoothgrad", "--sheet", str(out)]) == 2
    assert "gradient, guided-backprop, deconvnet" in capsys.readouterr().err


def test_errors_name_what_is_wrong(finished: RunConfig, images: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has no unit 12; its units are 0 to 11"):
        open_run(finished.store, "small").gradients("features.5", 12)
    config = asked(images, tmp_path, model=f"{__name__}:silu", layers=("0", "2"), gradients_method="deconvnet")
    with pytest.raises(UsageError, match=r"deconvnet is defined where .* computes SiLU"):
        run(config)
    assert not (tmp_path / "stages" / "collect").exists()
    run(asked(images, tmp_path, model=f"{__name__}:silu", layers=("0", "2")))
    opened = open_run(tmp_path, "small")
    assert [opened.gradients(layer, 0).method for layer in ("0", "2")] == ["guided-backprop", "gradient"]


def silu() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Conv2d(4, 4, 3)).eval()
