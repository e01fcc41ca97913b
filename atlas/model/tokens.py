"""The tokens of each kind as layers: `blocks.6@cls`, `blocks.6@reg` and `blocks.6@patch` of the tokens of `blocks.6`.

A transformer's layer returns class and register tokens, which have no place in the image, before those of the patches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Mapping, Sequence

from torch import nn

from atlas.arrays import Layer

PATCH = "patch"
OTHER = "other"
"""The kind of tokens without a place where the model does not name them."""

KINDS: Mapping[str, tuple[str, ...]] = {
    "cls": ("cls_token", "class_token", "class_embedding", "cls"),
    "dist": ("dist_token", "distillation_token"),
    "reg": ("reg_token", "reg_tokens", "register_token", "register_tokens", "storage_tokens"),
}
"""Kinds of tokens without a place in the order in which models put them, and the names of their parameters."""

NAMES = (*KINDS, OTHER, PATCH)


def split_kind(name: str, modules: Container[str] = ()) -> tuple[str, str | None]:
    """Split `layer@kind` into the layer and the kind of tokens, None if none is named.

    The name of one of the `modules` is whole, even if it ends like a kind.
    """
    head, _, kind = name.rpartition("@")
    return (head, kind) if head and kind in NAMES and name not in modules else (name, None)


def by_layer(names: Iterable[str], modules: Container[str] = ()) -> dict[str, list[str]]:
    """Return the names by the layer that they are read from: without the kind of tokens."""
    grouped: dict[str, list[str]] = {}
    for name in names:
        grouped.setdefault(split_kind(name, modules)[0], []).append(name)
    return grouped


def layers_of(module: nn.Module, layer: Layer) -> dict[str, Layer]:
    """Return the tokens of each kind of a layer as layers, by kind; none for a layer that is no tokens."""
    if layer.axes != "btc":
        return {}
    kinds, start = dict[str, Layer](), 0
    for kind, count in _counts(module, layer.prefix):
        axes = f"btc[{start}:{start + count}]"
        kinds[kind] = Layer(name=f"{layer.name}@{kind}", units=layer.units, height=1, width=count, axes=axes)
        start += count
    kinds[PATCH] = dataclasses.replace(layer, name=f"{layer.name}@{PATCH}", axes=f"btc[{layer.prefix}:]", prefix=0)
    return kinds


def _counts(module: nn.Module, prefix: int) -> Sequence[tuple[str, int]]:
    """Return each kind of token before the patches with its number, by the parameters that the tokens start from."""
    numbers = dict[str, int]()
    for name, parameter in module.named_parameters():
        kind = next((kind for kind, names in KINDS.items() if name.rpartition(".")[2] in names), None)
        if kind is not None and parameter.ndim:
            numbers.setdefault(kind, parameter.shape[-2] if parameter.ndim > 1 else 1)
    counts = [(kind, numbers[kind]) for kind in KINDS if kind in numbers]
    if sum(count for _, count in counts) == prefix:
        return counts
    return [("cls" if prefix == 1 else OTHER, prefix)] if prefix else []
