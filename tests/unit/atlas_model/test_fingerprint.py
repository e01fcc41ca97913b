"""A layer's fingerprint moves whenever its output can move, and never with what comes after it.

Oracle: put large random values into a parameter or buffer, run, and see which layers' outputs change. Where one does,
a change of the same tensor by one ulp in one element must move the fingerprint.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.maxvit import MaxVit
from torchvision.models.swin_transformer import (
    PatchMergingV2,
    SwinTransformer,
    SwinTransformerBlockV2,
)
from torchvision.models.vision_transformer import VisionTransformer

from atlas.model import activations, fingerprint

Fingerprints = Callable[[nn.Module, Tensor, list[str], fingerprint.Digests], dict[str, str]]


def tiny_vit() -> nn.Module:
    return VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=24, mlp_dim=32)


def tiny_swin(**kwargs: object) -> nn.Module:
    return SwinTransformer([4, 4], 16, [2, 2], [2, 4], [4, 4], num_classes=10, **kwargs)


def tiny_swin_v2() -> nn.Module:
    return tiny_swin(block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2)


def tiny_maxvit() -> nn.Module:
    return MaxVit(
        (64, 64), stem_channels=8, partition_size=2, block_channels=[8, 16], block_layers=[1, 1], head_dim=4,
        stochastic_depth_prob=0.0, num_classes=10,
    )  # fmt: skip


def library(name: str, **kwargs: object) -> Callable[[], nn.Module]:
    return lambda: models.get_model(name, weights=None, **kwargs)


SMALL = {
    "squeezenet": (library("squeezenet1_1", num_classes=10), 64),
    "shufflenet": (library("shufflenet_v2_x0_5", num_classes=10), 32),
    "mobilenet_v3": (library("mobilenet_v3_small", num_classes=10), 32),
    "vit": (tiny_vit, 32),
    "swin": (tiny_swin, 32),
    "swin_v2": (tiny_swin_v2, 32),
    "maxvit": (tiny_maxvit, 64),
}
FAMILIES = {
    "alexnet": ({}, 64),
    "vgg11_bn": ({}, 32),
    "squeezenet1_1": ({}, 64),
    "densenet121": ({}, 32),
    "inception_v3": ({"init_weights": False}, 96),
    "googlenet": ({"init_weights": False}, 64),
    "shufflenet_v2_x0_5": ({}, 32),
    "mobilenet_v2": ({}, 32),
    "mobilenet_v3_small": ({}, 32),
    "resnet18": ({}, 32),
    "resnext50_32x4d": ({}, 32),
    "wide_resnet50_2": ({}, 32),
    "mnasnet0_5": ({}, 32),
    "efficientnet_b0": ({}, 32),
    "efficientnet_v2_s": ({}, 32),
    "regnet_x_400mf": ({}, 32),
    "regnet_y_400mf": ({}, 32),
    "convnext_tiny": ({}, 32),
    "vit_b_16": ({"image_size": 32}, 32),
    "swin_t": ({}, 64),
    "swin_v2_t": ({}, 64),
    "maxvit_t": ({"input_size": (224, 224)}, 224),
}


def build(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().eval()


def example(size: int) -> Tensor:
    return torch.randn(3, size, size, generator=torch.Generator().manual_seed(1))


def ours(module: nn.Module, x: Tensor, names: list[str], digests: fingerprint.Digests) -> dict[str, str]:
    return fingerprint.fingerprints(module, x, names, "resize 256", digests=digests)


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: tensor for name, tensor in named if not name.endswith("num_batches_tracked")}


def unusual(name: str, module: nn.Module) -> bool:
    owner = module.get_submodule(name.rpartition(".")[0])
    return not isinstance(owner, nn.Conv2d | nn.Linear | nn.BatchNorm2d | nn.LayerNorm)


@contextmanager
def changed(tensor: Tensor, value: Tensor) -> Iterator[None]:
    before = tensor.detach().clone()
    with torch.no_grad():
        tensor.copy_(value)
        yield
        tensor.copy_(before)


def shaken(tensor: Tensor) -> Tensor:
    if tensor.is_floating_point():
        return tensor + 10 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(2))
    return tensor.flatten().roll(1).view_as(tensor) if tensor.dtype != torch.bool else ~tensor


def nudged(tensor: Tensor) -> Tensor:
    """Change one element by one ulp (or an index by one)."""
    value = tensor.detach().clone().contiguous()
    place = random.Random(3).randrange(value.numel())
    flat = value.view(-1)
    if value.is_floating_point():
        flat[place] = torch.nextafter(flat[place], torch.tensor(torch.inf))
    else:
        flat[place] = flat[place] + 1 if flat[place] == 0 else flat[place] - 1
    return value


def outputs(module: nn.Module, x: Tensor, layers: dict[str, activations.Layer]) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    with torch.no_grad():
        activations.run_to(module, x[None], layers, seen.__setitem__, clone=True)
    return seen


def missed(module: nn.Module, x: Tensor, method: Fingerprints, few: int | None) -> tuple[list[str], int]:
    """Return `tensor -> layer` wherever the layer can move and its fingerprint does not, and how many pairs moved."""
    found = activations.probe(module, x)
    names = [*list(found)[:: max(1, len(found) // 5)], list(found)[-1]]
    layers = {name: found[name] for name in names}
    digests = fingerprint.new_digests()
    base, prints = outputs(module, x, layers), method(module, x, names, digests)
    chosen = tensors_of(module)
    if few is not None:
        plain = [name for name in chosen if not unusual(name, module)]
        keep = set(random.Random(0).sample(plain, min(few, len(plain))))
        chosen = {name: t for name, t in chosen.items() if name in keep or unusual(name, module)}
    misses, moves = [], 0
    for name, tensor in chosen.items():
        with changed(tensor, shaken(tensor)):
            moved = [layer for layer, out in outputs(module, x, layers).items() if not torch.equal(out, base[layer])]
        with changed(tensor, nudged(tensor)):
            after = method(module, x, names, digests)
        moves += len(moved)
        misses += [f"{name} -> {layer}" for layer in moved if after[layer] == prints[layer]]
    return misses, moves


@pytest.mark.parametrize("family", SMALL)
def test_moves_wherever_the_output_can(family: str) -> None:
    make, size = SMALL[family]
    misses, moves = missed(build(make), example(size), ours, few=8)
    assert not misses
    assert moves > 10


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", FAMILIES)
def test_moves_wherever_the_output_can_on_every_family(name: str) -> None:
    kwargs, size = FAMILIES[name]
    misses, moves = missed(build(library(name, **kwargs)), example(size), ours, few=None)
    print(f"{name}: {moves} pairs of a tensor and a layer that it moves")
    assert not misses
    assert moves > 10


def by_modules(module: nn.Module, x: Tensor, names: list[str], digests: fingerprint.Digests) -> dict[str, str]:
    """Fingerprint by the parameters of the modules that have run: what one would write first."""
    digest, found, handles = hashlib.sha256(), dict[str, str](), []
    for name, child in module.named_modules():

        def hook(child: nn.Module, args: object, output: object, name: str = name) -> None:
            if not list(child.children()):
                for tensor in child.state_dict().values():
                    digest.update(tensor.numpy().tobytes())
            found[name] = digest.hexdigest()

        handles.append(child.register_forward_hook(hook))
    with torch.no_grad():
        module(x[None])
    for handle in handles:
        handle.remove()
    return {name: found[name] for name in names}


@pytest.mark.parametrize(("family", "lost"), [("vit", "class_token"), ("swin", "relative_position_bias_table")])
def test_mutant_fingerprint_by_modules_is_caught(family: str, lost: str) -> None:
    make, size = SMALL[family]
    misses, _ = missed(build(make), example(size), by_modules, few=0)
    assert any(lost in miss for miss in misses)


def test_mutant_fingerprint_of_parameters_without_buffers_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    content = fingerprint._Trace._content
    monkeypatch.setattr(
        fingerprint._Trace, "_content", lambda self, t: content(self, t) if isinstance(t, nn.Parameter) else "buffer"
    )
    misses, _ = missed(build(SMALL["swin"][0]), example(32), ours, few=0)
    assert any("relative_position_index" in miss for miss in misses)


@pytest.mark.parametrize("family", SMALL)
def test_another_head_leaves_early_layers_alone(family: str) -> None:
    make, size = SMALL[family]
    module, x = build(make), example(size)
    found = list(activations.probe(module, x))
    head = list(module.parameters())[-2]
    before = ours(module, x, found, fingerprint.new_digests())
    with changed(head, nudged(head)):
        after = ours(module, x, found, fingerprint.new_digests())
    same = [name for name in found if before[name] == after[name]]
    assert same == found[: len(same)]
    assert len(same) > 0.8 * len(found)
    assert len(same) < len(found)


class Tower(nn.Module):
    """A net whose wiring, constants and branches are arguments."""

    def __init__(self, *, scale: float = 1.0, table: float = 1.0, wiring: str = "xy", branch: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)
        self.unused, self.other = nn.Linear(2, 2), nn.Conv2d(4, 2, 1)
        self.scale, self.table, self.wiring, self.branch = scale, torch.full((4, 1, 1), table), wiring, branch

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x)
        y = a + (b if self.wiring == "xy" else a)
        y = y * self.scale * self.table + torch.tensor([0.5]) * torch.from_numpy(self.table.numpy())
        if self.branch and y.mean() > 1e6:
            return self.other(y)
        return self.c(y)


def tower_print(extra: str = "", edit: Callable[[Tower], None] = lambda tower: None, **kwargs: object) -> str:
    tower = Tower(**kwargs).eval()
    edit(tower)
    return fingerprint.fingerprints(tower, torch.ones(3, 8, 8), ["c"], extra)["c"]


def test_constants_wiring_and_preprocessing_count() -> None:
    prints = [
        tower_print(),
        tower_print("grey"),
        tower_print(scale=2.0),
        tower_print(table=2.0),
        tower_print(wiring="xx"),
        tower_print(branch=True),
    ]
    assert len(set(prints)) == len(prints)
    assert tower_print() == tower_print()


def test_unused_tensors_do_not_count_unless_the_image_decides_the_path() -> None:
    def nudge(name: str) -> Callable[[Tower], None]:
        return lambda tower: getattr(tower, name).weight.data.add_(1.0)

    assert tower_print(edit=nudge("unused")) == tower_print()
    assert tower_print(edit=nudge("other"), branch=True) != tower_print(branch=True)


def test_mutant_path_by_the_image_is_missed_without_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "_reads_values", lambda operation, inputs: False)

    def nudge(tower: Tower) -> None:
        tower.other.weight.data.add_(1.0)

    assert tower_print(edit=nudge, branch=True) == tower_print(branch=True)


def test_repeated_calls_have_prints_of_their_own() -> None:
    module = build(library("resnet18", num_classes=10))
    found = fingerprint.fingerprints(module, example(32), ["layer1.0.relu@0", "layer1.0.relu@1"], "")
    assert len(set(found.values())) == 2
    with pytest.raises(activations.UnknownLayerError, match="relu@7"):
        fingerprint.fingerprints(module, example(32), ["layer1.0.relu@7"], "")


SCRIPT = """
import sys; sys.path.insert(0, {folder!r})
from test_fingerprint import *
print(sorted(ours(build(tiny_swin_v2), example(32), ["features.1", "head"], fingerprint.new_digests()).items()))
"""


@pytest.mark.sweep
def test_another_process_gives_the_same() -> None:
    here = sorted(ours(build(tiny_swin_v2), example(32), ["features.1", "head"], fingerprint.new_digests()).items())
    env = os.environ | {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    script = SCRIPT.format(folder=os.path.dirname(__file__))
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, check=True)
    assert there.stdout.strip() == str(here)
