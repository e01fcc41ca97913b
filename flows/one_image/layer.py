"""What one layer makes of one image, told in plain values: its grid, units, groups, and what they add to a score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.arrays import Float, Int, Layer
from atlas.one_image import between, likeness
from atlas.one_image.blocks import Blocks, sides
from atlas.one_image.groups import Groups, attributed
from flows.drawing.illustrator import Illustrator, Pictured

CLASSES, PLACES, RANKED = 5, 4, 5
"""Classes told of each block; blocks told more of; units told that speak for a class, and as many against."""

ZERO = 1e-5
"""What is added up is zero, but for rounding, if it is this part or less of the sizes of what is added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerView:
    """A layer's activation of the image and how the score moves with it, `c h w` each, cut into blocks and groups.

    Of `parts`, as fine as the blocks or coarser, each takes a pass of its own. `source` says where its icons are to be
    from (atlas, drawn or none), `groups_source` those of its groups.
    """

    layer: Layer
    activation: Float
    by_activation: Float
    score: float
    blocks: Blocks
    parts: Blocks
    groups: Groups
    source: str
    groups_source: str

    @property
    def contribution(self) -> Float:
        """What each neuron adds to the score, `c h w`."""
        return np.asarray(self.activation * self.by_activation)

    def side(self, unit: int) -> str:
        """Tell on which side a unit is active here: that of its value of largest size."""
        values = self.activation[unit].ravel()
        return side_of(float(values[np.abs(values).argmax()]))


def side_of(value: float) -> str:
    """Name the side of a value as patches do."""
    return "negative" if value < 0 else "positive"


def describe(x: Tensor, seen: LayerView, illustrator: Illustrator, *, top: int, later: bool = False) -> dict[str, Any]:
    """Return all that is told of a layer; of a `later` one no icon of a block is drawn and no block's classes are."""
    moment, measured = (None, None) if seen.source == "none" else illustrator.moment(seen.layer)
    count = len(seen.groups.maps)
    names = [f"{row},{col}" for row, col in np.ndindex(seen.blocks.shape)]
    source = "none" if later and seen.source == "drawn" else seen.source
    icons = _icons(illustrator, seen.layer, _vectors(seen), names, moment, source)
    names = [f"group {number}" for number in range(count)]
    of_groups = _icons(illustrator, seen.layer, seen.groups.directions, names, moment, seen.groups_source)
    grouped = _groups(seen) | _pictures(of_groups, (count,))
    patterns = between.of_patterns(seen.groups.patterns())
    grouped |= _classes(x, seen, illustrator, patterns, (count,))
    layer = seen.layer
    return {
        "name": layer.name,
        "units": layer.units,
        "height": seen.activation.shape[1],
        "width": seen.activation.shape[2],
        "later": later,
        "whitened_by": measured,
        "grid": _grid(seen, top, moment) | _pictures(icons, seen.blocks.shape),
        "parts": {} if later else _parts(x, seen, illustrator),
        "places": _places(seen),
        "attribution": _attribution(seen),
        "groups": grouped,
        "notes": _notes(seen),
    }


def _icons(
    illustrator: Illustrator,
    layer: Layer,
    vectors: Float,
    names: list[str],
    moment: NDArray[np.float64] | None,
    source: str,
) -> Pictured | None:
    """Return icons of vectors `n c`, from where they are to be from."""
    if moment is None or source == "none":
        return None
    if source == "atlas":
        return illustrator.from_atlas(layer, vectors, moment)
    return illustrator.drawn(layer, vectors, names, moment)


def _vectors(seen: LayerView) -> Float:
    """Return the mean vector of each block, `r·q c`."""
    means = seen.blocks.means(seen.activation)
    return np.ascontiguousarray(means.reshape(len(means), -1).T, dtype=np.float32)


def _grid(seen: LayerView, top: int, moment: NDArray[np.float64] | None) -> dict[str, Any]:
    """Return the blocks, the length of each one's mean vector, the size of its icon, and its strongest units."""
    vectors, shape = _vectors(seen), seen.blocks.shape
    norm = np.linalg.norm(vectors, axis=1).reshape(shape).astype(np.float32)
    best = likeness.strongest(vectors, top)
    values = np.take_along_axis(vectors, best, 1)
    told = {
        "rows": shape[0],
        "cols": shape[1],
        "top": seen.blocks.top,
        "left": seen.blocks.left,
        "norm": norm,
        "side": sides(norm).astype(np.float32),
        "units": best.reshape(*shape, -1),
        "values": values.reshape(*shape, -1),
    }
    if moment is not None:
        usual = np.sqrt(np.maximum(np.diag(moment), 1e-12))
        told["relative"] = (values / usual[best]).astype(np.float32).reshape(*shape, -1)
    return told


