"""Fingerprint a model: by the trace of its operators, by what comes out on fixed inputs, and by a user's own code.

A trace sees every tensor that operators touch, but not what numpy or a branch not taken would do; outputs see that as far
as the fixed inputs reach; code, which changes more often than what it does, counts for a user's own models.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from atlas.arrays import Byte
from atlas.model import fingerprint, probes
from atlas.model.activations import VaryingLayerError
from atlas.model.double import double
from storage import models
from storage.errors import first_line
from storage.images.samples import fixed_photos
from storage.models import source_code

VERSION = 2
_REMEMBERED = 8
_known: OrderedDict[str, probes.Outputs] = OrderedDict()
"""What came out of library models whose traces cover all that they do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprints:
    """64 hex digits per layer; the name "" is that of the model's output. `traces` are those of format 1."""

    prints: dict[str, str]
    traces: dict[str, str]
    note: str = ""
    """Why what comes out does not count, where it cannot."""


def of_model(model: models.Model, example: Tensor, names: Iterable[str]) -> Fingerprints:
    """Return the fingerprints of the named layers.

    Raises UnknownLayerError if one never finishes, VaryingLayerError if one does not run equally often on the fixed inputs.
    """
    wanted, digests = tuple(names), fingerprint.new_digests()
    with probes.fixed_seeds():
        traces = fingerprint.fingerprints(
            model.module, example, wanted, model.preprocess.fingerprint(), digests=digests
        )
    photos, notes = fixed_photos(), list[str]()
    before = _before_the_model(model, photos, notes)
    outputs = _outputs(model, photos, json.dumps([model.spec, before, traces], sort_keys=True), wanted, notes)
    if outputs.irregular:
        raise VaryingLayerError(outputs.irregular[0], "runs more often for some images than for others")
    parts = {"version": VERSION, "preprocessing": before, "source": _source(model, failed=bool(notes))}
    tensors = fingerprint.contents(model.module, digests) if outputs.outside else ""
    prints = {
        name: _hash(parts, traces[name], outputs.text.get(name, ""), tensors if name in outputs.outside else "")
        for name in wanted
    }
    return Fingerprints(prints=prints, traces=traces, note="; ".join(notes))


def _hash(parts: dict[str, Any], trace: str, output: str, tensors: str) -> str:
    every = parts | {"trace": trace, "output": output, "tensors": tensors}
    return hashlib.sha256(json.dumps(every, sort_keys=True).encode()).hexdigest()


def _source(model: models.Model, *, failed: bool) -> str:
    parts = (model.preprocess, model.logits)
    if model.own:
        return source_code.of_own(model.spec, model.module, parts)
    return source_code.of_classes(model.module, parts) if failed else ""


def _before_the_model(model: models.Model, photos: Sequence[Image.Image], notes: list[str]) -> str:
    """Describe what the preprocessing makes of photos, and where it says that their pixels lie."""
    preprocess = model.preprocess
    try:
        arrays: list[Any] = [astuple(preprocess.geometry(*photo.size)) for photo in photos]
        arrays += [preprocess.pixels(photo) for photo in photos]
        with double():
            inputs = [preprocess.normalise(_batch(pixels)) for pixels in arrays[len(photos) :]]
            inputs += [preprocess(photo) for photo in photos]
    except Exception as error:
        notes.append(f"the preprocessing does not run in float64 ({type(error).__name__}: {first_line(error)})")
        return ""
    return probes.of_arrays([*arrays, *(tensor.numpy() for tensor in inputs)])


def _outputs(
    model: models.Model, photos: Sequence[Image.Image], key: str, names: Sequence[str], notes: list[str]
) -> probes.Outputs:
    """Return what comes out on the fixed inputs: nothing where that cannot be computed, and a note that says so."""
    if not model.own and key in _known:
        return _known[key]
    try:
        inputs = _inputs(model, photos)
        outputs = probes.outputs(model.module, inputs, names, checked=(0, 1), scores=model.logits)
    except Exception as error:
        notes.append(f"the model does not run in float64 ({type(error).__name__}: {first_line(error)})")
        return probes.Outputs(text={}, outside=frozenset(names))
    if outputs.unstable:
        notes.append(_unstable(model, inputs[1], outputs))
    elif not model.own and not outputs.outside:
        _known[key] = outputs
        while len(_known) > _REMEMBERED:
            _known.popitem(last=False)
    return outputs


def _unstable(model: models.Model, x: Tensor, outputs: probes.Outputs) -> str:
    if (layer := probes.first_difference(model.module, x.float())) is not None:
        return f"{layer or 'the model'} gives another output for the same input"
    return f"{outputs.unstable[0] or 'the model'} amplifies rounding errors"


def _inputs(model: models.Model, photos: Sequence[Image.Image]) -> list[Tensor]:
    """Return the fixed inputs `c h w` in float64: black, a photo, noise, another photo."""
    preprocess = model.preprocess
    black = preprocess.blank(1)[0]
    pictures = (black, preprocess.pixels(photos[0]), _noise(black.shape), preprocess.pixels(photos[1]))
    with double():
        return [preprocess.normalise(_batch(pixels))[0] for pixels in pictures]


def _batch(pixels: Byte) -> Tensor:
    return torch.from_numpy(pixels.copy())[None]


def _noise(shape: tuple[int, ...]) -> Byte:
    """Return noise that is the same in every version of numpy: fine, and in the lower half in blocks of eight pixels."""
    raw = np.random.PCG64(1).random_raw(math.ceil(math.prod(shape) / 8))
    fine = raw.astype("<u8").view(np.uint8)[: math.prod(shape)].reshape(shape)
    half = shape[0] // 2
    blocks = np.kron(fine[: half // 8 + 1, : shape[1] // 8 + 1], np.ones((8, 8, 1), np.uint8))
    fine[half:] = blocks[: shape[0] - half, : shape[1]]
    return fine
