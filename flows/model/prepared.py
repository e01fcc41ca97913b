"""Prepare the model of a run, once per process: load, probe, fingerprint, fold, and move it to its device."""

from __future__ import annotations

import copy
import functools
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.model import activations, folding
from flows import progress
from flows.config import RunConfig
from flows.model import examine, fingerprints
from storage import models
from storage.errors import AmbiguousAxes, UnknownLayer, UsageError
from storage.models.specs import split_weights

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
BATCH = {"cpu": 32, "cuda": 128}


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedModel:
    """A model with the layers of a run. `folded` is on the device in the run's precision; `model.module` is unchanged."""

    model: models.Model
    layers: dict[str, Layer]
    fingerprints: dict[str, str]
    whole: str
    """The fingerprint of the model's output."""
    traces: dict[str, str]
    """The fingerprints of format 1, which are traces alone: of the layers, and as "" of the model's output."""
    note: str = ""
    """Why outputs count for less in the fingerprints, where they do."""
    folded: folding.Folded
    device: torch.device
    dtype: torch.dtype
    varying: str = ""
    """How the model's values for an image vary, where that is allowed."""
    kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What this process keeps with the model, by who keeps it."""

    @property
    def loaded(self) -> PreparedModel:
        """The model itself: one that a version recorded has to be loaded first."""
        return self

    @property
    def own(self) -> bool:
        """Whether the model comes from a user's factory, whose code counts in the fingerprints."""
        return self.model.own

    def drawing(self) -> folding.Folded:
        """Return the model to optimise pictures through: folded, in float32, on the device."""
        return self.folded if self.dtype is torch.float32 else _folded(self.model, self.device)

    def folded_on_cpu(self) -> folding.Folded:
        """Return the folded model in float32 on the CPU, where results do not depend on the run's device."""
        cpu = torch.device("cpu")
        return self.drawing() if self.device == cpu else _folded(self.model, cpu)

    def input(self, pixels: Tensor) -> Tensor:
        """Normalise decoded pixels to the model's input, `b c h w` on the device."""
        return self.model.preprocess.normalise(pixels.to(self.device, non_blocking=True)).to(
            self.dtype, memory_format=torch.channels_last
        )

    def module_exposing(self, names: Iterable[str]) -> nn.Module:
        """Return the float32 model on the device, with the outputs of these layers exposed to be changed.

        That is the folded model, unless one of the layers is inside a folded pair, which hides its output.
        """
        unfolded = self.folded.unfolded
        if any(activations.split_call(name, unfolded)[0] in unfolded for name in names):
            return copy.deepcopy(self.model.module).to(self.device).to(memory_format=torch.channels_last)
        return self.drawing().module

    def plain_input(self, pixels: Tensor) -> Tensor:
        """Normalise decoded pixels for `module_exposing`: to float32, whatever the run's precision."""
        return self.model.preprocess.normalise(pixels.to(self.device)).to(memory_format=torch.channels_last)

    def visit(self, pixels: Tensor, names: list[str], visit: Callable[[str, Tensor], None]) -> None:
        """Run the model up to the last of the named layers, calling `visit` with the activations `b c h w` of each.

        Raises VaryingLayerError where one has another shape than when the model was tried.
        """
        with torch.inference_mode():
            self.run(self.input(pixels), names, visit)

    def try_whole(self, pixels: Tensor, names: list[str]) -> None:
        """Run the whole model. Raises VaryingLayerError for a named layer that is called again after the last of them."""
        with torch.inference_mode():
            self.run(self.input(pixels), names, lambda name, activation: None, whole=True)

    def run(
        self,
        shown: Tensor,
        names: Iterable[str],
        visit: Callable[[str, Tensor], None],
        *,
        scored: bool = False,
        whole: bool = False,
        target: folding.Folded | None = None,
    ) -> Tensor | None:
        """Do the same with a normalised input; where `scored`, return the class scores `b k`.

        For them, and where `whole`, it runs to its end. `target` is a copy to run in place of the model.
        """
        layers = {name: self.layers[name] for name in names}

        def check(name: str, activation: Tensor) -> None:
            activations.check_shape(layers[name], activation)
            visit(name, activation)

        with activations.recording(target or self.folded, layers, check, stop=not (scored or whole)) as run:
            output = run(shown)
            return self.model.logits(output) if scored else None


def device_of(config: RunConfig) -> torch.device:
    """Return the configured device; `auto` is CUDA where available."""
    device = "cuda" if config.device == "auto" and torch.cuda.is_available() else config.device
    return torch.device("cpu" if device == "auto" else device)


def check_device(config: RunConfig) -> None:
    """Raise UsageError if this machine lacks the device, or computes in the run's precision only by emulating it."""
    device = device_of(config)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and not count:
        raise UsageError(f"--device {config.device}: torch sees no CUDA device here; use --device cpu or auto")
    if device.type == "cuda" and (device.index or 0) >= count:
        range_there = "only cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise UsageError(f"--device {config.device}: torch sees {range_there} here")
    if device.type == "cpu" and not processor_has(config.precision):
        raise UsageError(
            f"--precision {config.precision}: this processor has no instructions for it and would take many times as long "
            "as with fp32; use --precision fp32, or a GPU"
        )


