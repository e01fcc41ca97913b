"""Parse targets, the classes, units, layers and cells that a user names; nothing else parses them.

LAYER:UNIT · LAYER:UNIT@y,x · LAYER · class:NAME · class:INDEX · prob:NAME · prob:INDEX

For pictures by optimisation, also LAYER@GRID:ROW,COL, a cell of a run's atlas, and sums such as 0.5*LAYER:3-LAYER:7.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from flows.questions.classes import class_index
from storage.errors import NotFound, UsageError

if TYPE_CHECKING:
    from atlas.arrays import Layer
    from atlas.attribution.scores import Score
    from storage.models import Model


FORMS = "LAYER:UNIT, LAYER:UNIT@y,x, LAYER, class:NAME, class:INDEX, prob:NAME or prob:INDEX"
Kind = Literal["class", "probability", "unit", "layer", "cell"]
_CLASS = re.compile(r"(class|prob):(.*)", re.DOTALL)
_UNIT = re.compile(r"(?P<layer>.+):(?P<unit>\d+)(?:@(?P<y>\d+),(?P<x>\d+))?")
_CELL = re.compile(r"(?P<layer>.+)@(?P<grid>\d+):(?P<row>\d+),(?P<col>\d+)")
_PLACE = re.compile(r"(@\d+)?(@[a-z]+)?(:\d+(@\d+,\d+)?|@\d+:\d+,\d+)?")
"""What may follow the name of a module in a target: the call, the kind of tokens, and the unit or cell of the layer."""
_WEIGHT = r"(?:\d+(?:\.\d*)?|\.\d+)\*"
_TERM = re.compile(rf"(?P<sign>[+-]?)\s*(?P<weight>{_WEIGHT})?(?P<target>.+)", re.DOTALL)
_NEXT = re.compile(rf"(?=[+-]\s*(?:{_WEIGHT})?(?:class|prob):)|(?<=[\d\s])(?=[+-]\s*(?:{_WEIGHT})?[\w.@]+:\d)")
"""The position before a sign that starts another target; names of classes and layers may contain hyphens too."""
_KINDS: dict[str, Kind] = {"class": "class", "prob": "probability"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The logit (`class`) or probability of a class, by index and name if it has one; a unit; a whole layer; or a cell.

    The `index` of a cell is its grid, its `position` the row and column.
    """

    kind: Kind
    index: int = -1
    name: str = ""
    layer: str = ""
    position: tuple[int, int] | None = None

    def __str__(self) -> str:
        if self.kind in ("class", "probability"):
            return f"{'class' if self.kind == 'class' else 'prob'}:{self.name or self.index}"
        place = "" if self.position is None else f"@{self.position[0]},{self.position[1]}"
        if self.kind == "cell":
            return f"{self.layer}@{self.index}:{place.removeprefix('@')}"
        return self.layer if self.kind == "layer" else f"{self.layer}:{self.index}{place}"


def parse(text: str, classes: Sequence[str] = ()) -> Target:
    """Parse a target; `classes` are the names of the model's classes, in the order of its logits.

    Raises UsageError for text in no known form, NotFound for an unknown class.
    """
    if named := _CLASS.fullmatch(text):
        index = class_index(named[2], classes)
        return Target(kind=_KINDS[named[1]], index=index, name=_name(classes, index))
    if match := _UNIT.fullmatch(text):
        place = None if match["y"] is None else (int(match["y"]), int(match["x"]))
        return Target(kind="unit", layer=match["layer"], index=int(match["unit"]), position=place)
    if _CELL.fullmatch(text):
        raise UsageError(f"{text} is a cell of an atlas, which `actlas show` draws; write {FORMS}")
    if not text or ":" in text or any(char.isspace() for char in text):
        raise UsageError(f"{text!r} is not a target; write {FORMS}")
    return Target(kind="layer", layer=text)


def parse_sum(text: str, classes: Sequence[str] = (), layers: Container[str] = ()) -> list[tuple[float, Target]]:
    """Parse a target or cell (with weight 1), or a weighted sum of them.

    `layers` are the names of the model's modules, which tell a sign from a hyphen where whole layers are added.
    Raises as `parse` does.
    """
    if any(text == f"{word}:{name}" for word in _KINDS for name in classes):
        return [(1.0, parse(text, classes))]
    cut = [piece for part in _NEXT.split(text) for piece in _split_layers(part, layers)]
    parts = [_TERM.fullmatch(part.strip()) for part in cut if part.strip()]
    if not parts or None in parts:
        raise UsageError(f"{text!r} is not a target; write {FORMS}, or a sum of such")
    return [(_weight(part), _parse_term(part["target"].strip(), classes)) for part in parts if part]


def _split_layers(part: str, layers: Container[str]) -> list[str]:
    """Split a part of a sum at signs, where each piece names an existing layer or a unit of one."""
    return _terms(part, layers) or [part]


def _terms(part: str, layers: Container[str]) -> list[str]:
    term = _TERM.fullmatch(part.strip())
    if term:
        name = re.split("[@:]", term["target"])[0]
        if name in layers and _PLACE.fullmatch(term["target"][len(name) :]):
            return [part]
    for sign in re.finditer(r"(?<=\S)\s*(?=[+-])", part):
        head, rest = _terms(part[: sign.start()], layers), _terms(part[sign.end() :], layers)
        if len(head) == 1 and rest:
            return head + rest
    return []


def _parse_term(text: str, classes: Sequence[str]) -> Target:
    if match := _CELL.fullmatch(text):
        place = (int(match["row"]), int(match["col"]))
        return Target(kind="cell", layer=match["layer"], index=int(match["grid"]), position=place)
    return parse(text, classes)


def _weight(part: re.Match[str]) -> float:
    return float((part["weight"] or "1*")[:-1]) * (-1 if part["sign"] == "-" else 1)


def of_class(index: int, classes: Sequence[str]) -> Target:
    """Return the target for the logit of a class."""
    return Target(kind="class", index=index, name=_name(classes, index))


def score_of(target: Target, model: Model, layers: dict[str, Layer]) -> Score:
    """Return the score that a saliency method explains, of a class or a unit. `layers` are the model's, probed.

    Raises UsageError for a whole layer, NotFound for an unknown class, unit or position.
    """
    from atlas.attribution import scores

    if target.kind == "layer":
        raise UsageError(f"{target} is a whole layer, and saliency explains one number; write a unit, {target}:UNIT")
    if target.kind == "class":
        return scores.class_logit(target.index, model.logits)
    if target.kind == "probability":
        return scores.class_probability(target.index, model.logits)
    try:
        return scores.unit(layers[target.layer], target.index, target.position)
    except ValueError as error:
        raise NotFound(str(error)) from None


def _name(classes: Sequence[str], index: int) -> str:
    return classes[index] if index < len(classes) else ""
