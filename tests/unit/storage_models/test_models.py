"""Models are loaded as their specs say, and what does not fit is one clear line."""

from __future__ import annotations

import os
import pickle
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import models as library

from storage import models
from storage.errors import BadWeights, ModelError, UsageError
from storage.models import weights, zoo
from storage.models.loading import find_logits
from storage.models.preprocessing import Preprocess


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def lite0() -> models.Model:
    return models.load("efficientnet-lite0")


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_factory_leaves_the_working_folder_as_it_was() -> None:
    before = os.getcwd(), torch.is_grad_enabled(), torch.get_default_device()
    models.load("support.border_models:elsewhere")
    assert (os.getcwd(), torch.is_grad_enabled(), torch.get_default_device()) == before


def test_default_model(lite0: models.Model, capsys: pytest.CaptureFixture[str]) -> None:
    model = models.load("efficientnet-lite0")
    assert capsys.readouterr().out == ""
    assert not model.module.training
    assert {p.dtype for p in model.module.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in model.module.parameters())
    assert model.preprocess.size == (224, 224)
    assert model.classes == tuple(library.ResNet18_Weights.DEFAULT.meta["categories"])
    assert model.mean == (127 / 255,) * 3


def disagreement(model: models.Model, image: Image.Image) -> float:
    """Return how far the stem's values lie from batch norm's running mean, in standard deviations, on average."""
    norm: Any = model.module.get_submodule("_blocks.0._bn2")
    taken: list[Tensor] = []
    handle = norm.register_forward_pre_hook(lambda module, args: taken.append(args[0]))
    with torch.no_grad():
        model.module(model.preprocess(image)[None])
    handle.remove()
    off = (taken[0].mean((0, 2, 3)) - norm.running_mean) / norm.running_var.sqrt()
    return float(off.abs().mean())


def test_default_model_recognises_with_its_authors_scaling(lite0: models.Model) -> None:
    from skimage import data

    cat = Image.fromarray(data.chelsea())
    with torch.no_grad():
        scores = lite0.logits(lite0.module(lite0.preprocess(cat)[None]))[0]
    best = {lite0.classes[i] for i in scores.topk(3).indices.tolist()}
    assert best & {"Egyptian cat", "tabby", "tiger cat"}


@pytest.mark.parametrize("name", ["resnet18", "vit_b_32"])
def test_torchvision_preprocessing_is_the_presets(name: str) -> None:
    model = models.load(f"torchvision:{name}", weights="random")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 411, 3), dtype=np.uint8))
    preset = library.get_model_weights(name).DEFAULT.transforms()
    assert torch.allclose(model.preprocess(image), preset(image), atol=1e-6)
    assert len(model.classes) == 1000


def test_random_weights_depend_on_the_spec_only() -> None:
    torch.manual_seed(1)
    first = models.load("torchvision:squeezenet1_1", weights="random")
    after = torch.rand(1)
    torch.manual_seed(2)
    second = models.load("torchvision:squeezenet1_1", weights="random")
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1))
    ours, theirs = first.module.state_dict(), second.module.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm")
    model = models.load("timm:resnet10t", weights="random")
    assert model.preprocess.size == (176, 176)
    with torch.no_grad():
        assert model.logits(model.module(model.preprocess(Image.new("RGB", (50, 60)))[None])).shape == (1, 1000)
    with pytest.raises(BadWeights, match="not on this machine") as error:
        models.load("timm:resnet10t")
    assert "--weights random" in one_line(error)