def processor_has(precision: str) -> bool:
    """Tell whether the processor computes in this precision itself.

    oneDNN calls bfloat16 supported where AVX512 emulates it, five times slower than float32.
    """
    if precision == "fp16":
        return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
    if precision == "bf16":
        emulates = platform.machine() in ("x86_64", "AMD64") and not (
            torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        )
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and not emulates
    return True


def batch_of(config: RunConfig) -> int:
    """Return the configured batch size, or the default of the device."""
    return config.batch or BATCH[device_of(config).type]


def load(config: RunConfig) -> models.Model:
    """Load the model that the configuration describes."""
    return models.load(
        config.model,
        weights=config.weights,
        input_size=config.input_size,
        mean=config.mean,
        std=config.std,
        classes=config.classes,
    )


def example(model: models.Model) -> Tensor:
    """Return a fixed noise input `c h w` for probes."""
    height, width = model.preprocess.size
    generator = torch.Generator().manual_seed(0)
    return torch.randn(model.preprocess.channels, height, width, generator=generator, dtype=torch.float32)


MODEL_SETTINGS = (
    *("model", "weights", "axes", "input_size", "mean", "std", "classes", "logits", "allow_varying"),
    *("device", "precision"),
)
"""The settings that determine a prepared model."""


def prepare(config: RunConfig, *, here: bool = True) -> PreparedModel:
    """Return the prepared model of a run, cached by model, layers and device.

    With `here=False` other processes compute; this one only plans, so it needs no device. Raises UnknownLayer and
    AmbiguousAxes before any image is read, and UsageError where this process lacks the device.
    """
    settings = {name: getattr(config, name) for name in MODEL_SETTINGS} | {"layers": config.chosen_layers}
    return _prepare(RunConfig(images="", **settings).model_dump_json(), _stamp(config.weights), here)


def forget() -> None:
    """Clear the cache at the start of a run: weights or a factory's code may have changed under the same name."""
    _prepare.cache_clear()


def _stamp(weights: str | None) -> tuple[int, ...]:
    """Return size and modification time of the weights file, which tell apart two files at one path."""
    try:
        status = split_weights(weights)[0].stat() if weights else None
    except OSError:
        return ()
    return (status.st_size, status.st_mtime_ns) if status else ()


@functools.lru_cache(maxsize=1)
def _prepare(described: str, stamp: tuple[int, ...], here: bool) -> PreparedModel:
    config = RunConfig.model_validate_json(described)
    device, dtype = device_of(config), DTYPES[config.precision]
    if here:
        check_device(config)
    if device.type == "cuda":
        _pin_cuda()
    model = load(config)
    sample = example(model)
    examined = examine.examine(
        model,
        sample,
        layers=config.chosen_layers,
        classes=config.classes,
        logits=config.logits,
        allow_varying=config.allow_varying,
    )
    model = examined.model
    for note in examined.notes:
        progress.current().say(f"model {model.spec}: {note}")
    with examine.border(model.spec, model.module):
        layers = _probe(model.module, sample, config)
    with examine.border(model.spec):
        known = fingerprints.of_model(model, sample, [*layers, ""])
        folded = _folded(model, device if here else torch.device("cpu"), dtype)
    prepared = PreparedModel(
        model=model,
        layers=layers,
        fingerprints={name: known.prints[name] for name in layers},
        whole=known.prints[""],
        traces=known.traces,
        note=known.note,
        folded=folded,
        device=device,
        dtype=dtype,
        varying=examined.varying,
    )
    if here:
        with examine.border(model.spec, folded.module):
            prepared.try_whole(_extremes(model), list(layers))
    return prepared


def _extremes(model: models.Model) -> Tensor:
    """Return a black and a white image: what depends on the image does something else for them, if for any."""
    pixels = model.preprocess.blank(2)
    pixels[1] = 255
    return torch.from_numpy(pixels)


def _pin_cuda() -> None:
    """Disable TF32 (which keeps ten bits of float32) and select the same kernels in every run."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True


def _folded(model: models.Model, device: torch.device, dtype: torch.dtype = torch.float32) -> folding.Folded:
    return folding.fold(model.module, example(model)).to(device, dtype)


def _probe(module: nn.Module, sample: Tensor, config: RunConfig) -> dict[str, Layer]:
    try:
        return activations.probe(module, sample, config.chosen_layers, axes=config.axes)
    except activations.UnknownLayerError as error:
        raise UnknownLayer(f"{error}; `{config.listing}` lists all") from None
    except activations.AmbiguousAxesError as error:
        raise AmbiguousAxes(str(error)) from None
