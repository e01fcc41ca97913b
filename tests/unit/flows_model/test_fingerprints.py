"""Fingerprints follow what a model's code does: the changes that a trace does not see, and those that do not count."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import five_models, mutating
from torch import Tensor, nn

from atlas.model import fingerprint, probes
from flows.model import fingerprints, prepared, published
from flows.model.fingerprints import Fingerprints
from storage import models
from storage.errors import ModelError
from storage.models import Model, Preprocess

CHANGES = {
    "pixels of a Preprocess": ("net.py", "255 - pixels if", "254 - pixels if"),
    "values of a Preprocess": ("net.py", "* 1.25", "* 1.2501"),
    "body of a custom operator": ("net.py", "0.8 + 0.5 * np.tanh", "0.8 + 0.51 * np.tanh"),
    "in place through numpy": ("net.py", "[:, 2] *= 1.5", "[:, 2] *= 1.501"),
    "a seed in forward": ("net.py", "manual_seed(3)", "manual_seed(4)"),
    "scores": ("net.py", "raw * 1.5", "raw * 1.501"),
}
"""What a trace does not see; the last changes no layer."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Fingerprints]:
    with mutating.loaded(tmp_path_factory.mktemp("original") / "model") as model:
        return {own: mutating.prints(dataclasses.replace(model, own=own)) for own in (True, False)}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_that_a_trace_does_not_see(change: str, original: dict[bool, Fingerprints], tmp_path: Path) -> None:
    file, before, after = CHANGES[change]
    text = (mutating.ORIGINAL / "mine" / file).read_text()
    assert text.count(before) == 1
    mutant = mutating.Mutant(file, 0, change, text.replace(before, after))
    with mutating.loaded(tmp_path / "model", mutant) as model:
        for own in (True, False):
            now = mutating.prints(dataclasses.replace(model, own=own))
            assert now.traces == original[own].traces
            assert now.prints[""] != original[own].prints[""]
            assert own is (now.prints["stem"] != original[own].prints["stem"]) or "Preprocess" in change


def test_mutant_the_trace_alone_misses_all_of_them(original: dict[bool, Fingerprints]) -> None:
    """That the traces are equal is checked above; that they are what counted before, here."""
    with_trace_alone = {name: trace for name, trace in original[False].traces.items() if name}
    assert set(with_trace_alone) == set(mutating.LAYERS)
    assert all(len(trace) == 64 for trace in with_trace_alone.values())


