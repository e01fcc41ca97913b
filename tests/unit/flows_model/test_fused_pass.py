"""The fused pass is taken where it pays and has the bits of the eager one, and is left where a value is too large."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.nets import seeded
from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.model import fusing
from atlas.model.folding import Folded
from flows.model import fused_pass
from flows.model.prepared import PreparedModel
from storage.models.preprocessing import Preprocess

BATCH = 16
LAYERS = {name: Layer(name=name, units=4, height=8, width=8) for name in ("1", "3")}


def model(*further: nn.Module, **fields: Any) -> PreparedModel:
    convolutions = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()]
    net = seeded(nn.Sequential(*further, *convolutions)).float().eval()
    nothing: dict[str, str] = {}
    return PreparedModel(
        model=SimpleNamespace(
            preprocess=Preprocess(resize=(8, 8), crop=None), logits=lambda output: output.mean((2, 3))
        ),  # type: ignore[arg-type]
        layers={str(int(n) + len(further)): layer for n, layer in LAYERS.items()},
        fingerprints=nothing,
        whole="",
        traces=nothing,
        folded=Folded(module=net.requires_grad_(False), unfolded={}, pairs={}),
        device=torch.device("cpu"),
        dtype=torch.float32,
        **fields,
    )


@pytest.fixture(autouse=True)
def no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "thread_time", lambda: 0.0)


def batch(number: int) -> Tensor:
    generator = torch.Generator().manual_seed(number)
    return torch.randint(0, 256, (BATCH, 8, 8, 3), generator=generator, dtype=torch.uint8)


def ways(made: PreparedModel, *, images: int = fused_pass.WORTH, scored: bool = False) -> fused_pass.Pass:
    found = fused_pass.of(made, made.layers, scored=scored, batch=BATCH)
    found.expect(images)
    return found


def shown(way: fused_pass.Pass, pixels: Tensor) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    scores = way.run(pixels, lambda name, maps: seen.update({name: maps.clone()}))
    return seen if scores is None else seen | {"": scores}


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert list(ours) == list(theirs)
    for name, values in theirs.items():
        assert torch.equal(ours[name].nan_to_num(7), values.nan_to_num(7)), name


@pytest.mark.parametrize("scored", [False, True])
def test_bits_are_those_of_the_eager_pass(scored: bool) -> None:
    made = model()
    eager, fused = ways(made, images=1, scored=scored), ways(model(), scored=scored)
    for number in range(4):
        assert_same(shown(fused, batch(number)), shown(eager, batch(number)))
    assert (eager.way, fused.way) == ("eager: few images", "fused")
    # A part of a batch, as where memory ran out, runs as before.
    assert_same(shown(fused, batch(5)[:3]), shown(eager, batch(5)[:3]))


def test_images_of_several_shards_count_together() -> None:
    made = model()
    first = ways(made, images=fused_pass.WORTH // 2)
    shown(first, batch(0))
    assert first.way == "eager: few images"
    assert ways(made, images=fused_pass.WORTH // 2) is first
    for number in range(2):
        shown(first, batch(number))
    assert first.way == "fused"
    assert ways(made, scored=True) is not first


class Counting(nn.Module):
    """Gives other values at every call, which no trace can know."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class Looking(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (model(Counting()), "the trace gives other numbers"),
        (model(Looking()), "GuardOnDataDependentSymNode"),
        (model(varying="by the hour"), "varies"),
    ],
)
def test_what_no_trace_can_follow_stays_eager(made: PreparedModel, why: str) -> None:
    way = ways(made)
    for number in range(3):
        shown(way, batch(number))
    assert way.way.startswith(f"eager: {why}")
    assert "\n" not in way.way


class Overflowing(nn.Module):
    """Takes white pixels for infinite."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > 2.6, torch.inf, x)


def test_values_that_are_not_finite_end_it() -> None:
    way = ways(model(Overflowing()))
    dark, white = torch.zeros_like(batch(0)), torch.full_like(batch(0), 255)
    for number in range(3):
        shown(way, dark + number)
    assert way.way == "fused"
    eager = ways(model(Overflowing()), images=1)
    expected = shown(eager, white)
    assert all(values.isnan().any() for values in expected.values())
    assert_same(shown(way, white), expected)
    assert way.way.startswith("eager: a value between")


def test_a_trace_that_is_no_faster_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 1.0, 3.0] * 2)
    monkeypatch.setattr(time, "thread_time", lambda: next(times, 0.0))
    way = ways(model())
    for number in range(2):
        shown(way, batch(number))
    assert way.way == "eager: the trace is no faster"


def test_mutant_a_wrong_fusion_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fusing.RECTIFIERS, torch.ops.aten.relu.default, lambda node: (0.0, 0.5))
    way = ways(model())
    eager = ways(model(), images=1)
    for number in range(3):
        assert_same(shown(way, batch(number)), shown(eager, batch(number)))
    assert way.way == "eager: the trace gives other numbers"
