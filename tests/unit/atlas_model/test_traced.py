"""A fused trace gives the bits of the model, visits each layer in time, and leaves the model as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.nets import seeded
from torch import Tensor, nn

from atlas.model.activations import probe, recording
from atlas.model.folding import Folded, fold
from atlas.model.fusing import convolve_clamped
from atlas.model.traced import UntraceableError, sharing_weights, trace

EXAMPLE = torch.randn(3, 24, 20, generator=torch.Generator().manual_seed(0))
BATCH = torch.randn(16, 3, 24, 20, generator=torch.Generator().manual_seed(1)).to(memory_format=torch.channels_last)


class Net(nn.Module):
    """Borders, batch norm, rectifiers in place over what was shown, a block that is called twice, and class scores."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8)
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU())
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.norm(self.stem(F.pad(x, [0, 1, 0, 1]))), inplace=True)
        x = self.block(self.block(F.pad(x, [1, 1, 1, 1])))
        x += 1.5
        scores: Tensor = self.head(x.mean((2, 3)))
        return scores


def pass_of(folded: Folded, names: tuple[str, ...], *, scored: bool = False) -> Any:
    layers = probe(folded.module, EXAMPLE, list(names))

    def run(pictures: Tensor, visit: Any) -> Tensor | None:
        with recording(folded, layers, visit, stop=not scored) as forward:
            output = forward(pictures)
            return output if scored else None

    return run


def seen(run: Any, batch: Tensor) -> dict[str, Tensor]:
    """Run a pass; return copies of what it shows and, as "", what it returns."""
    found: dict[str, Tensor] = {}
    with torch.inference_mode():
        result = run(batch, lambda name, maps: found.update({name: maps.clone()}))
    return found if result is None else found | {"": result}


def net(kind: type[nn.Module] = Net) -> Folded:
    module = seeded(kind()).float().eval()
    return fold(module, EXAMPLE).to("cpu")


@pytest.mark.parametrize("scored", [False, True])
def test_all_layers_have_the_bits_of_the_model(scored: bool) -> None:
    folded = net()
    run = pass_of(folded, ("stem", "norm", "block@0", "block@1"), scored=scored)
    traced = trace(run, BATCH)
    assert any(node.target is convolve_clamped for node in traced.graph.nodes)  # type: ignore[attr-defined]
    expected, found = seen(run, BATCH), seen(traced, BATCH)
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert torch.equal(values, found[name]), name


def test_what_a_rectifier_overwrites_is_shown_before() -> None:
    traced = trace(pass_of(net(), ("norm", "block@0")), BATCH)
    assert bool((seen(traced, BATCH)["norm"] < 0).any())


class Looking(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.sum() > 0 else -x)


class Choosing(Net):
    def forward(self, x: Tensor) -> Tensor:
        bright = x.flatten(1).sum(1) > 0
        return super().forward(torch.cat([x[bright], x[~bright]]))


class Outside(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.from_numpy(x.numpy() * 2))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(20, 4)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.stem(x)
        return scores


@pytest.mark.parametrize("kind", [Looking, Choosing, Outside, Plain])
def test_what_depends_on_values_or_gains_nothing_is_not_traced(kind: type[nn.Module]) -> None:
    folded = Folded(module=seeded(kind()).float().eval(), unfolded={}, pairs={})

    def run(pictures: Tensor, visit: Any) -> Tensor:
        result: Tensor = folded.module(pictures)
        return result

    with pytest.raises(UntraceableError):
        trace(run, BATCH)


class Keeping(Net):
    """Computes a mask once and keeps it, by the size of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.mask: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.mask is None or len(self.mask) != len(x):
            self.mask = torch.ones_like(x) * 0.5
        return super().forward(x * self.mask)


def test_a_model_that_keeps_tensors_is_left_as_it_was() -> None:
    assert kept_is_real(sharing_weights)


def kept_is_real(copied: Any) -> bool:
    """Trace a copy of a model that keeps tensors; tell whether the model still runs as before."""
    folded = net(Keeping)
    run = pass_of(folded, ("block@1",))
    expected = seen(run, BATCH)["block@1"]
    trace(pass_of(copied(folded), ("block@1",)), BATCH[:8])
    found = folded.module.mask
    return isinstance(found, Tensor) and type(found) is Tensor and torch.equal(seen(run, BATCH)["block@1"], expected)


def test_mutant_tracing_the_model_itself_is_seen() -> None:
    assert not kept_is_real(lambda folded: folded)


def test_a_copy_shares_the_weights() -> None:
    folded = net()
    copied = sharing_weights(folded)
    ours, theirs = (
        [p.data_ptr() for part in (m.module, *m.unfolded.values()) for p in (*part.parameters(), *part.buffers())]
        for m in (folded, copied)
    )
    assert ours == theirs
    assert copied.module is not folded.module
