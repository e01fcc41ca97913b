"""Outputs of models whose code names precisions, draws random numbers, or leaves torch."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from atlas.model import probes, sketch
from atlas.model.double import double


class Written(nn.Module):
    """A convolution, then a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.function, self.last = nn.Conv2d(3, 4, 3), function, nn.Identity()
        weight = torch.randn(self.first.weight.shape, generator=torch.Generator().manual_seed(0))
        self.first.weight.data.copy_(weight)
        self.first.bias.data.fill_(0.1)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.function(self.first(x)))
        return out


def inputs() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    black = torch.full((3, 8, 8), -1.7, dtype=torch.float64)
    return [black, *torch.randn(3, 3, 8, 8, generator=generator, dtype=torch.float64)]


def outputs(function: Callable[[Tensor], Tensor]) -> probes.Outputs:
    return probes.outputs(Written(function), inputs(), ["first", "last", ""], checked=(0, 1))


PRECISIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "float": lambda x: x.float() * 2,
    "half": lambda x: x.half() * 2,
    "bfloat16": lambda x: x.to(torch.bfloat16) * 2,
    "float32 constant": lambda x: x * torch.full((1,), 2.0, dtype=torch.float32),
    "float32 literal": lambda x: x * torch.tensor(2.0),
    "type_as": lambda x: x.type_as(torch.zeros(1)) * 2,
    "written into": lambda x: torch.zeros(x.shape).copy_(x) * 2,
    "set": lambda x: x.clone().index_fill_(1, torch.tensor([0]), 0.0) + x + x[:, :].mul(1),
}


@pytest.mark.parametrize("kind", list(PRECISIONS)[:-1])
def test_precisions_that_code_names_do_not_count(kind: str) -> None:
    assert outputs(PRECISIONS[kind]).text == outputs(lambda x: x * 2).text


@pytest.mark.parametrize("kind", PRECISIONS)
def test_every_operator_is_in_float64(kind: str) -> None:
    module, dtypes = Written(PRECISIONS[kind]), list[torch.dtype]()
    module.last.register_forward_hook(lambda module, args, output: dtypes.append(output.dtype))
    with double():
        module(inputs()[1][None])
    assert dtypes == [torch.float64]


def test_compiled_code_runs_in_a_copy() -> None:
    module = Written(lambda x: x * 2)
    with pytest.warns((DeprecationWarning, FutureWarning), match="jit"):
        compiled = torch.jit.trace(nn.Sequential(module.first, nn.ReLU()), torch.zeros(1, 3, 8, 8))
    plain = probes.outputs(nn.Sequential(module.first, nn.ReLU()), inputs(), [""], checked=(0, 1))
    assert probes.outputs(compiled, inputs(), [""], checked=(0, 1)).text == plain.text
    assert compiled.state_dict()["0.weight"].dtype == torch.float32


def test_seeds_are_fixed_and_given_back() -> None:
    def noisy(x: Tensor) -> Tensor:
        return x + torch.randn(x.shape) + float(np.random.rand()) + random.random()

    module = Written(noisy)
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    before = torch.get_rng_state().clone(), np.random.get_state()[1].copy(), random.getstate()
    first = probes.outputs(module, inputs(), ["last"], checked=(0, 1))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]
    torch.manual_seed(6), np.random.seed(6), random.seed(6)
    assert probes.outputs(module, inputs(), ["last"], checked=(0, 1)) == first
    assert not first.unstable


def test_a_seed_in_forward_counts() -> None:
    def seeded(seed: int) -> Callable[[Tensor], Tensor]:
        return lambda x: (torch.manual_seed(seed), x + torch.rand(x.shape))[1]

    assert outputs(seeded(1)).text["last"] != outputs(seeded(2)).text["last"]
    assert outputs(seeded(1)).text["first"] == outputs(seeded(2)).text["first"]


def test_a_function_that_is_none_is_named() -> None:
    generator = np.random.default_rng()
    module = Written(lambda x: x + float(generator.random()))
    found = probes.outputs(module, inputs(), ["first", "last"], checked=(0, 1))
    assert found.unstable == ("last",)
    assert probes.first_difference(module, inputs()[1].float()) == "last"
    assert probes.first_difference(Written(lambda x: x), inputs()[1].float()) is None


def standardised(x: Tensor) -> Tensor:
    return (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True)


def with_errors(function: Callable[[Tensor], Tensor]) -> str:
    """Return the text for inputs with the rounding errors of another processor."""
    generator = torch.Generator().manual_seed(2)
    rounded = [x + 1e-15 * torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in inputs()]
    return probes.outputs(Written(function), rounded, ["last"], checked=(0, 1)).text["last"]


def test_black_divided_by_its_deviation_does_not_count() -> None:
    """Its numbers are rounding errors; those of photos do count."""
    result = outputs(standardised)
    assert not result.unstable
    assert with_errors(standardised) == result.text["last"]
    assert outputs(lambda x: standardised(x) * 1.0001).text["last"] != result.text["last"]


def test_mutant_without_the_second_run_rounding_errors_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sketch, "_STABLE", float("inf"))
    assert with_errors(standardised) != outputs(standardised).text["last"]


READS: dict[str, Callable[[Tensor], Tensor]] = {
    "numpy": lambda x: x * float(x.numpy().max()),
    "asarray": lambda x: x * float(np.asarray(x).max()),
    "a ufunc": lambda x: torch.as_tensor(np.sin(x)),
    "list": lambda x: x * x.flatten().tolist()[0],
    "pointer": lambda x: x * (x.data_ptr() != 0),
    "dlpack": lambda x: torch.as_tensor(np.from_dlpack(x).copy()),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", READS)
def test_numbers_read_outside_torch_are_noticed(kind: str) -> None:
    assert outputs(READS[kind]).outside == {"last", ""}


def test_a_custom_operator_is_noticed_and_torch_is_not() -> None:
    @torch.library.custom_op("probes_test::twice", mutates_args=())
    def twice(x: Tensor) -> Tensor:
        return x * 2

    assert outputs(twice).outside == {"last", ""}
    assert outputs(lambda x: x * 2 if x.mean() > 0 else x).outside == frozenset()
    assert outputs(twice).text == outputs(lambda x: x * 2).text
