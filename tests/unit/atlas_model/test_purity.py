"""A model whose values for an image depend on more than the image is found, with the first module and the reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from support import corpus, odd_models
from torch import nn
from torchvision import models as library

from atlas.model import purity
from atlas.model.trial import ForwardError

EXAMPLE = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", odd_models.VARYING)
def test_what_varies_is_named(name: str) -> None:
    kind, when, where, reason = odd_models.VARYING[name]
    tried = purity.check(kind().eval(), EXAMPLE, ["conv2"])
    assert tried.variation is not None
    assert tried.variation.when == when
    assert tried.variation.where == where
    assert reason in tried.variation.reason


def test_a_layer_that_varies_counts_though_the_output_does_not() -> None:
    class Aside(odd_models.Net):
        def __init__(self) -> None:
            super().__init__()
            self.aside = odd_models.Dropping()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.aside(x)
            return self.fc(self.features(x))

    module = Aside().eval()
    assert purity.check(module, EXAMPLE).variation is None
    named = purity.check(module, EXAMPLE, ["aside.conv2"]).variation
    assert named is not None
    assert named.where == "module aside (Dropping)"


def test_zeros_beside_an_image_count() -> None:
    padded = purity.check(odd_models.Padded().eval(), EXAMPLE).variation
    assert padded is not None
    assert padded.when == "beside zeros"


@pytest.mark.parametrize("net", [odd_models.Net, corpus.net, lambda: library.squeezenet1_1(weights=None)])
def test_a_function_of_the_image_is_none_that_varies(net: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    tried = purity.check(net().eval(), torch.randn(3, 64, 64))
    assert tried.variation is None
    assert (tried.alone.shape[0], tried.beside.shape[0]) == (1, 2)


class Chaotic(nn.Module):
    """Blows rounding up beyond the tolerance: in single precision the batch shows, in double it does not."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = (x.flatten(1) + 1e4 * len(x)) - 1e4 * len(x)
        return rows - rows.detach().round(decimals=2)


def test_rounding_is_no_variation() -> None:
    module, x = Chaotic().eval(), EXAMPLE
    alone, pair = module(x[None])[0], module(torch.stack([x, x]))[0]
    assert purity.differs(alone, pair), "the case shows nothing if single precision agrees"
    assert purity.check(module, x).variation is None


def test_the_module_that_fails_is_named() -> None:
    with pytest.raises(
        ForwardError, match=r"^module conv1 \(Conv2d\) fails on an input of 1 × 3 × 32 × 32: Runtime"
    ) as error:
        purity.check(odd_models.Net(channels=4).eval(), EXAMPLE)
    assert "\n" not in str(error.value)


def test_nothing_of_the_check_stays_in_the_module() -> None:
    module = odd_models.Dropping().eval()
    purity.check(module, EXAMPLE, ["conv2"])
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_mutant_a_looser_tolerance_misses_a_faint_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    class Faint(odd_models.Net):
        def between(self, x: torch.Tensor) -> torch.Tensor:
            return x + 0.02 * x.mean(0, keepdim=True)

    module = Faint().eval()
    assert purity.check(module, EXAMPLE).variation is not None
    monkeypatch.setattr(purity, "TOLERANCE", 1.0)
    assert purity.check(module, EXAMPLE).variation is None


LIBRARY = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet",
    "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf",
    "regnet_y_400mf", "resnet18", "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_0",
    "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_32", "wide_resnet50_2",
)  # fmt: skip
TIMM = (
    "convnext_atto", "deit_tiny_patch16_224", "efficientvit_b0", "ghostnet_100", "levit_128s", "mixer_s32_224",
    "mobilevit_xxs", "nf_resnet26", "poolformer_s12", "regnetz_005", "resnet10t", "xcit_nano_12_p16_224",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", [*(f"torchvision:{name}" for name in LIBRARY), *(f"timm:{name}" for name in TIMM)])
def test_no_net_of_the_libraries_varies(name: str) -> None:
    from flows.model import prepared
    from storage import models

    kind, _, short = name.partition(":")
    if kind == "timm" and not pytest.importorskip("timm").is_model(short):
        pytest.skip("not in this version of timm")
    model = models.load(name, weights="random")
    assert purity.check(model.module, prepared.example(model)).variation is None


IN_A_BATCH = (odd_models.ByPlace, odd_models.Capped, odd_models.Crowded)


@pytest.mark.parametrize("net", IN_A_BATCH)
def test_the_place_in_a_batch_counts(net: Callable[[], nn.Module]) -> None:
    found = purity.check(net().eval(), EXAMPLE, ["conv2"]).variation
    assert found is not None
    assert found.when == "behind other images"
    assert found.where.startswith("its own forward")
    assert "by its place in the batch" in found.reason


@pytest.mark.parametrize("net", IN_A_BATCH)
def test_mutant_without_a_batch_the_place_is_missed(
    net: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purity, "BATCH", 1)
    assert purity.check(net().eval(), EXAMPLE, ["conv2"]).variation is None
