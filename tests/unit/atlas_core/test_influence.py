"""Influence on later units: planted connections are found, shuffled ones are not, and it agrees with ablation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from support import corpus, planted
from torch import Tensor, nn

from atlas import influence
from atlas.arrays import Layer
from atlas.influence import Connections, Influence
from atlas.model import activations
from atlas.model.forward_mode import Direction

IMAGES = torch.randn(8, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def layers(module: nn.Module, *names: str) -> list[Layer]:
    found = activations.probe(module, IMAGES[0], names)
    return [found[name] for name in names]


def strongest_places(module: nn.Module, layer: Layer, unit: int) -> tuple[Tensor, Tensor]:
    """Return where a unit is strongest in each image."""
    seen: list[Tensor] = []
    with torch.no_grad():
        activations.run_to(module, IMAGES, {layer.name: layer}, lambda _, a: seen.append(a[:, unit].clone()))
    place = seen[0].flatten(1).argmax(1)
    return place // layer.width, place % layer.width


def followed(module: nn.Module, first: Layer, later: Layer) -> Influence:
    found = Connections(first.units, later.units)
    for unit in range(first.units):
        units = torch.full((len(IMAGES),), unit)
        effect = influence.effects(module, IMAGES, first, later, units, *strongest_places(module, first, unit))
        found.add(units.numpy(), effect.numpy())
    return found.strongest(3)


def recovered(made: Influence) -> dict[int, tuple[set[int], set[int]]]:
    """Return, for each unit that drives any, the later units found excited and inhibited."""
    found: dict[int, tuple[set[int], set[int]]] = {}
    for unit, effect, later in zip(made.unit, made.effect, made.later_unit, strict=True):
        found.setdefault(int(unit), (set(), set()))[effect].add(int(later))
    return found


PLANTED = {unit: (set(excited), set(inhibited)) for unit, (excited, inhibited) in planted.CONNECTIONS.items()}


def test_planted_connections_are_recovered() -> None:
    module = planted.net()
    made = followed(module, *layers(module, "first", "second"))
    assert recovered(made) == PLANTED
    assert (made.agreement == 1).all()
    assert (made.patches == len(IMAGES)).all()


def test_with_shuffled_weights_they_are_not() -> None:
    module = planted.shuffled()
    assert recovered(followed(module, *layers(module, "first", "second"))) != PLANTED


def test_equals_the_weight_times_the_value() -> None:
    module = planted.net()
    first, later = layers(module, "first", "second")
    y, x = strongest_places(module, first, 2)
    effect = influence.effects(module, IMAGES, first, later, torch.full((8,), 2), y, x)
    value = module.first(IMAGES)[torch.arange(8), 2, y, x]
    assert torch.allclose(effect[:, 0], 1.5 * value, rtol=1e-5)
    assert torch.allclose(effect[:, 4], 0.5 * value, rtol=1e-5)
    assert effect[:, [1, 2, 3]].abs().max() == 0


def test_equals_ablation_where_the_way_is_linear() -> None:
    module = planted.net()
    first, later = layers(module, "first", "second")
    place = (torch.arange(8) % 6, *strongest_places(module, first, 0))
    effect = influence.effects(module, IMAGES, first, later, *place)
    lost = influence.ablations(module, IMAGES, first, later, *place)
    # A negative value is cut off by the ReLU between: nothing is lost, nothing moves.
    assert torch.allclose(effect, lost, atol=1e-4 * float(lost.abs().max()))


def test_ranks_agree_with_ablation_where_it_is_not() -> None:
    module = corpus.net()
    first, later = layers(module, "features.2", "features.5")
    ranks = []
    for unit in range(first.units):
        units, place = torch.full((8,), unit), strongest_places(module, first, unit)
        effect = influence.effects(module, IMAGES, first, later, units, *place)
        lost = influence.ablations(module, IMAGES, first, later, units, *place)
        ranks.append(spearmanr(effect.mean(0), lost.mean(0)).statistic)
    assert np.nanmedian(ranks) > 0.5, ranks


def test_connections_by_hand() -> None:
    found = Connections(2, 4)
    found.add(np.array([1, 1, 1]), np.array([[1, -2, 0, 3], [3, -2, 0, -1], [np.nan, 0, 0, 0]]))
    made = found.strongest(2)
    assert found.nonfinite == 1
    rows = list(zip(made.unit, made.effect, made.rank, made.later_unit, made.influence, made.agreement, strict=True))
    assert rows == [(1, 0, 0, 0, 2.0, 1.0), (1, 0, 1, 3, 1.0, 0.5), (1, 1, 0, 1, -2.0, 1.0)]
    assert made.patches.tolist() == [2, 2, 2]


def test_the_order_of_patches_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    unit, effect = rng.integers(0, 3, 40), rng.integers(-4, 5, (40, 6)).astype(float)
    whole, parts = Connections(3, 6), Connections(3, 6)
    whole.add(unit, effect)
    for piece in np.split(rng.permutation(40), 5):
        parts.add(unit[piece], effect[piece])
    for name in Influence.__slots__:
        np.testing.assert_array_equal(getattr(whole.strongest(3), name), getattr(parts.strongest(3), name))


@pytest.mark.parametrize("fault", ["sign", "unit", "position"])
def test_mutant_wrong_connections_are_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = influence.own_value

    def wrong(y: Tensor, x: Tensor, unit: Tensor | None = None) -> Direction:
        assert unit is not None
        if fault == "sign":
            return lambda a: -right(y, x, unit)(a)
        if fault == "unit":
            return right(y, x, (unit + 1) % planted.UNITS)
        return right((y + 6) % 12, (x + 6) % 12, unit)

    monkeypatch.setattr(influence, "own_value", wrong)
    module = planted.net()
    first, later = layers(module, "first", "second")
    if fault == "position":
        y, x = strongest_places(module, first, 2)
        effect = influence.effects(module, IMAGES, first, later, torch.full((8,), 2), y, x)
        assert not torch.allclose(effect[:, 0], 1.5 * module.first(IMAGES)[torch.arange(8), 2, y, x], rtol=1e-2)
    else:
        assert recovered(followed(module, first, later)) != PLANTED