def _pictures(made: Pictured | None, shape: tuple[int, ...]) -> dict[str, Any]:
    if made is None:
        return {"pictures": None, "cosine": None, "icons_from": None}
    told = {
        "pictures": made.pictures.reshape(*shape, *made.pictures.shape[1:]),
        "cosine": made.cosine.reshape(shape),
        "icons_from": made.source,
    }
    return told if made.cells is None else told | {"cells": made.cells.reshape(*shape, 2), "grid": made.grid}


def _parts(x: Tensor, seen: LayerView, illustrator: Illustrator) -> dict[str, Any]:
    """Return the classes that each part of the grid adds most to."""
    parts = between.of_positions(torch.from_numpy(seen.activation), seen.parts)
    classes = _classes(x, seen, illustrator, parts, seen.parts.shape)
    return {"top": seen.parts.top, "left": seen.parts.left} | classes


def _classes(
    x: Tensor, seen: LayerView, illustrator: Illustrator, parts: between.Parts, shape: tuple[int, ...]
) -> dict[str, Any]:
    """Return the classes that each part of the activation adds most to, and how much."""
    module, logits = illustrator.module([seen.layer.name]), illustrator.context.model.logits
    moved = between.to_classes(module, x, seen.layer, parts, logits)
    best = likeness.strongest(moved, CLASSES)
    values = np.take_along_axis(moved, best, 1)
    return {"classes": best.reshape(*shape, -1), "class_values": values.reshape(*shape, -1)}


def _attribution(seen: LayerView) -> dict[str, Any]:
    """Return the attribution added up over units (per position and block), over positions (per unit), and altogether."""
    neurons = seen.contribution
    units, positions = neurons.sum((1, 2)), neurons.sum(0)
    return {
        "total": float(neurons.sum()),
        "positions": positions,
        "blocks": seen.blocks.sums(positions).astype(np.float32),
        "units": units,
        "for": _ranked(seen, units, likeness.strongest(units, RANKED)),
        "against": _ranked(seen, units, likeness.strongest(-units, RANKED)),
    }


def _ranked(seen: LayerView, units: Float, chosen: Int) -> list[dict[str, Any]]:
    """Tell of units their attribution, and where it is largest."""
    rows = []
    for unit in chosen.tolist():
        here = np.abs(seen.contribution[unit])
        place = tuple(int(v) for v in np.unravel_index(int(here.argmax()), here.shape))
        value = float(seen.activation[unit][place])
        told = {"unit": unit, "side": side_of(value), "attribution": float(units[unit])}
        rows.append(told | {"y": place[0], "x": place[1], "value": value})
    return rows


def _groups(seen: LayerView) -> dict[str, Any]:
    """Return the groups' maps, directions and strongest units, and what each adds to the score."""
    found = seen.groups
    positions = attributed(found, seen.by_activation)
    best = likeness.strongest(found.directions, RANKED)
    attribution = positions.sum((1, 2))
    return {
        "maps": found.maps,
        "directions": found.directions,
        "share": found.share,
        "explained": found.explained,
        "signed": found.signed,
        "attribution": attribution,
        "positions": positions,
        "rest": float(seen.contribution.sum() - attribution.sum()),
        "units": best,
        "weights": np.take_along_axis(found.directions, best, 1),
    }


def _places(seen: LayerView) -> list[dict[str, int]]:
    """Return the blocks worth telling of, none beside another: two that speak most for the class, two most against.

    Where there are not so many, those that are strongest.
    """
    moved = seen.blocks.sums(seen.contribution.sum(0))
    found = likeness.apart(moved, PLACES // 2)
    found += likeness.apart(-moved, PLACES - len(found), found)
    norm = np.linalg.norm(seen.blocks.means(seen.activation), axis=0)
    found += likeness.apart(norm, PLACES - len(found), found)
    return [{"row": row, "col": col} for row, col in found]


def _notes(seen: LayerView) -> list[str]:
    """Say what the numbers can't show."""
    neurons, name = seen.contribution, seen.layer.name
    if not np.abs(seen.by_activation).max() > 0:
        return [
            f"nothing at {name} moves the score: it is read from what has no place there (a class token), or is "
            "saturated; an earlier layer may show more"
        ]
    if np.abs(neurons.sum(0)).max() <= ZERO * np.abs(neurons).sum(0).max():
        return [
            f"at every position of {name} what speaks for and against cancels to 0: it is read through layer norm, which "
            "a longer vector does not change; units and groups still tell, and so does a branch (….attn, ….mlp)"
        ]
    return []
