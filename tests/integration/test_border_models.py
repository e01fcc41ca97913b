"""Eighty variants of user code: right by brute force, or one line before any image is read."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from support import corpus
from support.border_models import REFUSED, RIGHT
from torch import Tensor, nn

from atlas.model import purity
from flows import cli
from flows.config import RunConfig
from flows.model import examine, prepared
from storage.models import user_code
from storage.models.settle import own_defaults
from storage.run import open_run


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("border") / "images", 5)


def spec(table: str, rows: dict[str, Any], name: str) -> str:
    return f"support.border_models:{table}_{list(rows).index(name)}"


def arguments(images: Path, store: Path, model: str, layer: str) -> list[str]:
    words = ["run", "--images", str(images), "--store", str(store), "--name", "r", "--model", model, "--layers", layer]
    return [*words, "--engine", "inline", "--batch", "4", "--grids", "2", "--min-count", "1", "--until", "patches"]


def by_hand(name: str, pixels: Tensor) -> Tensor:
    """Return the layer's output on each image alone, from a hook on the module as the factory gives it."""
    factory, layer = RIGHT[name]
    with own_defaults():
        model = factory()
    module = model.module.float()
    for part in module.modules():
        part.training = False
        part._compiled_call_impl = None
    base, call = (layer, "0") if layer == "d.c@2" else (*layer.split("@"), "0")[:2]
    outputs: list[Tensor] = []
    child: nn.Module = dict(module.named_modules(remove_duplicate=False))[base]
    inner = getattr(module, "_orig_mod", module)
    if hasattr(getattr(module, "inner", None), "_orig_mod"):
        module.inner = module.inner._orig_mod
    handle = child.register_forward_hook(lambda m, args, output: outputs.append(output.float().detach().clone()))
    rows = []
    for image in pixels:
        outputs.clear()
        with torch.no_grad():
            inner(model.preprocess.normalise(image[None]).contiguous())
        rows.append(outputs[int(call)])
    handle.remove()
    return torch.cat(rows)


@pytest.mark.parametrize("name", RIGHT)
def test_what_runs_is_right(name: str) -> None:
    layer = RIGHT[name][1]
    config = RunConfig(images="", model=spec("right", RIGHT, name), layers=(layer,))
    model = prepared.prepare(config)
    pixels = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    activations: dict[str, Tensor] = {}
    model.visit(pixels, [layer], lambda at, activation: activations.update({at: activation.float().clone()}))
    expected = by_hand(name, pixels)
    assert expected.std() > 0
    tolerance = 0.05 if "bfloat16" in name else 1e-4
    assert torch.allclose(activations[layer], expected, atol=tolerance, rtol=tolerance)


WHOLE = (
    "sparse constant",
    "compiled",
    "frozen",
    "detached",
    "through numpy, attached",
    "without derivative",
    "named c@2",
    "as many as found",
)


@pytest.mark.parametrize("name", WHOLE)
def test_a_run_of_it_ends_with_patches(
    name: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layer = RIGHT[name][1]
    assert cli.invoke(arguments(images, tmp_path / "store", spec("right", RIGHT, name), layer)) == 0, (
        capsys.readouterr().err
    )
    assert len(open_run(str(tmp_path / "store"), "r").patches(layer, 1, 3)) == 3


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_run_is_one_line_before_an_image_is_read(
    name: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    assert cli.invoke(arguments(images, store, spec("refused", REFUSED, name), "conv2")) in (1, 2, 4)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0] == f"model {spec('refused', REFUSED, name)}: loading"
    assert re.match("actlas: model support.border_models:refused_|actlas: the code of the model|.*layer", lines[1])
    assert re.search(REFUSED[name][1], lines[1])
    assert not store.exists()


def test_a_layer_under_another_name_is_named(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(arguments(images, tmp_path / "store", spec("right", RIGHT, "aliased"), "also")) == 4
    assert "layer 'also' is 'conv2' under another name; write conv2" in capsys.readouterr().err


def test_a_frozen_part_leaves_the_focus_at_the_stride(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.invoke(arguments(images, tmp_path / "store", spec("right", RIGHT, "frozen"), "conv2")) == 0
    assert open_run(str(tmp_path / "store"), "r").field("conv2").focus == 2


def test_a_whole_run_of_a_frozen_part_has_grey_icons(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = arguments(images, tmp_path / "store", spec("right", RIGHT, "detached"), "conv2")
    assert cli.invoke([*words[: words.index("--until")], "--layout", "pca", "--icon-size", "32"]) == 0
    assert "conv2: no gradient passes from the picture to it" in capsys.readouterr().err
    cells = open_run(str(tmp_path / "store"), "r").cells("conv2", 2)
    assert cells.weak.all()
    assert (cells.icon == 128).all()


@pytest.mark.parametrize("name", ["detached", "in inference mode", "through numpy, attached"])
def test_pictures_of_a_part_without_gradient_are_refused(
    name: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, out = str(next(images.rglob("*.png"))), str(tmp_path / "o.png")
    for words in (
        ["show", "conv2:1", "--out", out],
        ["dream", image, "conv2", "--out", out],
        ["saliency", image, "conv2:1"],
        ["saliency", image, "class:1", "--method", "grad-cam"],
    ):
        assert cli.invoke([*words, "--model", spec("right", RIGHT, name)]) in (2, 4)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("actlas: ")


EVERY = [("right", RIGHT, name) for name in RIGHT] + [("refused", REFUSED, name) for name in REFUSED]


@pytest.mark.slow
@pytest.mark.parametrize(("table", "rows", "name"), EVERY, ids=[name for _, _, name in EVERY])
def test_no_command_ends_in_a_traceback(
    table: str, rows: dict[str, Any], name: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, out, layer = str(next(images.rglob("*.png"))), str(tmp_path / "o.png"), rows[name][1]
    layer = layer if table == "right" else "conv2"
    model = ("--model", spec(table, rows, name))
    small = ("--size", "32", "--steps", "2", "--out", out)
    for words in (
        ["layers", model[1]],
        ["saliency", image, *model],
        ["saliency", image, f"{layer}:1", "--method", "integrated-gradients", "--steps", "3", *model],
        ["saliency", image, "class:0", "--method", "grad-cam", *model],
        ["show", f"{layer}:1", *small, *model],
        ["show", "class:0", *small, *model],
        ["dream", image, layer, "--size", "32", "--iterations", "1", "--octaves", "1", "--out", out, *model],
        ["explain", image, "--layer", layer, *model],
    ):
        code = cli.invoke(words)
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("actlas: ")]
        assert (code, len(lines)) in ((0, 0), (1, 1), (2, 1), (4, 1)), words


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
def test_a_whole_run_ends(name: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = arguments(images, tmp_path / "store", spec("right", RIGHT, name), RIGHT[name][1])
    whole = [*words[: words.index("--until")], "--layout", "pca", "--icon-size", "32"]
    assert cli.invoke(whole) == 0, capsys.readouterr().err
    assert open_run(str(tmp_path / "store"), "r").overview(RIGHT[name][1], 2).exists()


def test_mutant_without_the_border_a_failing_model_is_a_traceback(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purity.trial, "locating", lambda module: contextlib.nullcontext())
    monkeypatch.setattr(examine, "border", lambda *args: contextlib.nullcontext())
    monkeypatch.setattr(user_code, "place", lambda error: None)
    monkeypatch.setattr(purity.trial, "failure", lambda error: None)
    with pytest.raises(RuntimeError, match="expected input"):
        cli.invoke(arguments(images, tmp_path / "store", spec("refused", REFUSED, "four channels"), "conv2"))
