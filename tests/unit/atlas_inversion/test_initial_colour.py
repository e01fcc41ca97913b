"""Plain targets start from their colour, calmly; others from grey: on a net whose answer to every colour is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from atlas.arrays import Layer
from atlas.inversion import initial_colour as ground_module
from atlas.inversion.icons import icons
from atlas.inversion.initial_colour import LEVELS, InitialColour, initial_colours, palette
from atlas.inversion.parameterisations import coloured
from atlas.inversion.recipes import BEST, DISTILL, FAST
from atlas.inversion.render import layer_forward

CPU = torch.device("cpu")


def colour_net() -> tuple[nn.Sequential, Layer]:
    """Give a net of four units: the three colours of a pixel less grey, and one that sees only an edge."""
    conv = nn.Conv2d(3, 4, 3, 2, 1, padding_mode="replicate")
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[[0, 1, 2], [0, 1, 2], 1, 1] = 1.0
        conv.weight[3, :, 1, 0], conv.weight[3, :, 1, 2] = -1.0, 1.0
        conv.bias.copy_(torch.tensor([-0.5, -0.5, -0.5, 0.0]))  # type: ignore[union-attr]
    return nn.Sequential(conv).eval(), Layer(name="0", units=4, height=8, width=8)


TARGETS = np.array(
    [[0.47, -0.47, -0.47, 0], [-0.47, -0.47, -0.47, 0], [0.1, 0.1, 0.1, 9], [0.3, -0.1, -0.3, 0]], dtype=np.float32
)
RED, BLACK, EDGE, BROWN = range(4)


def found(targets: np.ndarray = TARGETS, channels: int = 3) -> InitialColour | None:
    net, layer = colour_net()
    see = layer_forward(net, [layer], [0.0] * 3, [1.0] * 3)
    whole = {"shape": (16, 16), "channels": channels, "window": 0.3, "batch": 50, "device": CPU}
    return initial_colours(see, "0", targets, torch.eye(4), **whole)  # type: ignore[arg-type]


def wrong(got: InitialColour | None) -> set[int]:
    """Which of the four targets did not get the ground that they must."""
    assert got is not None
    shown = 1 / (1 + np.exp(-got.colour))
    right = {
        RED: shown[RED, 0] > 0.75 and shown[RED, 1:].max() < 0.25 and got.calm[RED] == 1,
        BLACK: shown[BLACK].max() < 0.25 and got.calm[BLACK] == 1,
        EDGE: (got.colour[EDGE] == 0).all() and got.calm[EDGE] == 0,
        BROWN: shown[BROWN, 0] > shown[BROWN, 1] > shown[BROWN, 2],
    }
    return {name for name, passed in right.items() if not passed}


def test_plain_targets_get_their_colour_and_others_grey() -> None:
    assert wrong(found()) == set()


def test_mutant_a_ground_for_all_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground_module, "_ramp", lambda value, low, high: np.ones_like(value))
    assert EDGE in wrong(found())


def test_mutant_the_opposite_colour_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ground_module._cosines
    monkeypatch.setattr(ground_module, "_cosines", lambda targets, shown, whiten: real(-targets, shown, whiten))
    assert {RED, BLACK, BROWN} <= wrong(found())


def test_a_ground_depends_on_its_target_alone() -> None:
    together, alone = found(), found(TARGETS[[BROWN]])
    assert together is not None
    assert alone is not None
    np.testing.assert_array_equal(together.colour[[BROWN]], alone.colour)
    np.testing.assert_array_equal(together.select(np.array([BROWN])).calm, alone.calm)


def test_the_palette_has_every_colour_once() -> None:
    assert palette(3).shape == (len(LEVELS) ** 3, 3)
    assert len(np.unique(palette(3), axis=0)) == len(LEVELS) ** 3
    assert palette(1)[:, 0].tolist() == list(LEVELS)
    assert found(channels=4) is None


def test_a_zero_target_has_no_colour() -> None:
    got = found(np.zeros((1, 4), np.float32))
    assert got is not None
    assert (got.colour == 0).all()


def contrast(attempt: int, calm: float) -> float:
    """Root mean square about the channels' means, before the sigmoid, of a picture on a black ground."""
    ground = InitialColour(np.full((1, 3), -2.0, np.float32), np.array([calm], np.float32))
    shape = FAST.parameterisation(12, 12, 3, ground, attempt)
    numbers = torch.randn(1, 3, 12, 7, 2, generator=torch.Generator().manual_seed(0))
    before = torch.logit(shape.picture(numbers))
    assert attempt > 1 or float(before.mean()) < -1
    return float((before - before.mean((2, 3), keepdim=True)).square().mean().sqrt())


def test_calm_pictures_have_little_contrast_and_get_louder_with_each_attempt() -> None:
    full, calm = 0.8, 0.15
    np.testing.assert_allclose(contrast(0, 1.0), calm, rtol=1e-3)
    np.testing.assert_allclose(contrast(1, 1.0), (full * calm) ** 0.5, rtol=1e-3)
    np.testing.assert_allclose([contrast(0, 0.0), contrast(1, 0.0), contrast(2, 1.0)], full, rtol=1e-3)


def test_the_third_attempt_starts_from_grey() -> None:
    numbers = torch.zeros(4, 3, 6, 4, 2)
    first, third = (FAST.parameterisation(6, 6, 3, found(), attempt).picture(numbers) for attempt in (0, 2))
    assert float(first[BLACK].max()) < 0.25
    assert torch.equal(third, torch.full_like(third, 0.5))


def test_only_our_own_recipes_look_for_a_ground() -> None:
    assert DISTILL.calm is None
    assert FAST.calm == BEST.calm == 0.15
    numbers = torch.zeros(1, 3, 6, 4, 2)
    plain = coloured(6, 6, decay=1.0).picture(numbers)
    assert torch.equal(DISTILL.parameterisation(6, 6, 3, found()).picture(numbers), plain)


def test_a_plain_cell_is_drawn_plain() -> None:
    """End to end: the red target's icon is red all over, the edge's is not."""
    net, layer = colour_net()
    moment = np.diag([0.1, 0.1, 0.1, 1.0])
    short = dataclasses.replace(FAST, steps=24)
    got = icons(
        net, layer, TARGETS, moment, recipe=short, seeds=range(4), size=24, tries=1, batch=4, mean=[0] * 3, std=[1] * 3
    )
    red, edge = got.pictures[RED].astype(float), got.pictures[EDGE].astype(float)
    assert red[..., 0].min() > red[..., 1:].max()
    assert red.std((0, 1)).max() < 20 < edge.std((0, 1)).max()
