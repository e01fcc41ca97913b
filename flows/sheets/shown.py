"""The sheet of `actlas show`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from atlas.arrays import Byte
from flows.drawing.drawn import Drawn
from flows.sheets.contact_sheet import Tile, sheet


def picture(answer: dict[str, Any], drawn: Sequence[Drawn]) -> Byte:
    """Return one picture as it is, several as a sheet."""
    if len(drawn) == 1:
        return drawn[0].picture
    tiles = [
        Tile(picture=None if one.dead else one.picture, left=_left(one, drawn), right=_right(told))
        for one, told in zip(drawn, answer["pictures"], strict=True)
    ]
    faceted = None if drawn[0].facet is None else 1 + max(one.facet or 0 for one in drawn)
    return sheet(tiles, _title(drawn), _remark(answer, drawn), columns=faceted)


def _title(drawn: Sequence[Drawn]) -> str:
    layer = _one_layer(drawn)
    if layer is None:
        return "What they want to see"
    alive = [one for one in drawn if not one.dead]
    dead = len(drawn) - len(alive)
    return f"{layer}: what its units want to see" + (f" ({dead} dead)" if dead else "")


def _remark(answer: dict[str, Any], drawn: Sequence[Drawn]) -> str:
    ways = dict.fromkeys((one.recipe.name, one.recipe.steps, one.size) for one in drawn)
    said = [answer["model"], *(f"recipe {name}, {steps} steps, {w} x {h} px" for name, steps, (h, w) in ways)]
    said.append(f"seed {answer['seed']}")
    said += [f"less {weight:g} x {name}" for name, weight in answer["penalties"].items()]
    if drawn[0].facet is not None:
        said.append(f"{1 + max(one.facet or 0 for one in drawn)} facets of each")
    if any(told.get("ratio") is not None for told in answer["pictures"]):
        said.append(f"x: how strong, against the strongest patch in {answer['run']}")
    return "  ·  ".join(said)


def _one_layer(drawn: Sequence[Drawn]) -> str | None:
    """Return the layer that all pictures show a unit of, if there is one."""
    found = {one.goal.only.layer if one.goal.only and one.goal.only.kind == "unit" else None for one in drawn}
    return found.pop() if len(found) == 1 else None


def _left(one: Drawn, drawn: Sequence[Drawn]) -> str:
    text = one.goal.text.rpartition(":")[2] if _one_layer(drawn) else one.goal.text
    return text if not one.facet else ""


def _right(told: dict[str, Any]) -> str:
    if told["dead"]:
        return ""
    if "probability" in told:
        return f"{100 * told['probability']:.0f} %"
    return f"{told['ratio']:.1f}x" if told.get("ratio") is not None else f"{told['best']:.3g}"
