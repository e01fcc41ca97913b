"""The sheet of `show`."""

from __future__ import annotations

from collections.abc import Sequence

from atlas.arrays import Byte
from flows.drawing.answers import Drawn, PictureFacts, ShowAnswer
from flows.sheets.contact_sheet import Tile, sheet


def picture(answer: ShowAnswer, drawn: Sequence[Drawn]) -> Byte:
    """Return a single picture as it is, several as a sheet, `h w 3`."""
    if len(drawn) == 1:
        return drawn[0].picture
    tiles = [
        Tile(picture=None if result.dead else result.picture, left=_left(result, drawn), right=_right(facts))
        for result, facts in zip(drawn, answer["pictures"], strict=True)
    ]
    faceted = None if drawn[0].facet is None else 1 + max(result.facet or 0 for result in drawn)
    return sheet(tiles, _title(drawn), _remark(answer, drawn), columns=faceted)


def _title(drawn: Sequence[Drawn]) -> str:
    layer = _common_layer(drawn)
    if layer is None:
        return "What excites each target"
    alive = [result for result in drawn if not result.dead]
    dead = len(drawn) - len(alive)
    return f"What excites units of {layer}" + (f" ({dead} dead)" if dead else "")


def _remark(answer: ShowAnswer, drawn: Sequence[Drawn]) -> str:
    ways = dict.fromkeys((result.recipe.name, result.recipe.steps, result.size) for result in drawn)
    parts = [answer["model"], *(f"recipe {name}, {steps} steps, {w} x {h} px" for name, steps, (h, w) in ways)]
    parts.append(f"seed {answer['seed']}")
    parts += [f"less {weight:g} x {name}" for name, weight in answer["penalties"].items()]
    if drawn[0].facet is not None:
        parts.append(f"{1 + max(result.facet or 0 for result in drawn)} facets of each")
    if any(facts.get("ratio") is not None for facts in answer["pictures"]):
        parts.append(f"x: relative to the strongest patch in {answer['run']}")
        if any(facts.get("ratio") is None and not facts["dead"] for facts in answer["pictures"]):
            parts.append("no x: the value itself")
    return "  ·  ".join(parts)


def _common_layer(drawn: Sequence[Drawn]) -> str | None:
    """Return the layer, if all pictures show units of one layer."""
    layers = {
        result.goal.only.layer if result.goal.only and result.goal.only.kind == "unit" else None for result in drawn
    }
    return layers.pop() if len(layers) == 1 else None


def _left(result: Drawn, drawn: Sequence[Drawn]) -> str:
    text = result.goal.text.rpartition(":")[2] if _common_layer(drawn) else result.goal.text
    return text if not result.facet else ""


def _right(facts: PictureFacts) -> str:
    if facts["dead"]:
        return ""
    if facts.get("probability") is not None:
        return f"{100 * facts['probability']:.0f} %"
    return f"{facts['ratio']:.1f}x" if facts.get("ratio") is not None else f"{facts['best']:.3g}"
