"""Describe one image at one layer in plain values: its grid, units, groups, and their contributions to a score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.arrays import Float, Int, Layer
from atlas.one_image import between, likeness
from atlas.one_image.blocks import Blocks, icon_sides
from atlas.one_image.groups import Groups, group_attribution
from flows.drawing.illustrator import Illustrator, Pictured
from flows.one_image.answers import (
    Block,
    ClassValues,
    GridFacts,
    GroupFacts,
    Icons,
    LayerAttribution,
    LayerFacts,
    Parts,
    RankedUnit,
)
from flows.one_image.memory import Keep

CLASSES, PLACES, RANKED = 5, 4, 5
"""Classes listed per block; blocks shown in detail; units listed for a class, and as many against it."""

ZERO = 1e-5
"""A sum counts as zero below this fraction of the summed magnitudes (rounding error)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerView:
    """A layer's activation of the image and the score's gradient there, `c h w` each, cut into blocks and groups.

    Each of the `parts`, as fine as the blocks or coarser, takes its own pass. `source` is the source of the icons
    (atlas, drawn or none), `groups_source` that of the groups' icons.
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
        """The contribution of each neuron to the score, `c h w`."""
        return np.asarray(self.activation * self.by_activation)

    def side(self, unit: int) -> str:
        """Return the side on which a unit is active here: that of its value of largest magnitude."""
        values = self.activation[unit].ravel()
        return side_of(float(values[np.abs(values).argmax()]))


def side_of(value: float) -> str:
    """Return the side of a value, named as for patches."""
    return "negative" if value < 0 else "positive"


def describe(
    x: Tensor, view: LayerView, illustrator: Illustrator, *, top: int, keep: Keep, later: bool = False
) -> LayerFacts:
    """Describe a layer; for a `later` one, draw no icons of blocks and leave out the classes of parts.

    `keep` keeps what does not depend on the score.
    """
    of = view.layer.name
    moment, measured = (
        (None, None) if view.source == "none" else keep(f"moment {of}", lambda: illustrator.moment(view.layer))
    )
    count = len(view.groups.maps)
    names = [f"{row},{col}" for row, col in np.ndindex(view.blocks.shape)]
    source = "none" if later and view.source == "drawn" else view.source
    icons = keep(f"icons {of}", lambda: _icons(illustrator, view.layer, _vectors(view), names, moment, source))
    directions, titles = view.groups.directions, [f"group {number}" for number in range(count)]
    of_groups = keep(
        f"group icons {of}",
        lambda: _icons(illustrator, view.layer, directions, titles, moment, view.groups_source),
    )
    patterns = between.pattern_parts(view.groups.patterns())
    classes = keep(f"group classes {of}", lambda: _classes(x, view, illustrator, patterns, (count,)))
    layer = view.layer
    return {
        "name": layer.name,
        "units": layer.units,
        "height": view.activation.shape[1],
        "width": view.activation.shape[2],
        "later": later,
        "whitened_by": measured,
        "grid": {**_grid(view, top, moment), **_pictures(icons, view.blocks.shape)},
        "parts": {} if later else keep(f"parts {of}", lambda: _parts(x, view, illustrator)),
        "places": _places(view),
        "attribution": _attribution(view),
        "groups": {**_groups(view), **_pictures(of_groups, (count,)), **classes},
        "notes": _caveats(view),
    }


def _icons(
    illustrator: Illustrator,
    layer: Layer,
    vectors: Float,
    names: list[str],
    moment: NDArray[np.float64] | None,
    source: str,
) -> Pictured | None:
    """Return icons of vectors `n c` from a source; None for no icons."""
    if moment is None or source == "none":
        return None
    if source == "atlas":
        return illustrator.from_atlas(layer, vectors, moment)
    return illustrator.drawn(layer, vectors, names, moment)


def _vectors(view: LayerView) -> Float:
    """Return the mean vector of each block, `r·q c`."""
    means = view.blocks.means(view.activation)
    return np.ascontiguousarray(means.reshape(len(means), -1).T, dtype=np.float32)


def _grid(view: LayerView, top: int, moment: NDArray[np.float64] | None) -> GridFacts:
    """Return the blocks, with the norm of each mean vector, the size of its icon, and its strongest units."""
    vectors, shape = _vectors(view), view.blocks.shape
    norm = np.linalg.norm(vectors, axis=1).reshape(shape).astype(np.float32)
    best = likeness.strongest(vectors, top)
    values = np.take_along_axis(vectors, best, 1)
    grid: GridFacts = {
        "rows": shape[0],
        "cols": shape[1],
        "top": view.blocks.top,
        "left": view.blocks.left,
        "norm": norm,
        "side": icon_sides(norm).astype(np.float32),
        "units": best.reshape(*shape, -1),
        "values": values.reshape(*shape, -1),
    }
    if moment is not None:
        usual = np.sqrt(np.maximum(np.diag(moment), 1e-12))
        grid["relative"] = (values / usual[best]).astype(np.float32).reshape(*shape, -1)
    return grid


def _pictures(pictured: Pictured | None, shape: tuple[int, ...]) -> Icons:
    if pictured is None:
        return {"pictures": None, "cosine": None, "icons_from": None}
    pictures: Icons = {
        "pictures": pictured.pictures.reshape(*shape, *pictured.pictures.shape[1:]),
        "cosine": pictured.cosine.reshape(shape),
        "icons_from": pictured.source,
    }
    if pictured.cells is not None:
        pictures["cells"], pictures["grid"] = pictured.cells.reshape(*shape, 2), pictured.grid
    return pictures


def _parts(x: Tensor, view: LayerView, illustrator: Illustrator) -> Parts:
    """Return the classes that each part of the grid contributes most to."""
    parts = between.position_parts(torch.from_numpy(view.activation), view.parts)
    classes = _classes(x, view, illustrator, parts, view.parts.shape)
    return {"top": view.parts.top, "left": view.parts.left, **classes}


def _classes(
    x: Tensor, view: LayerView, illustrator: Illustrator, parts: between.Parts, shape: tuple[int, ...]
) -> ClassValues:
    """Return the classes that each part of the activation contributes most to, with the contributions."""
    module, logits = illustrator.module([view.layer.name]), illustrator.context.model.logits
    contributions = between.effects_on_classes(module, x, view.layer, parts, logits)
    best = likeness.strongest(contributions, CLASSES)
    values = np.take_along_axis(contributions, best, 1)
    return {"classes": best.reshape(*shape, -1), "class_values": values.reshape(*shape, -1)}


def _attribution(view: LayerView) -> LayerAttribution:
    """Return the attribution summed over units (per position and block), over positions (per unit), and in total."""
    neurons = view.contribution
    units, positions = neurons.sum((1, 2)), neurons.sum(0)
    return {
        "total": float(neurons.sum()),
        "positions": positions,
        "blocks": view.blocks.sums(positions).astype(np.float32),
        "units": units,
        "for": _ranked(view, units, likeness.strongest(units, RANKED)),
        "against": _ranked(view, units, likeness.strongest(-units, RANKED)),
    }


def _ranked(view: LayerView, units: Float, chosen: Int) -> list[RankedUnit]:
    """Return a row per unit: its attribution, and the position where that is largest."""
    rows: list[RankedUnit] = []
    for unit in chosen.tolist():
        here = np.abs(view.contribution[unit])
        place = tuple(int(v) for v in np.unravel_index(int(here.argmax()), here.shape))
        value = float(view.activation[unit][place])
        ranked = {"unit": unit, "side": side_of(value), "attribution": float(units[unit])}
        rows.append(cast(RankedUnit, ranked | {"y": place[0], "x": place[1], "value": value}))
    return rows


def _groups(view: LayerView) -> GroupFacts:
    """Return the groups' maps, directions and strongest units, and the contribution of each to the score."""
    groups = view.groups
    positions = group_attribution(groups, view.by_activation)
    best = likeness.strongest(groups.directions, RANKED)
    attribution = positions.sum((1, 2))
    return {
        "maps": groups.maps,
        "directions": groups.directions,
        "share": groups.share,
        "explained": groups.explained,
        "signed": groups.signed,
        "attribution": attribution,
        "positions": positions,
        "rest": float(view.contribution.sum() - attribution.sum()),
        "units": best,
        "weights": np.take_along_axis(groups.directions, best, 1),
    }


def _places(view: LayerView) -> list[Block]:
    """Return the blocks to show in detail, no two adjacent: two that speak most for the class, two most against.

    The most active blocks fill up where there are fewer.
    """
    contributions = view.blocks.sums(view.contribution.sum(0))
    places = likeness.separate_peaks(contributions, PLACES // 2)
    places += likeness.separate_peaks(-contributions, PLACES - len(places), places)
    norm = np.linalg.norm(view.blocks.means(view.activation), axis=0)
    places += likeness.separate_peaks(norm, PLACES - len(places), places)
    return [{"row": row, "col": col} for row, col in places]


def _caveats(view: LayerView) -> list[str]:
    """Return caveats on the numbers."""
    neurons, name = view.contribution, view.layer.name
    if not np.abs(view.by_activation).max() > 0:
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
