"""Checkpoints in seventy forms: the weights bit for bit, or one line that calls the file what it is."""

from __future__ import annotations

import argparse
import datetime
import io
import json
import logging
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from support.odd_models import Net
from torch import Tensor, nn

from storage.errors import BadWeights
from storage.models import state_dicts, weights
from storage.models.specs import split_weights

State = dict[str, Tensor]


def trained(seed: int = 5) -> State:
    """Return the state dict of a net whose every tensor was drawn by a seed."""
    generator = torch.Generator().manual_seed(seed)
    state = Net().state_dict()
    return {
        name: torch.rand(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor + seed
        for name, tensor in state.items()
    }


TRUE, OTHER = trained(5), trained(6)


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def without_counts(state: State) -> State:
    return {name: tensor for name, tensor in state.items() if "num_batches" not in name}


def momentum() -> dict[str, Any]:
    return {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}


IN_ITSELF: dict[str, Any] = {"model": TRUE}
IN_ITSELF["self"] = IN_ITSELF

FITTING: dict[str, Any] = {
    "plain": TRUE,
    "ordered": OrderedDict(TRUE),
    "parameters": {name: nn.Parameter(t) if t.is_floating_point() else t for name, t in TRUE.items()},
    "without counts": without_counts(TRUE),
    "nested": {"state_dict": TRUE, "epoch": 3, "optimizer": momentum()},
    "nested as net": {"net": TRUE, "acc": 97.5},
    "nested as params": {"params": TRUE},
    "nested deeply": {"ckpt": {"model": {"weights": TRUE}}, "step": 7},
    "parallel": under("module.", TRUE),
    "compiled in parallel": under("_orig_mod.module.", TRUE),
    "parallel of compiled": {"model": under("module._orig_mod.", TRUE)},
    "as net.": under("net.", TRUE),
    "as backbone.": under("backbone.", TRUE),
    "of a learner": {"state_dict": under("model.", TRUE) | {"loss.weight": torch.ones(5)}, "hyper_parameters": {}},
    "one part of two": under("encoder.", TRUE) | {"decoder.weight": torch.ones(2, 2)},
    "averaged by torch": under("module.", TRUE) | {"n_averaged": torch.tensor(9)},
    "profiled": TRUE
    | {"total_ops": torch.zeros(1), "conv1.total_ops": torch.zeros(1), "conv1.total_params": torch.ones(1)},
    "with metrics": under("model.", TRUE) | {"val_acc.tp": torch.ones(5), "val_acc.fp": torch.ones(5)},
    "metrics beside": TRUE | {"acc.confmat": torch.ones(5, 5), "acc.correct": torch.ones(1)},
    "with arguments": {"model": TRUE, "args": argparse.Namespace(lr=0.1)},
    "with numbers of numpy": {"model": TRUE, "best": np.float64(0.93)},
    "compiled inside": {name.replace("conv1.", "conv1._orig_mod."): tensor for name, tensor in TRUE.items()},
    "sharded inside": under(
        "module.", {name.replace("fc.", "fc._fsdp_wrapped_module."): tensor for name, tensor in TRUE.items()}
    ),
    "with arrays": {"model": TRUE, "losses": np.ones(3), "rng": np.random.RandomState(0).get_state()},
    "with dates": {"model": TRUE, "saved": datetime.datetime(2024, 1, 1)},
    "in parts": {
        "conv1": {"weight": TRUE["conv1.weight"], "bias": TRUE["conv1.bias"]},
        "bn": {name[3:]: tensor for name, tensor in TRUE.items() if name.startswith("bn.")},
        **{name: tensor for name, tensor in TRUE.items() if name.startswith(("conv2", "fc"))},
    },
    "teacher alone": {"teacher": TRUE, "optimizer": momentum()},
    "the same twice": {"model": TRUE, "ema": dict(TRUE)},
    "in itself": IN_ITSELF,
}
"""Checkpoints of torch.save with one set of weights that fits."""


def loaded(path: Path | str, module: nn.Module | None = None) -> State:
    module = module or Net()
    weights.apply(module, weights.read(path))
    return dict(module.state_dict())


def same(ours: State, theirs: State) -> bool:
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("form", FITTING)
def test_a_checkpoint_that_fits_is_loaded_bit_for_bit(form: str, tmp_path: Path) -> None:
    torch.save(FITTING[form], tmp_path / "w.pt")
    assert same(loaded(tmp_path / "w.pt"), without_counts(TRUE) if form == "without counts" else TRUE)


FILES: dict[str, Callable[[Path], object]] = {
    "w.safetensors": lambda path: save_file(TRUE, path),
    "safetensors.bin": lambda path: save_file(TRUE, path),
    "torch.safetensors": lambda path: torch.save(TRUE, path),
    "legacy.pth.tar": lambda path: torch.save({"state_dict": TRUE}, path, _use_new_zipfile_serialization=False),
    "a#b.pt": lambda path: torch.save(TRUE, path),
    "double.pt": lambda path: torch.save(
        {n: t.double() if t.is_floating_point() else t for n, t in TRUE.items()}, path
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_by_its_content(name: str, tmp_path: Path) -> None:
    FILES[name](tmp_path / name)
    assert same(loaded(tmp_path / name), TRUE)


def test_names_that_the_model_puts_before_its_own(tmp_path: Path) -> None:
    torch.save(TRUE, tmp_path / "w.pt")
    wrapped = nn.ModuleDict({"net": Net()})
    assert same(loaded(tmp_path / "w.pt", wrapped), under("net.", TRUE))


def test_tied_weights_may_be_stored_once(tmp_path: Path) -> None:
    tied = nn.ModuleDict({"first": nn.Linear(4, 4), "second": nn.Linear(4, 4)})
    tied["second"].weight = tied["first"].weight
    state = {name: torch.rand(tensor.shape) for name, tensor in tied.state_dict().items() if name != "second.weight"}
    save_file(state, tmp_path / "w.safetensors")
    assert same(loaded(tmp_path / "w.safetensors", tied), state | {"second.weight": state["first.weight"]})


TWO: dict[str, tuple[Any, str, str]] = {
    "raw and ema": ({"ema": OTHER, "model": TRUE}, "model", "ema"),
    "state_dict_ema": ({"state_dict": TRUE, "state_dict_ema": OTHER}, "state_dict", "state_dict_ema"),
    "student and teacher": (
        {"teacher": under("module.", OTHER), "student": under("module.", TRUE)},
        "student.module",
        "teacher.module",
    ),
    "params_ema": ({"params_ema": OTHER, "params": TRUE}, "params", "params_ema"),
    "side by side": (under("ema_model.", OTHER) | under("model.", TRUE), "model", "ema_model"),
}


@pytest.mark.parametrize("form", TWO)
def test_where_two_fit_it_is_said_and_either_can_be_had(
    form: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content, taken, other = TWO[form]
    torch.save(content, tmp_path / "w.pt")
    with caplog.at_level(logging.WARNING):
        assert same(loaded(tmp_path / "w.pt"), TRUE)
    assert f"taken from {taken}; others fit, too: --weights {tmp_path / 'w.pt'}#{other}" in caplog.text
    caplog.clear()
    assert same(loaded(f"{tmp_path / 'w.pt'}#{other.split('.')[0]}"), OTHER)
    assert caplog.text == ""
    with pytest.raises(BadWeights, match="holds no such weights; those that fit the model: .*" + other):
        loaded(f"{tmp_path / 'w.pt'}#nothing")


def test_what_is_left_out_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save(FITTING["one part of two"], tmp_path / "w.pt")
    with caplog.at_level(logging.WARNING):
        loaded(tmp_path / "w.pt")
    assert "taken from encoder; left out beside it: decoder.weight" in caplog.text


def archive(**files: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    return stream.getvalue()


def arrays() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, w=np.ones(3))
    return stream.getvalue()


def pickled(content: object, legacy: bool = False) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


WRONG: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "a web page": ("w.pt", lambda: b"<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
    "a web page after blanks": ("w.safetensors", lambda: b"\n\n  <html lang=en>", "is a web page"),
    "an LFS pointer": ("w.bin", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "Git LFS pointer"),
    "HDF5": ("w.h5", lambda: b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file"),
    "GGUF": ("w.gguf", lambda: b"GGUF" + bytes(100), "is a GGUF file"),
    "gzip": ("w.pt.gz", lambda: b"\x1f\x8b\x08" + bytes(100), "is compressed"),
    "tar": ("w.tar", lambda: bytes(257) + b"ustar" + bytes(300), "is a tar archive"),
    "ONNX": ("w.onnx", lambda: b"\x08\x07\x12\x07pytorch", "is an ONNX graph"),
    "JSON": ("config.json", lambda: json.dumps({"layers": 3}).encode(), "is JSON text"),
    "an index": ("i.json", lambda: json.dumps({"weight_map": {"a": "b"}}).encode(), "is the index of weights"),
    "NumPy": ("w.npz", arrays, "is a NumPy archive"),
    "a zip": ("w.pt", lambda: archive(readme="text"), r"is a zip archive .*holds readme"),
    "nothing": ("w.pt", lambda: b"", "is empty"),
    "cut short": ("w.pt", lambda: pickled(TRUE)[:-200], "is cut short"),
    "cut short, legacy": ("w.pt", lambda: pickled(TRUE, legacy=True)[:-200], "is cut short"),
    "cut short, safetensors": ("w.safetensors", lambda: save(TRUE)[:-200], "is cut short"),
    "cut short in the header": ("w.safetensors", lambda: save(TRUE)[:40], "is cut short"),
    "rubbish": ("w.pt", lambda: b"\x00\x01\x02 rubbish", "not a safetensors file or state dict"),
    "a module": ("w.pt", lambda: pickled(Net()), "holds Python objects besides tensors"),
    "a list": ("w.pt", lambda: pickled([1, 2]), "holds a list"),
    "numbers": ("w.pt", lambda: pickled({"epoch": 3}), "holds no tensors, only epoch"),
    "another net": ("w.pt", lambda: pickled(nn.Linear(3, 4).state_dict()), "do not fit the model: 1[0-9] missing"),
    "NaN": ("w.pt", lambda: pickled(TRUE | {"fc.bias": torch.full((5,), torch.nan)}), r"fc.bias has 5 of 5 .*NaN"),
    "infinite": (
        "w.pt",
        lambda: pickled(TRUE | {"fc.bias": torch.full((5,), torch.inf)}),
        r"fc.bias has 5 of 5 values that are infinite",
    ),
    "infinite variance": (
        "w.pt",
        lambda: pickled(TRUE | {"bn.running_var": torch.full((8,), torch.inf)}),
        r"bn.running_var has 8 of 8 values that are infinite",
    ),
    "too large": (
        "w.pt",
        lambda: pickled(TRUE | {"fc.bias": torch.full((5,), 1e300, dtype=torch.float64)}),
        "fc.bias has 5 of 5 values that are too large for float32",
    ),
    "complex": (
        "w.pt",
        lambda: pickled({n: t.to(torch.complex64) if t.is_floating_point() else t for n, t in TRUE.items()}),
        "holds complex64 where the model has float32: complex numbers",
    ),
    "text": ("w.pt", lambda: b"Not Found", "is plain text, not weights"),
    "zeros": ("w.pt", lambda: bytes(4096), "is nothing but zeros"),
    "a plain pickle": ("w.pkl", lambda: pickle.dumps({"a": 1}), "not a safetensors file or state dict; save module"),
    "no safetensors": ("w.safetensors", lambda: b"\xff" * 600, "is not a safetensors file, despite its name"),
    "int8": (
        "w.pt",
        lambda: pickled({n: t.mul(100).to(torch.int8) for n, t in TRUE.items()}),
        "int8 where the model has float32: quantised values without their scales",
    ),
    "no values": ("w.pt", lambda: pickled({n: t.to("meta") for n, t in TRUE.items()}), "has no values"),
}


@pytest.mark.parametrize("form", WRONG)
def test_a_file_of_another_kind_is_called_what_it_is(form: str, tmp_path: Path) -> None:
    name, content, words = WRONG[form]
    (tmp_path / name).write_bytes(content())
    with pytest.raises(BadWeights, match=words) as error:
        loaded(tmp_path / name)
    assert "\n" not in str(error.value)
    assert str(tmp_path / name) in str(error.value)


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match="is a folder"):
        weights.read(tmp_path)
    with pytest.raises(BadWeights, match=r"w\.pt: no such file"):
        weights.read(f"{tmp_path}/w.pt#ema")


def test_a_refused_checkpoint_leaves_the_module_as_it_was(tmp_path: Path) -> None:
    module = Net()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    torch.save(TRUE | {"fc.bias": torch.full((5,), torch.nan)}, tmp_path / "w.pt")
    with pytest.raises(BadWeights):
        loaded(tmp_path / "w.pt", module)
    assert same(dict(module.state_dict()), before)


def test_a_key_is_split_from_a_file_once() -> None:
    assert split_weights("w.pt#ema") == (Path("w.pt"), "ema")
    assert split_weights("a#b.pt#ema") == (Path("a#b.pt"), "ema")
    assert split_weights("w.pt") == (Path("w.pt"), None)


def test_mutant_without_prefixes_a_parallel_checkpoint_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(FITTING["parallel"], tmp_path / "w.pt")
    monkeypatch.setattr(state_dicts, "_starts", lambda name: iter([0]))
    with pytest.raises(BadWeights, match="do not fit"):
        loaded(tmp_path / "w.pt")


def test_an_infinite_mask_is_no_broken_weight(tmp_path: Path) -> None:
    module = Net()
    module.register_buffer("mask", torch.full((3,), -torch.inf))
    torch.save(TRUE | {"mask": torch.full((3,), -torch.inf)}, tmp_path / "w.pt")
    assert same(loaded(tmp_path / "w.pt", module), TRUE)


def test_mutant_with_wrapped_parts_left_in_a_compiled_part_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(FITTING["compiled inside"], tmp_path / "w.pt")
    monkeypatch.setattr(state_dicts, "WRAPPERS", ())
    with pytest.raises(BadWeights, match="do not fit"):
        loaded(tmp_path / "w.pt")
