"""Devices and precisions that a machine lacks are refused in one line, before any image is read; workers share its GPUs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from flows import launch
from flows.cluster import engine as cluster_engine
from flows.cluster import local_workers
from flows.config import make
from flows.model import prepared
from flows.pipeline import run as pipeline
from storage.errors import UsageError


def gpus(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def config(**settings: Any) -> Any:
    return make({"images": "sample-photos", **settings})


def refusal(check: Callable[[], object]) -> str:
    """Return the line in which something is refused, or an empty text."""
    try:
        check()
    except UsageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("count", "device", "line"),
    [
        (0, "cuda", "--device cuda: torch sees no CUDA device here; use --device cpu or auto"),
        (0, "cuda:1", "--device cuda:1: torch sees no CUDA device here; use --device cpu or auto"),
        (1, "cuda:1", "--device cuda:1: torch sees only cuda:0 here"),
        (4, "cuda:4", "--device cuda:4: torch sees cuda:0 to cuda:3 here"),
        *[(4, device, "") for device in ("cuda", "cuda:0", "cuda:3", "auto", "cpu")],
        *[(0, device, "") for device in ("auto", "cpu")],
    ],
)
def test_a_gpu_that_is_not_there(count: int, device: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(count, monkeypatch)
    assert refusal(lambda: prepared.check_device(config(device=device))) == line


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:01", "mps", "", "cuda:1 "])
def test_a_device_written_wrongly(device: str) -> None:
    line = f"--device is {device!r}: write auto, cpu, cuda or, of several GPUs, cuda:N"
    assert refusal(lambda: config(device=device)) == line


def test_the_number_of_a_gpu_changes_no_batch_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(2, monkeypatch)
    both = [config(device=device) for device in ("cuda", "cuda:1")]
    assert [prepared.batch_of(one) for one in both] == [128, 128]
    assert [prepared.device_of(one).type for one in both] == ["cuda", "cuda"]


def processor(monkeypatch: pytest.MonkeyPatch, **has: bool) -> None:
    operators = {f"_is_mkldnn_{name}_supported": lambda value=has[name]: value for name in ("bf16", "fp16")}
    monkeypatch.setattr(prepared.torch.ops, "mkldnn", SimpleNamespace(**operators))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has["avx512_bf16"])
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has["amx"])
    monkeypatch.setattr(prepared.platform, "machine", lambda: "aarch64" if has["arm"] else "x86_64")


NOTHING = {"bf16": False, "fp16": False, "avx512_bf16": False, "amx": False, "arm": False}


@pytest.mark.parametrize(
    ("has", "computes"),
    [
        ({}, {"fp32"}),
        ({"bf16": True}, {"fp32"}),  # AVX512 emulates it
        ({"bf16": True, "avx512_bf16": True}, {"fp32", "bf16"}),
        ({"bf16": True, "amx": True, "fp16": True}, {"fp32", "bf16", "fp16"}),
        ({"avx512_bf16": True}, {"fp32"}),  # oneDNN was told not to use it
        ({"bf16": True, "arm": True}, {"fp32", "bf16"}),
    ],
)
def test_a_precision_that_the_processor_only_emulates(
    has: dict[str, bool], computes: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(1, monkeypatch)
    processor(monkeypatch, **NOTHING | has)
    for precision in ("fp32", "bf16", "fp16"):
        line = refusal(lambda precision=precision: prepared.check_device(config(device="cpu", precision=precision)))
        assert (line == "") == (precision in computes)
        assert not line or line.startswith(f"--precision {precision}: this processor has no instructions for it")
        assert not refusal(lambda precision=precision: prepared.check_device(config(precision=precision)))


def test_a_run_is_refused_before_the_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, **NOTHING)
    gpus(0, monkeypatch)
    monkeypatch.setattr(prepared, "load", lambda config: pytest.fail("loaded"))
    monkeypatch.setattr(pipeline.reading, "source_of", lambda config: None)
    for settings in ({"precision": "bf16"}, {"device": "cuda:2"}):
        assert refusal(lambda settings=settings: pipeline.check(config(**settings))).startswith("--")


def seen_by_workers(spec: str, device: str, monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Return the GPUs that each worker sees, as the processes find them in their environment."""
    made: list[str | None] = []

    class Process:
        def __init__(self, **options: Any) -> None:
            pass

        def start(self) -> None:
            made.append(os.environ.get("CUDA_VISIBLE_DEVICES"))

    monkeypatch.setattr(local_workers, "_spawn", SimpleNamespace(Process=Process))
    processes = cluster_engine.processes_of(spec)
    with cluster_engine.on(spec, "store") as engine:
        engine.resolve_device(config(device=device))
        for variables in local_workers.environments(processes or 0, 1, engine._gpus):
            local_workers._start(variables, ("", None))  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize(
    ("device", "visible", "expected"),
    [
        ("auto", None, ["0", "1", "0"]),
        ("cuda", "5, GPU-a1", ["5", "GPU-a1", "5"]),
        ("cuda:1", "5,GPU-a1", ["GPU-a1"] * 3),
        ("cuda:1", None, ["1"] * 3),
        ("cpu", "5,GPU-a1", ["5,GPU-a1"] * 3),
    ],
)
def test_local_workers_have_a_gpu_each_in_turn(
    device: str, visible: str | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(2, monkeypatch)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert seen_by_workers("local:3", device, monkeypatch) == expected
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible


def test_mutant_workers_that_all_take_the_first_gpu_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(2, monkeypatch)
    real = local_workers.environments
    monkeypatch.setattr(
        local_workers, "environments", lambda processes, threads, found: real(processes, threads, found[:1])
    )
    assert len(Counter(seen_by_workers("local:2", "auto", monkeypatch))) == 1


def test_a_cluster_without_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(2, monkeypatch)
    with cluster_engine.on("local:2", "store") as engine:
        assert refusal(lambda: engine.resolve_device(config(device="cuda:2"))).startswith("--device cuda:2: torch sees")
    elsewhere = cluster_engine.OnDask(SimpleNamespace(), "store", "tcp://h:1", None)  # type: ignore[arg-type]
    line = refusal(lambda: elsewhere.resolve_device(config(device="cuda:1")))
    assert line.startswith("--device cuda:1: the workers at tcp://h:1 choose their GPU")
    assert elsewhere.resolve_device(config(device="cuda")).device == "cuda"


@pytest.mark.parametrize("engine", launch.ENGINES)
def test_a_run_on_workers_is_refused_before_it_begins(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(1, monkeypatch)
    monkeypatch.setattr(launch, "share_cores", lambda: pytest.fail("begun"))
    for dask in ("local:2", "tcp://127.0.0.1:1"):
        wrong = refusal(lambda dask=dask: launch.run(config(device="cuda:1"), engine=engine, dask=dask))
        assert wrong.startswith("--device cuda:1: ")
