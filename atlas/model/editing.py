"""Change a layer's activation while a model runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.model.activations import UnknownLayerError, view
from atlas.model.dispatch import slow_attention
from atlas.model.forward_mode import replacing

Edit = Callable[[Tensor, Layer], None]
"""Changes a layer's raw output in place."""


@contextmanager
def editing(module: nn.Module, layer: Layer, edit: Edit) -> Iterator[None]:
    """Change a layer's activation by `edit` in each pass in this block; later modules see the changed one.

    The model's own tensor is left alone: an earlier module, or a shortcut around the layer, may still use it. Raises
    UnknownLayerError where the layer did not run in the block.
    """
    calls: list[int] = []

    def change(raw: Tensor) -> Tensor:
        calls.append(1)
        changed = raw.clone()
        edit(changed, layer)
        return changed

    with slow_attention(), replacing(module, layer, change):
        yield
    if not calls:
        raise UnknownLayerError(f"layer {layer.name} did not run")


def scale(units: list[int], factor: float) -> Edit:
    """Multiply units by a factor, in class and register tokens, too, unless the layer is tokens of one kind."""

    def edit(raw: Tensor, layer: Layer) -> None:
        _units(raw, layer)[..., units] *= factor

    return edit


def constant(units: list[int], values: Tensor) -> Edit:
    """Give each unit one value at all positions of the grid; `values` are `n`, one per unit."""

    def edit(raw: Tensor, layer: Layer) -> None:
        view(raw, layer)[:, units] = values.to(raw)[None, :, None, None]

    return edit


def resample(units: list[int], order: Tensor) -> Edit:
    """Give each image of the batch the units of another one, tokens included; `order` is `b`: the images they are from."""

    def edit(raw: Tensor, layer: Layer) -> None:
        by_unit = _units(raw, layer)
        by_unit[..., units] = by_unit[order][..., units]

    return edit


def _units(raw: Tensor, layer: Layer) -> Tensor:
    """Return a raw output with its units last, sharing its memory; the images come first."""
    if layer.axes in ("bchw", "bc"):
        return raw.movedim(1, -1)
    return raw[:, slice(*layer.tokens)] if layer.axes.startswith("btc[") else raw
