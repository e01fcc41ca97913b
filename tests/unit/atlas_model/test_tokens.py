"""The tokens of each kind as layers: of a ViT with class and register tokens, against its own raw output."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from support import small_transformers
from torch import Tensor, nn

from atlas import boxes
from atlas.arrays import Layer
from atlas.model import activations, editing, fingerprint, forward_mode, tokens
from atlas.model.activations import UnknownLayerError

KINDS = {"blocks.1@cls": (0, 1, (1, 1)), "blocks.1@reg": (1, 5, (1, 4)), "blocks.1@patch": (5, 21, (4, 4))}


@pytest.fixture(scope="module")
def vit() -> nn.Module:
    return small_transformers.registers()


def images() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def raw_of(module: nn.Module, name: str) -> Tensor:
    kept: list[Tensor] = []
    handle = module.get_submodule(name).register_forward_hook(lambda module, args, output: kept.append(output.clone()))
    with torch.no_grad():
        module(images())
    handle.remove()
    return kept[0]


def recorded(module: nn.Module, layers: dict[str, Layer]) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    with torch.no_grad():
        activations.run_to(module, images(), layers, lambda name, values: seen.update({name: values.clone()}))
    return seen


def wrong_kinds(module: nn.Module) -> list[str]:
    """Name the kinds whose recorded values are not the tokens of the raw output, each at its place."""
    raw, names = raw_of(module, "blocks.1"), ["blocks.1", *KINDS]
    layers = activations.probe(module, images()[0], names)
    seen = recorded(module, layers)
    wrong = [] if torch.equal(seen["blocks.1"], seen["blocks.1@patch"]) else ["blocks.1"]
    for name, (first, stop, (height, width)) in KINDS.items():
        expected = raw[:, first:stop].transpose(1, 2).reshape(2, -1, height, width)
        same = seen[name].shape == expected.shape and torch.equal(seen[name], expected)
        wrong += [] if same and (layers[name].height, layers[name].width) == (height, width) else [name]
    return wrong


def test_each_kind_is_a_layer_and_the_plain_layer_stays_as_it_was(vit: nn.Module) -> None:
    assert wrong_kinds(vit) == []
    assert activations.probe(vit, images()[0], ["blocks.1"])["blocks.1"] == Layer(
        name="blocks.1", units=24, height=4, width=4, axes="btc", prefix=5
    )


def test_mutant_register_tokens_before_the_class_token_are_caught(
    vit: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "KINDS", dict(reversed(tokens.KINDS.items())))
    assert wrong_kinds(vit) == ["blocks.1@cls", "blocks.1@reg"]


def test_all_layers_are_listed_without_kinds(vit: nn.Module) -> None:
    assert not any("@" in layer.name for layer in activations.list_layers(vit, images()[0]))


UNKNOWN = {
    "blocks.1@dist": "layer blocks.1 has blocks.1@cls, blocks.1@reg, blocks.1@patch, and no blocks.1@dist",
    "head@cls": "layer head has no tokens, and no head@cls",
    "patch_embed.proj@patch": "layer patch_embed.proj has no tokens, and no patch_embed.proj@patch",
    "blokcs.1@cls": "the model has no layer 'blokcs.1'",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_kind_that_is_not_there_is_named_with_those_that_are(vit: nn.Module, name: str) -> None:
    with pytest.raises(UnknownLayerError) as caught:
        activations.probe(vit, images()[0], [name])
    assert str(caught.value).startswith(UNKNOWN[name])


def test_tokens_without_names_are_other_and_one_alone_is_the_class_token() -> None:
    layer = Layer(name="a", units=8, height=4, width=4, axes="btc", prefix=3)
    assert list(tokens.layers_of(nn.Linear(1, 1), layer)) == ["other", "patch"]
    one = Layer(name="a", units=8, height=4, width=4, axes="btc", prefix=1)
    assert list(tokens.layers_of(nn.Linear(1, 1), one)) == ["cls", "patch"]
    none = Layer(name="a", units=8, height=4, width=4, axes="btc")
    assert list(tokens.layers_of(nn.Linear(1, 1), none)) == ["patch"]


def test_a_class_token_sees_the_image_from_its_middle(vit: nn.Module) -> None:
    layers = activations.probe(vit, images()[0], list(KINDS))
    assert [tuple(map(float, boxes.centre(layers["blocks.1@reg"], 0, x, (32, 32)))) for x in range(4)] == [(16, 16)] * 4
    assert tuple(map(float, boxes.centre(layers["blocks.1@patch"], 0, 3, (32, 32)))) == (4, 28)


def test_fingerprints_of_kinds_are_those_of_the_layer(vit: nn.Module) -> None:
    found = fingerprint.fingerprints(vit, images()[0], ["blocks.1", *KINDS], "")
    assert set(found) == {"blocks.1", *KINDS}
    assert len(set(found.values())) == 1


def test_an_edit_of_one_kind_leaves_the_other_tokens_alone(vit: nn.Module) -> None:
    layers, before = activations.probe(vit, images()[0], list(KINDS)), raw_of(vit, "blocks.1")
    for name, (first, stop, _) in KINDS.items():
        with editing.editing(vit, layers[name], editing.scale([3], 0.0)), torch.no_grad():
            kept: list[Tensor] = []
            handle = vit.get_submodule("norm").register_forward_pre_hook(
                lambda m, args, kept=kept: kept.append(args[0])
            )
            vit(images())
            handle.remove()
        expected = before.clone()
        expected[:, first:stop, 3] = 0
        assert torch.equal(kept[0], expected)


def by_hand(vit: nn.Module, held: bool) -> Tensor:
    """Return x̂·γ·W of the class token for every class, `b k`, where the deviation is held; else zero."""
    x = raw_of(vit, "blocks.1")[:, 0]
    norm, head = vit.norm, vit.head
    standard = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    return (standard * norm.weight) @ head.weight.T if held else torch.zeros(2, head.out_features)


def attribution(vit: nn.Module, name: str) -> Tensor:
    layer = activations.probe(vit, images()[0], [name])[name]
    place = torch.zeros(2, dtype=torch.int64)
    logits: Callable[[Tensor], Tensor] = lambda output: output  # noqa: E731
    return forward_mode.attribution(vit, images(), layer, place, place, logits)


def test_attribution_of_a_kind_goes_through_the_normalised_stream(vit: nn.Module) -> None:
    expected = by_hand(vit, held=True)
    assert (attribution(vit, "blocks.1@cls") - expected).abs().max() < 1e-5 * expected.abs().max()
    logits = vit(images()) - vit.norm.bias @ vit.head.weight.T - vit.head.bias
    assert torch.allclose(expected, logits, atol=1e-5)  # it adds up to the logit without its biases


def test_mutant_a_deviation_that_moves_makes_it_zero(vit: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward_mode, "holds_scale", lambda layer: False)
    assert attribution(vit, "blocks.1@cls").abs().max() < 1e-3 * by_hand(vit, held=True).abs().max()