@pytest.mark.parametrize(
    ("spec", "kwargs", "kind", "words"),
    [
        ("torchvision:resnt18", {}, UsageError, "nearest: resnet18"),
        ("torchvision:resnet18", {}, BadWeights, "not on this machine .*resnet18-.*--weights download"),
        ("torchvision:resnet18", {"weights": "download"}, BadWeights, "could not be downloaded .*--weights FILE"),
        ("torchvision:resnet18", {"weights": "nope.pt"}, BadWeights, "nope.pt: no such file"),
        ("efficientnet-lite0", {"weights": "download"}, UsageError, "for torchvision and timm"),
        ("efficientnet-lite9", {}, UsageError, "known are efficientnet-lite0, .*efficientnet-lite4"),
        ("resnet18", {}, UsageError, "write efficientnet-lite0, torchvision:NAME"),
        ("nowhere.to.be:found", {}, UsageError, "cannot import nowhere.to.be"),
        ("torchvision:resnet18", {"weights": "random", "std": (0, 1, 1)}, UsageError, "std must be positive"),
        ("torchvision:resnet18", {"weights": "random", "classes": "no.txt"}, UsageError, "--classes no.txt"),
    ],
)
def test_errors_are_one_line(
    spec: str,
    kwargs: dict[str, Any],
    kind: type[Exception],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(kind, match=words) as error:
        models.load(spec, **kwargs)
    one_line(error)


OWN = """
import torch
from storage.models.loading import Model
from storage.models.preprocessing import Preprocess
from helper_of_mine import width

def plain():
    return torch.nn.Sequential(torch.nn.Conv2d(3, width, 3), torch.nn.Flatten(), torch.nn.Linear(width * 36, 2))

def grey():
    return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3))

def seven():
    return torch.nn.Conv2d(7, 4, 3)

def full():
    return Model(module=plain(), preprocess=Preprocess(resize=9, crop=(8, 8)), classes=("cat", "dog"),
                 logits=lambda output: -output)

def preset():
    from torchvision.transforms._presets import ImageClassification
    return Model(module=plain(), preprocess=ImageClassification(crop_size=8, resize_size=9))

def opaque():
    return Model(module=plain(), preprocess=lambda image: torch.zeros(3, 8, 8))

def broken():
    raise KeyError("weights.bin")

def text():
    return "model"

number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "models_of_mine.py").write_text(OWN)
    (tmp_path / "helper_of_mine.py").write_text("width = 4\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_factory_with_nothing_said(own: Path) -> None:
    (own / "names.txt").write_text("left\n\n right \n")
    model = models.load("models_of_mine:plain", input_size=8, mean=(0, 0, 0), classes="names.txt")
    assert model.preprocess == Preprocess(resize=8, crop=(8, 8), mean=(0.0, 0.0, 0.0))
    assert model.classes == ("left", "right")
    with torch.no_grad():
        assert model.logits(model.module(model.preprocess(Image.new("RGB", (20, 10)))[None])).shape == (1, 2)


def test_a_factory_that_gives_a_model(own: Path) -> None:
    model = models.load("models_of_mine:full")
    assert (model.classes, model.preprocess.size) == (("cat", "dog"), (8, 8))
    assert model.logits(torch.ones(1, 2)).tolist() == [[-1, -1]]
    wider = models.load("models_of_mine:full", input_size=(16, 24))
    assert (wider.preprocess.resize, wider.preprocess.crop) == (18, (16, 24))


def test_a_factory_that_gives_torchvisions_preset(own: Path) -> None:
    assert models.load("models_of_mine:preset").preprocess == Preprocess(resize=9, crop=(8, 8))


def test_a_grey_model(own: Path) -> None:
    model = models.load("models_of_mine:grey", input_size=8)
    assert model.preprocess.channels == 1
    assert model.preprocess(Image.new("RGB", (9, 9), "white")).shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("plain", UsageError, "does not declare its input; give --input-size"),
        ("plan", UsageError, "has no function plan; nearest: plain"),
        ("number", UsageError, "has no function number"),
        ("broken", ModelError, "the factory failed: KeyError"),
        ("text", ModelError, "returned a str"),
        ("opaque", UsageError, "its preprocess is a function; give it as a"),
    ],
)
def test_factories_that_fail(own: Path, name: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as error:
        models.load(f"models_of_mine:{name}")
    one_line(error)
    with pytest.raises(UsageError, match="a factory sets its own weights"):
        models.load("models_of_mine:full", weights="random")
    with pytest.raises(ModelError, match="takes 7 channels"):
        models.load("models_of_mine:seven", input_size=8)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def make(: pass", r"importing odd_mine failed: SyntaxError: .* \(odd_mine.py:1\)$"),
        ("1 / 0", r"importing odd_mine failed: ZeroDivisionError: division by zero \(odd_mine.py:1\)$"),
        ("raise ValueError('one\\ntwo')", r"importing odd_mine failed: ValueError: one \(odd_mine.py:1\)$"),
        ("import sys\nsys.exit(4)", r"odd_mine calls sys.exit\(4\) when imported"),
        ("import nothing_of_the_kind", r"cannot import odd_mine from .*No module named 'nothing_of_the_kind'"),
        ("from math import nothing", r"cannot import odd_mine from .*cannot import name 'nothing'"),
        ("print('hello')", r"has no function make; nearest: none"),
    ],
)
def test_modules_that_fail_when_imported(
    source: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "odd_mine.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "odd_mine", raising=False)
    with pytest.raises((UsageError, ModelError), match=words) as error:
        models.load("odd_mine:make")
    one_line(error)
    assert capsys.readouterr().out == ""
    sys.modules.pop("odd_mine", None)


def saved(path: Path, how: str, state: dict[str, Tensor]) -> Path:
    if how == "safetensors":
        from safetensors.torch import save_file

        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path / "w.safetensors")
        return path / "w.safetensors"
    wrapped: dict[str, Any] = {
        "plain": state,
        "nested": {"state_dict": state, "epoch": 3},
        "lightning": {"model": {f"model.{name}": tensor for name, tensor in state.items()}},
        "parallel": {f"module.{name}": tensor for name, tensor in state.items()},
    }
    torch.save(wrapped[how], path / "w.pt")
    return path / "w.pt"


@pytest.mark.parametrize("how", ["safetensors", "plain", "nested", "lightning", "parallel"])
def test_weights_of_a_file(how: str, tmp_path: Path, own: Path) -> None:
    torch.manual_seed(5)
    theirs = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2)).state_dict()
    model = models.load("models_of_mine:plain", weights=str(saved(tmp_path, how, theirs)), input_size=8)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in model.module.state_dict().items())


def test_a_head_of_another_size(tmp_path: Path) -> None:
    torch.manual_seed(5)
    theirs = library.squeezenet1_1(num_classes=7).state_dict()
    model = models.load("torchvision:squeezenet1_1", weights=str(saved(tmp_path, "plain", theirs)))
    assert model.module.get_parameter("classifier.1.weight").shape[0] == 7
    assert model.classes == ()


def test_weights_that_do_not_fit(tmp_path: Path, own: Path) -> None:
    torch.manual_seed(5)
    state = nn.Sequential(nn.Conv2d(3, 4, 5), nn.Flatten(), nn.Linear(4 * 36, 2)).state_dict()
    state["2.wieght"] = state.pop("2.weight")
    with pytest.raises(BadWeights) as error:
        models.load("models_of_mine:plain", weights=str(saved(tmp_path, "plain", state)), input_size=8)
    said = one_line(error)
    assert "1 missing (2.weight, nearest 2.wieght)" in said
    assert "1 unexpected (2.wieght, nearest 2.weight)" in said
    assert "1 of another size (0.weight is 4 × 3 × 5 × 5, the model's 4 × 3 × 3 × 3)" in said


class Bomb:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return (pytest.fail, ("code ran",))


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(BadWeights, match=r"w\.pt"):
        weights.read(path)
    torch.save({"state_dict": {"a": torch.ones(1)}, "bomb": Bomb()}, path)
    with pytest.raises(BadWeights, match="holds Python objects") as error:
        weights.read(path)
    one_line(error)
    for content, words in (([1, 2], "holds a list"), ({"epoch": 3}, "holds no tensors, only epoch")):
        torch.save(content, path)
        with pytest.raises(BadWeights, match=words):
            weights.read(path)
    (tmp_path / "w.safetensors").write_bytes(b"not at all")
    with pytest.raises(BadWeights, match="is plain text") as error:
        weights.read(tmp_path / "w.safetensors")
    one_line(error)


def test_logits_wherever_they_are() -> None:
    scores, features = torch.ones(2, 5), torch.zeros(2, 3, 4, 4)
    for output in (
        scores,
        scores[:, :, None, None],
        {"features": features, "logits": scores},
        {"features": features, "out": scores},
        (features, scores),
        [scores],
        SimpleNamespace(logits=scores),
    ):
        assert torch.equal(find_logits(output), scores)
    with pytest.raises(ModelError, match=r"a tensor of \(2, 3, 4, 4\)"):
        find_logits(features)


def test_mutant_imagenets_scaling_disagrees_with_the_stem(lite0: models.Model) -> None:
    from skimage import data

    image = Image.fromarray(data.coffee())
    other = models.load("efficientnet-lite0", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    assert disagreement(other, image) > 1.5 * disagreement(lite0, image)


def test_class_names_are_read_without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    assert zoo.imagenet() == tuple(library.ResNet18_Weights.DEFAULT.meta["categories"])