class Branching(nn.Module):
    """Uses weights only where numpy says so, which no fixed input makes it say."""

    def __init__(self, value: float, *, lists: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Identity()
        self.first.weight.data.fill_(0.1)
        self.first.bias.data.fill_(0.0)
        self.shift, self.lists = nn.Parameter(torch.full((4, 1, 1), value)), lists
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        first = y.flatten().tolist()[0] if self.lists else y.numpy().flat[0]
        out: Tensor = self.second(y + self.shift if first > 1e6 else y)
        return out


SMALL = Preprocess(resize=16, crop=(16, 16))


def small(module: nn.Module, **changes: Any) -> Model:
    return Model(module=module, preprocess=SMALL, **{"spec": "support:small"} | changes)


def of(model: Model, *names: str) -> Fingerprints:
    return fingerprints.of_model(model, prepared.example(model), [*names, ""])


@pytest.mark.parametrize("lists", [False, True])
def test_weights_behind_a_branch_that_numpy_chooses_count(lists: bool) -> None:
    before, after = (of(small(Branching(value, lists=lists)), "first", "second") for value in (1.0, 1.5))
    assert before.traces == after.traces
    assert before.prints["first"] == after.prints["first"]
    assert before.prints["second"] != after.prints["second"]
    assert before.prints[""] != after.prints[""]


class Changing(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.function, self.second = nn.Conv2d(3, 4, 3), function, nn.Conv2d(4, 2, 1)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.function(self.first(x)))
        return out


def only_float32(x: Tensor) -> Tensor:
    if x.dtype is not torch.float32:
        raise TypeError("only float32 here")
    return x


def test_a_model_that_does_not_run_in_float64_is_known_by_its_code() -> None:
    result = of(small(Changing(only_float32)), "first", "second")
    assert result.note == "the model does not run in float64 (TypeError: only float32 here)"
    assert result == of(small(Changing(only_float32)), "first", "second")
    assert result.prints[""] != of(small(Changing(lambda x: x)), "second").prints[""]


def test_an_output_that_differs_each_time_is_named_and_known_by_its_code() -> None:
    count = iter(range(1000))
    result = of(small(Changing(lambda x: x + next(count))), "first", "second")
    assert result.note == "second gives another output for the same input"
    assert of(small(Changing(lambda x: x * 1)), "first", "second").note == ""


def test_the_code_of_a_library_counts_only_where_outputs_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(fingerprints.source_code, "of_classes", lambda *_: asked.append("classes") or "")
    monkeypatch.setattr(fingerprints.source_code, "of_own", lambda *_: asked.append("own") or "")
    of(small(Changing(lambda x: x)), "first")
    assert asked == []
    of(small(Changing(only_float32), spec="support:other"), "first")
    of(small(Changing(only_float32), own=True), "first")
    assert asked == ["classes", "own"]


def test_a_library_model_that_is_known_runs_for_its_trace_alone() -> None:
    fingerprints._known.clear()
    calls: list[int] = []
    module = Changing(lambda x: x)
    module.register_forward_hook(lambda *_: calls.append(1))
    first = of(small(module), "first")
    assert len(calls) == 7
    assert of(small(module), "first") == first
    assert len(calls) == 8
    module.second.weight.mul_(1.001)
    assert of(small(module), "first").prints[""] != first.prints[""]


def test_traces_are_those_of_format_1() -> None:
    model = small(Changing(lambda x: x.relu()))
    example, names = prepared.example(model), ["first", "second", ""]
    traces = fingerprint.fingerprints(model.module, example, names, SMALL.fingerprint())
    assert fingerprints.of_model(model, example, names).traces == traces


def test_a_run_of_format_1_recorded_traces() -> None:
    run: Any = SimpleNamespace(name="photos", number=3, model={"fingerprints": {"first": "trace"}})
    published.check_fingerprints(run, "net", ({"first": "print"}, {"first": "trace"}), ["first"])
    with pytest.raises(ModelError, match="photos@3 was made by another model"):
        published.check_fingerprints(run, "net", ({"first": "print"}, {"first": "other"}), ["first"])


class Moved(Preprocess):
    def geometry(self, width: int, height: int) -> Any:
        return dataclasses.replace(Preprocess.geometry(self, width, height), offset_x=0.0)


class Called(Preprocess):
    def __call__(self, image: Any) -> Tensor:
        return Preprocess.__call__(self, image) * 2


def test_every_method_of_a_preprocessing_counts() -> None:
    module, kinds = Changing(lambda x: x), (Preprocess, Moved, Called)
    models_of = [Model(module=module, preprocess=kind(resize=16, crop=(16, 16)), spec="a:b") for kind in kinds]
    assert len({of(model).prints[""] for model in models_of}) == len(kinds)


def test_a_grey_model_has_fixed_inputs_too() -> None:
    grey = Preprocess(resize=16, crop=(16, 12), mean=(0.5,), std=(0.5,))
    module = nn.Sequential(nn.Conv2d(1, 4, 3)).eval().requires_grad_(False)
    assert of(Model(module=module, preprocess=grey, spec="a:b"), "0").note == ""


def elsewhere(capability: str, threads: int) -> dict[str, dict[str, str]]:
    env = os.environ | {"ATEN_CPU_CAPABILITY": capability, "OMP_NUM_THREADS": str(threads)}
    env |= {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2"} if capability == "default" else {}
    script = [sys.executable, five_models.__file__, str(threads)]
    done = subprocess.run(script, env=env | {"PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, check=True)
    result: dict[str, dict[str, str]] = json.loads(done.stdout)
    return result


@pytest.mark.sweep
def test_another_processor_gives_the_same() -> None:
    assert elsewhere("default", 2) == {kind: five_models.prints(kind) for kind in five_models.KINDS}


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_every_processor_gives_the_same(capability: str, threads: int) -> None:
    assert elsewhere(capability, threads) == {kind: five_models.prints(kind) for kind in five_models.KINDS}


def test_mutant_float32_differs_between_threads_or_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other orders of summation show in float32: here, the same sum in two orders."""
    values = torch.randn(1, 4, 100, 100, generator=torch.Generator().manual_seed(0))

    def texts(values: Tensor) -> set[str]:
        module = nn.AvgPool2d(100)
        sums = (module(values), values.flatten(2).flip(2).cumsum(2)[..., -1:, None] / 10_000)
        return {probes.of_arrays([one.numpy()]) for one in sums}

    assert len(texts(values.double())) == 1
    assert len(texts(values)) == 2


def test_the_default_model_is_no_users_own() -> None:
    assert not models.load("efficientnet-lite0").own
    assert models.load("support.corpus:net", input_size=32).own
