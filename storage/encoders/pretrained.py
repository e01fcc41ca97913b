"""Encoders of images and texts whose weights a user has: models of open_clip, and CLIP and SigLIP of transformers.

Neither library is required or installed by an extra. Weights are looked for on this machine alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from storage.encoders import names
from storage.encoders.contract import digest, unit
from storage.errors import BadWeights, UsageError, first_line
from storage.models.preprocessing import Preprocess


class Pretrained:
    """An encoder of a library: functions of its own turn pixels and texts into vectors."""

    def __init__(
        self,
        name: str,
        module: nn.Module,
        preprocess: Preprocess,
        of_images: Callable[[Tensor], Tensor],
        of_texts: Callable[[list[str]], Tensor],
    ) -> None:
        self.name, self.side, self._preprocess = name, preprocess.size[0], preprocess
        self._of_images, self._of_texts = of_images, of_texts
        self.weights = digest(module, also=preprocess.fingerprint())

    def images(self, pixels: Tensor) -> Tensor:
        """Return unit vectors `b d`."""
        with torch.inference_mode():
            return unit(self._of_images(self._preprocess.normalise(pixels)).float())

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Return unit vectors `n d`."""
        with torch.inference_mode():
            return unit(self._of_texts(list(texts)).float())


def open_clip(name: str) -> Pretrained:
    """Load ARCHITECTURE/FILE of open_clip: an architecture of its list and a file of weights. Raises UsageError, BadWeights."""
    library = _library(names.OPEN_CLIP, name)
    architecture, _, file = name.partition("/")
    if not file:
        raise UsageError(
            f"encoder {names.OPEN_CLIP}:{name}: write {names.OPEN_CLIP}:ARCHITECTURE/FILE with its weights"
        )
    with _Refusing(names.OPEN_CLIP, name):
        module, _, _ = library.create_model_and_transforms(architecture, pretrained=file)
        module = module.eval().requires_grad_(False)
        visual, tokenizer = module.visual, library.get_tokenizer(architecture)
        side = visual.image_size if isinstance(visual.image_size, int) else visual.image_size[0]
        preprocess = Preprocess(crop=(side, side), mean=tuple(visual.image_mean), std=tuple(visual.image_std))
    return Pretrained(
        f"{names.OPEN_CLIP}:{name}",
        module,
        preprocess,
        module.encode_image,
        lambda texts: module.encode_text(tokenizer(texts)),
    )


def transformers(name: str) -> Pretrained:
    """Load a CLIP or SigLIP of transformers, from a folder or its cache. Raises UsageError, BadWeights."""
    library = _library(names.TRANSFORMERS, name)
    with _Refusing(names.TRANSFORMERS, name):
        module = library.AutoModel.from_pretrained(name, local_files_only=True).eval().requires_grad_(False)
        processor = library.AutoProcessor.from_pretrained(name, local_files_only=True)
        of_images, of_texts = module.get_image_features, module.get_text_features
        given = processor.image_processor
        side = given.size.get("shortest_edge") or given.size["height"]
        mean, std = tuple(map(float, given.image_mean)), tuple(map(float, given.image_std))
        preprocess = Preprocess(crop=(int(side), int(side)), mean=mean, std=std)
    return Pretrained(
        f"{names.TRANSFORMERS}:{name}",
        module,
        preprocess,
        lambda x: _vectors(of_images(pixel_values=x)),
        lambda texts: _vectors(of_texts(**processor(text=texts, padding=True, return_tensors="pt"))),
    )


def _vectors(output: Any) -> Tensor:
    """Return the vectors in an output, which is a tensor or, in later versions, has them as its pooled output."""
    return output if isinstance(output, Tensor) else output.pooler_output


def _library(kind: str, name: str) -> Any:
    try:
        return importlib.import_module(kind)
    except ImportError:
        package = kind.replace("open_clip", "open-clip-torch")
        raise UsageError(f"encoder {kind}:{name}: {kind} is not installed; pip install {package}") from None


class _Refusing:
    """Turn whatever a library raises into one line: its weights are not here, or it is no such model."""

    def __init__(self, kind: str, name: str) -> None:
        self.title = f"{kind}:{name}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, UsageError | BadWeights):
            raise BadWeights(
                f"encoder {self.title}: cannot be loaded from this machine ({first_line(error)}); give the name or the folder "
                "of a model of images and texts whose weights are here"
            ) from None
