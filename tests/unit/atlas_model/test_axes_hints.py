"""The axes that an error proposes are accepted when they are given."""

from __future__ import annotations

import random
import re

import pytest

from atlas.arrays import Layer
from atlas.model import axes
from atlas.model.axes import BATCH, OTHER_BATCH, AmbiguousAxesError, LayerOutput, infer_layers

SIDES = (1, 3, 4, 5, 8, 16, 17, 49, 50, 64)
SIZE = (32, 32)


def layers(count: int, seed: int) -> list[list[LayerOutput]]:
    """Return a convolution's output and one of any shape, many times."""
    draw = random.Random(seed)
    cases = []
    for _ in range(count):
        rest = tuple(draw.choice(SIDES) for _ in range(draw.choice((0, 1, 2, 2, 3, 3, 3, 4))))
        first = draw.choice((BATCH, BATCH, BATCH, draw.choice(SIDES)))
        larger = draw.choice(
            (None, (OTHER_BATCH, *rest), (OTHER_BATCH, *(side + draw.choice((0, 4)) for side in rest)))
        )
        conv = LayerOutput(name="conv", shape=(BATCH, 8, 8, 8), larger=(OTHER_BATCH, 8, 24, 16), units=1)
        odd = LayerOutput(name="odd=layer", shape=(first, *rest), larger=larger, units=draw.choice((0, 0, 0, -1)))
        cases.append([conv, odd] if draw.random() < 0.7 else [odd])
    return cases


def refused_hints(count: int, seed: int = 0) -> tuple[int, list[str]]:
    """Return how many hints there were, and those that were refused when followed."""
    hints, refused = 0, []
    for outputs in layers(count, seed):
        error = infer_layers(outputs, SIZE, {})["odd=layer"]
        hint = re.search(r"--axes odd=layer=(\w+)", str(error))
        if hint is not None:
            hints += 1
            followed = infer_layers(outputs, SIZE, {"odd=layer": hint[1]})["odd=layer"]
            refused += [] if isinstance(followed, Layer) else [f"{outputs[-1]}: {followed}"]
        for axes_ in axes.READINGS:
            error = infer_layers(outputs, SIZE, {"odd=layer": axes_})["odd=layer"]
            others = re.search(r"other axes \((.*)\)$", str(error))
            for other in others[1].split(", ") if others else ():
                followed = infer_layers(outputs, SIZE, {"odd=layer": other})["odd=layer"]
                refused += [] if isinstance(followed, Layer) else [f"{outputs[-1]}: {axes_}, then {followed}"]
    return hints, refused


def test_hints_are_accepted() -> None:
    hints, refused = refused_hints(2000)
    assert hints > 100
    assert refused == []


def test_mutant_a_hint_by_the_number_of_axes_alone_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(output: LayerOutput, evidence: object, chosen: str | None) -> AmbiguousAxesError:
        could = [name for name in axes.READINGS if len(name) == len(output.shape)]
        return AmbiguousAxesError(f"--axes {output.name}={could[-1]}" if could else "none")

    monkeypatch.setattr(axes, "_error", careless)
    assert refused_hints(200)[1]


@pytest.mark.parametrize(
    ("shape", "words"), [((), "has no tensor of real numbers"), ((BATCH, 0, 8, 8), f"{BATCH} × 0 × 8 × 8, is empty")]
)
def test_a_layer_without_numbers_is_refused(shape: tuple[int, ...], words: str) -> None:
    output = LayerOutput(name="odd", shape=shape, larger=None, units=1)
    assert words in str(infer_layers([output], SIZE, {})["odd"])
