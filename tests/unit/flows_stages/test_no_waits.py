"""The pass of collect on a device that is not there: the host asks it for no value, and little is copied back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from atlas import transfers
from atlas.arrays import Layer
from atlas.collect import LayerReduction
from atlas.model.dispatch import Operations, tensors
from atlas.model.folding import Folded
from flows.config import RunConfig
from flows.model.prepared import PreparedModel
from flows.stages import collect
from flows.stages.shared import uploads
from storage.models.preprocessing import Preprocess

DEVICE = torch.device("cuda:0")
IMAGES, BATCH = 1024, 128
LAYERS = {name: Layer(name=name, units=4, height=8, width=8) for name in ("0", "2")}
MOST = 4
"""Copies to the host per layer and 1,024 images."""


class Traffic(Operations):
    """Counts copies to the host, and copies to the device that the host waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.to_host = self.waited = 0

    def operation(self, name: str, args: Any, kwargs: dict[str, Any], run: Any) -> Any:
        result = run()
        targets, sources = tensors(result), tensors(args)
        if name.startswith("aten.copy_"):
            sources = sources[1:]
        ways = Counter((s.device.type, t.device.type) for s in sources for t in targets)
        self.to_host += ways["cuda", "cpu"] > 0
        behind = kwargs.get("non_blocking") or (name.startswith("aten.copy_") and len(args) > 2 and args[2])
        self.waited += ways["cpu", "cuda"] > 0 and "copy" in name and not behind
        return result


class Literals(TorchFunctionMode):  # type: ignore[no-untyped-call]
    """Counts tensors made on the device from Python's numbers, for which the host waits, too; no operator shows that."""

    def __init__(self, seen: Traffic) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu").type == "cuda":
            self.seen.waited += 1
        return func(*args, **kwargs)


class InStep:
    """A queue of copies that needs no device."""

    def __init__(self, device: torch.device) -> None:
        pass

    def copy(self, host: Tensor, there: Tensor) -> None:
        there.copy_(host, non_blocking=True)

    def wait_for_release(self) -> None:
        pass

    release = wait_for_release


def model() -> PreparedModel:
    """Return a small net on the device; made under the mode, it is as little there as the device."""
    with torch.device(DEVICE):
        net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
    nothing: dict[str, str] = {}
    return PreparedModel(
        model=SimpleNamespace(preprocess=Preprocess(resize=(8, 8), crop=None)),  # type: ignore[arg-type]
        layers=LAYERS,
        fingerprints=nothing,
        whole="",
        traces=nothing,
        folded=Folded(module=net.requires_grad_(False), unfolded={}, pairs={}),
        device=DEVICE,
        dtype=torch.float32,
    )


def batches(*given: Any, **options: Any) -> Iterator[Any]:
    for first in range(0, IMAGES, BATCH):
        yield SimpleNamespace(
            first=first, pixels=np.zeros((BATCH, 8, 8, 3), np.uint8), valid=np.ones(BATCH, bool), facts=[]
        )


@pytest.fixture(autouse=True)
def fake_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "Queue", InStep)
    monkeypatch.setattr(transfers, "event", lambda device: SimpleNamespace(synchronize=lambda: None))
    monkeypatch.setattr(transfers, "array", lambda tensor: np.zeros(tensor.shape, str(tensor.dtype)[6:]))
    monkeypatch.setattr(collect.loader, "load", batches)
    monkeypatch.setattr(collect.reading, "source_of", lambda config: None)


def traffic(**settings: Any) -> Traffic:
    """Collect from the first image to the last part; raises where the host asks for a value."""
    ids = np.arange(IMAGES)
    rows = pa.table({"image_id": ids, "key_hash": ids.astype(np.uint64)})
    config = RunConfig(images="", batch=BATCH, device="cuda", **settings)
    with FakeTensorMode(), Traffic() as seen, Literals(seen):
        made = model()
        seen.to_host = seen.waited = 0
        reductions = {name: collect._start_reduction(made, name, rows, config, bool(config.keep)) for name in LAYERS}
        collect._pass(made, rows, collect.Reductions(layers=reductions, choices=None), config)
        for reduction in reductions.values():
            reduction.finish()
    return seen


def many(seen: Traffic) -> bool:
    return seen.to_host > MOST * len(LAYERS) * IMAGES // 1024


@pytest.mark.parametrize("settings", [{}, {"patches_per_image": 3, "samples_per_image": 2}, {"keep": ("peaks",)}])
def test_the_host_waits_for_no_value_and_copies_little(settings: dict[str, Any]) -> None:
    seen = traffic(**settings)
    assert seen.to_host >= len(LAYERS)
    assert not many(seen)
    assert seen.waited == 0


def test_mutant_a_look_at_the_values_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    for look in (bool, Tensor.item, Tensor.tolist):

        def looking(self: LayerReduction, rows: slice, flat: Tensor, look: Any = look) -> bool:
            look(torch.isfinite(flat).all())
            return False

        monkeypatch.setattr(LayerReduction, "_add_finite", looking)
        with pytest.raises(RuntimeError, match=r"tolist|local_scalar_dense"):
            traffic()


def test_mutant_a_copy_to_the_host_with_every_batch_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    add = LayerReduction.add

    def copying(self: LayerReduction, first: int, activation: Tensor, valid: NDArray[np.bool_]) -> None:
        add(self, first, activation, valid)
        self._buffer.value[:, :1].cpu()

    monkeypatch.setattr(LayerReduction, "add", copying)
    assert many(traffic())


@pytest.mark.parametrize("place", ["pixels", "mean"])
def test_mutant_a_copy_that_the_host_waits_for_is_seen(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if place == "pixels":
        monkeypatch.setattr(InStep, "copy", lambda self, host, there: there.copy_(host))
    else:
        normalise = Preprocess.normalise

        def waiting(self: Preprocess, pixels: Tensor) -> Tensor:
            torch.tensor(self.mean, device=pixels.device)
            return normalise(self, pixels)

        monkeypatch.setattr(Preprocess, "normalise", waiting)
    assert traffic().waited
