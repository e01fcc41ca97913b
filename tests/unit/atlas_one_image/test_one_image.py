"""Building blocks of one image against hand calculations, brute-force Jacobians, and planted groups."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import corpus, planted
from support.nets import noise, seeded
from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.attribution.scores import class_logit, class_probability
from atlas.inversion.whitening import second_moment
from atlas.model import activations
from atlas.model.activations import run_to
from atlas.model.forward_mode import NoTangentError
from atlas.one_image import between, blocks, contribution, groups, likeness
from storage.models.loading import find_logits

SIDE = 12
IMAGE = noise(1, 3, SIDE, SIDE)


def layers(module: nn.Module, *names: str, axes: dict[str, str] | None = None) -> list[Layer]:
    found = activations.probe(module, IMAGE[0], names, axes=axes)
    return [found[name] for name in names]


def seen(module: nn.Module, layer: Layer) -> Tensor:
    got: dict[str, Tensor] = {}
    with torch.no_grad():
        run_to(module, IMAGE, {layer.name: layer}, got.__setitem__, clone=True)
    return got[layer.name][0]


def net() -> nn.Module:
    """Return a net of convolutions, rectifiers and a linear layer on the mean, in double precision."""
    return seeded(corpus.net())


def two_layers() -> tuple[nn.Module, Layer, Layer]:
    module = planted.net().double().requires_grad_(False)
    first, second = layers(module, "first", "second")
    return module, first, second


# Blocks


def test_blocks_are_as_equal_as_can_be_and_each_position_is_in_one() -> None:
    found = blocks.blocks(7, 5, 3)
    assert found.top.tolist() == [0, 2, 4, 7]
    assert found.left.tolist() == [0, 1, 3, 5]
    assert blocks.blocks(2, 9, 4).shape == (2, 4)
    assert blocks.blocks(3, 3, 7).top.tolist() == [0, 1, 2, 3]
    assert (sum(found.mask(number).astype(int) for number in range(9)) == 1).all()


def test_sums_and_means_of_blocks_are_those_of_their_masks() -> None:
    found, maps = blocks.blocks(7, 5, 3), noise(4, 7, 5).numpy()
    for number in range(9):
        inside, (row, col) = found.mask(number), divmod(number, 3)
        assert np.allclose(found.sums(maps)[:, row, col], maps[:, inside].sum(1))
        assert np.allclose(found.means(maps)[:, row, col], maps[:, inside].mean(1))


def test_area_is_as_the_norm() -> None:
    sides = blocks.icon_sides(np.array([[4.0, 1.0], [0.0, 2.0]]))
    assert np.allclose(sides**2, [[1, 0.25], [0, 0.5]])
    assert (blocks.icon_sides(np.zeros((2, 2))) == 0).all()


def test_no_block_and_no_group_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 block a side, not 0"):
        blocks.blocks(4, 4, 0)
    with pytest.raises(ValueError, match="at least 1 group, not 0"):
        groups.groups(np.ones((2, 2, 2), np.float32), 0)


# Attribution to classes


@pytest.mark.parametrize("number", range(4))
def test_at_the_last_linear_layer_all_of_it_is_the_logit_without_its_bias(number: int) -> None:
    module = net()
    (layer,) = layers(module, "features.5")
    activation, by_activation, score = contribution.sensitivity(module, IMAGE, layer, class_logit(number, find_logits))
    assert float((activation * by_activation).sum()) == pytest.approx(score - float(module.head.bias[number]), abs=1e-4)
    assert np.allclose(activation[0], seen(module, layer))


def test_mutant_a_probability_in_place_of_the_logit_does_not_add_up() -> None:
    module = net()
    (layer,) = layers(module, "features.5")
    score = class_probability(1, find_logits)
    activation, by_activation, found = contribution.sensitivity(module, IMAGE, layer, score)
    assert abs(float((activation * by_activation).sum()) - (found - float(module.head.bias[1]))) > 1e-2


def test_one_class_against_another_is_the_difference() -> None:
    module = net()
    (layer,) = layers(module, "features.2")
    first, second = class_logit(1, find_logits), class_logit(3, find_logits)
    apart = [contribution.sensitivity(module, IMAGE, layer, one) for one in (first, second)]
    _, by_activation, score = contribution.sensitivity(module, IMAGE, layer, contribution.difference(first, second))
    assert torch.allclose(by_activation, apart[0][1] - apart[1][1])
    assert score == pytest.approx(apart[0][2] - apart[1][2])


class Turned(nn.Module):
    """Channels last, then a class token before the grid's tokens: the two other layouts of axes."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.last = nn.Conv2d(3, 6, 3, stride=3), nn.Linear(6, 6)
        self.mix, self.head = nn.TransformerEncoderLayer(6, 2, 12, dropout=0.0, batch_first=True), nn.Linear(6, 5)
        self.token = nn.Parameter(torch.zeros(1, 1, 6))

    def forward(self, x: Tensor) -> Tensor:
        turned = self.last(self.patch(x).permute(0, 2, 3, 1))
        tokens = torch.cat([self.token.expand(len(x), -1, -1), turned.flatten(1, 2)], 1)
        return self.head(self.mix(tokens)[:, 0])


WHERE = {"features.2": net, "features.4": net, "last": lambda: seeded(Turned()), "patch": lambda: seeded(Turned())}


@pytest.mark.parametrize("name", WHERE)
def test_forward_mode_is_the_gradient_of_each_class(name: str) -> None:
    module = WHERE[name]()
    (layer,) = layers(module, name, axes={"last": "bhwc"} if name == "last" else None)
    cut = blocks.blocks(layer.height, layer.width, 2)
    parts = between.position_parts(seen(module, layer), cut, batch=3)
    made = between.effects_on_classes(module, IMAGE, layer, parts, find_logits)
    for number in range(made.shape[1]):
        score = class_logit(number, find_logits)
        activation, by_activation, _ = contribution.sensitivity(module, IMAGE, layer, score)
        expected = cut.sums((activation * by_activation)[0].sum(0).numpy()).ravel()
        assert np.abs(made[:, number] - expected).max() < 1e-4 * max(1, np.abs(expected).max())
    assert np.abs(made).max() > 0


def test_a_score_that_does_not_reach_the_layer_is_said() -> None:
    module = seeded(Turned())
    (layer,) = layers(module, "mix", axes={"mix": "btc"})
    with pytest.raises(ValueError, match=r"does not depend on layer mix .*; choose one before it"):
        contribution.sensitivity(module.requires_grad_(False), IMAGE, layer, _deaf())


def _deaf() -> contribution.Score:
    return contribution.Score(read=lambda scores: torch.zeros(len(scores)), logits=find_logits)


# From layer to layer


def jacobian(module: nn.Module) -> Tensor:
    """Return ∂second/∂first of the planted net, `c' h' w' c h w`, by autograd on its formula."""
    start = seen(module, layers(module, "first")[0])
    return torch.autograd.functional.jacobian(lambda h: module.second(h[None].relu())[0], start)


def test_position_to_position_is_the_whole_jacobian_read_by_hand() -> None:
    module, first, second = two_layers()
    h, later, whole = seen(module, first), seen(module, second), jacobian(module)
    before, after = blocks.blocks(SIDE, SIDE, 3), blocks.blocks(SIDE, SIDE, 4)
    made = between.effects_on_layer(
        module, IMAGE, first, second, between.position_parts(h, before, batch=4), between.read_lengths(later, after)
    )
    towards = later / later.norm(dim=0)
    all_pairs = torch.einsum("vyx,vyxuab,uab->abyx", towards, whole, h).numpy()
    expected = np.array(
        [[all_pairs[before.mask(p)][:, after.mask(q)].sum() for q in range(16)] for p in range(9)], np.float32
    )
    assert np.allclose(made, expected, atol=1e-5)
    assert np.abs(made).max() > 0.1


def test_mutant_a_reading_that_is_not_along_the_length_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.functional, "normalize", lambda vector, dim: vector)
    with pytest.raises(AssertionError):
        test_position_to_position_is_the_whole_jacobian_read_by_hand()


def test_mutant_a_part_that_is_not_only_its_own_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = between.position_parts
    monkeypatch.setattr(
        between, "position_parts", lambda h, cut, batch: (part + 0.01 * h for part in whole(h, cut, batch))
    )
    with pytest.raises(AssertionError):
        test_position_to_position_is_the_whole_jacobian_read_by_hand()


def test_unit_to_unit_is_the_weight_times_what_is_there() -> None:
    module, first, second = two_layers()
    h = seen(module, first)
    parts = between.unit_parts(h, list(range(planted.UNITS)), batch=4)
    made = between.effects_on_layer(module, IMAGE, first, second, parts, between.read_sums)
    for unit, sides in planted.CONNECTIONS.items():
        for later, weight in [pair for side in sides for pair in side.items()]:
            assert made[unit, later] == pytest.approx(weight * float(h[unit].relu().sum()), rel=1e-5)
    driven = {(u, v) for u, v in zip(*np.nonzero(made), strict=True)}
    assert driven == {(u, v) for u, sides in planted.CONNECTIONS.items() for side in sides for v in side}


def test_group_to_group_is_what_a_small_step_does() -> None:
    """Finite differences: add a little of each pattern, and see how far the later activation moves along the others."""
    module, first, second = two_layers()
    h, later = seen(module, first), seen(module, second)
    before, after = groups.groups(h.numpy(), 3), groups.groups(later.numpy(), 2)
    parts = between.pattern_parts(before.patterns())
    made = between.effects_on_layer(module, IMAGE, first, second, parts, between.read_projections(after.patterns()))
    for k, part in enumerate(before.patterns()):
        step = 1e-6
        moved = (module.second((h + step * torch.from_numpy(part))[None].relu())[0] - later) / step
        for j, pattern in enumerate(after.patterns()):
            towards = pattern / np.linalg.norm(pattern)
            assert abs(made[k, j] - float((moved.numpy() * towards).sum())) < 1e-3 * np.abs(made).max()


def test_all_positions_together_are_the_length_without_the_bias() -> None:
    module, first, second = two_layers()
    h, later = seen(module, first), seen(module, second)
    one = blocks.blocks(SIDE, SIDE, 1)
    made = between.effects_on_layer(
        module,
        IMAGE,
        first,
        second,
        between.position_parts(h, one),
        between.read_lengths(later, blocks.blocks(SIDE, SIDE, 1)),
    )
    bias = (later / later.norm(dim=0) * module.second.bias[:, None, None]).sum()
    assert made[0, 0] == pytest.approx(float(later.norm(dim=0).sum() - bias), rel=1e-5)


def test_a_layer_that_does_not_come_before_is_said() -> None:
    module, first, second = two_layers()
    parts = between.unit_parts(seen(module, second), [0])
    with pytest.raises(NoTangentError, match="layer second does not reach layer first"):
        between.effects_on_layer(module, IMAGE, second, first, parts, between.read_sums)


# Groups


def planted_groups(signed: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return maps `3 h w` apart from each other, directions `3 c` of length 1, and their sum `c h w`."""
    rng = np.random.default_rng(0)
    maps = np.zeros((3, 6, 6))
    maps[0, :2], maps[1, 3:, :3], maps[2, 3:, 4:] = 3.0, 2.0, 1.0
    directions = np.zeros((3, 9))
    for k in range(3):
        directions[k, 3 * k : 3 * k + 3] = rng.uniform(0.5, 1, 3) * (np.array([1, -1, 1]) if signed else 1)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return maps, directions, np.einsum("khw,kc->chw", maps, directions).astype(np.float32)


@pytest.mark.parametrize("signed", [False, True])
def test_planted_groups_are_found_largest_first(signed: bool) -> None:
    maps, directions, activation = planted_groups(signed)
    found = groups.groups(activation, 3)
    assert found.signed == signed
    assert found.explained == pytest.approx(1, abs=1e-4)
    assert np.allclose(found.maps, maps, atol=0.02)
    assert np.allclose(found.directions, directions, atol=0.02)
    assert np.allclose(found.share, (maps**2).sum((1, 2)) / (maps**2).sum(), atol=0.01)
    assert np.allclose(found.patterns().sum(0), activation, atol=0.03)


def test_mutant_groups_blind_to_negative_values_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = groups._factor

    def blind(rows: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        maps, parts = whole(rows, count, seed)
        parts[:, parts.shape[1] // 2 :] = 0
        return maps, parts

    monkeypatch.setattr(groups, "_factor", blind)
    with pytest.raises(AssertionError):
        test_planted_groups_are_found_largest_first(True)


def test_groups_are_the_same_again_and_no_more_than_there_can_be() -> None:
    activation = noise(5, 4, 4).numpy().astype(np.float32)
    one, two = groups.groups(activation, 4, seed=3), groups.groups(activation, 4, seed=3)
    assert (one.maps == two.maps).all()
    assert (one.directions == two.directions).all()
    assert (one.maps >= 0).all()
    assert np.allclose(np.linalg.norm(one.directions, axis=1), 1, atol=1e-5)
    assert len(groups.groups(activation[:, :1, :2], 6).maps) == 2


def test_a_layer_that_is_silent_has_silent_groups() -> None:
    found = groups.groups(np.zeros((3, 2, 2), np.float32), 2)
    assert (found.maps == 0).all()
    assert np.isfinite(found.directions).all()
    assert found.share.tolist() == [0, 0]
    with pytest.raises(ValueError, match="not finite"):
        groups.groups(np.full((3, 2, 2), np.nan, np.float32), 2)


def test_groups_and_the_rest_add_up_to_the_whole_attribution() -> None:
    module = net()
    (layer,) = layers(module, "features.1")
    activation, by_activation, _ = contribution.sensitivity(module, IMAGE, layer, class_logit(2, find_logits))
    h, gradient = activation[0].numpy().astype(np.float32), by_activation[0].numpy().astype(np.float32)
    found = groups.groups(h, 3)
    rest = ((h - found.patterns().sum(0)) * gradient).sum()
    assert groups.group_attribution(found, gradient).sum() + rest == pytest.approx((h * gradient).sum(), abs=1e-4)


# Likeness


def test_the_nearest_is_the_one_of_largest_whitened_cosine() -> None:
    rng = np.random.default_rng(1)
    samples, means = rng.normal(size=(200, 4)) * [1, 5, 0.2, 1], rng.normal(size=(9, 4)).astype(np.float32)
    vectors = rng.normal(size=(6, 4)).astype(np.float32)
    moment = second_moment([samples], 4)
    best, cosine = likeness.nearest(vectors, means, moment)
    values, basis = np.linalg.eigh(moment)
    whiten = basis @ np.diag((values + 0.1 * values.mean()) ** -0.5) @ basis.T
    for row, vector in enumerate(vectors):
        a = whiten @ vector
        expected = [a @ (whiten @ m) / np.linalg.norm(a) / np.linalg.norm(whiten @ m) for m in means]
        assert best[row] == int(np.argmax(expected))
        assert cosine[row] == pytest.approx(max(expected), abs=1e-5)


def test_mutant_a_plain_cosine_names_others() -> None:
    rng = np.random.default_rng(1)
    samples, means = rng.normal(size=(200, 4)) * [1, 5, 0.2, 1], rng.normal(size=(9, 4)).astype(np.float32)
    vectors = rng.normal(size=(6, 4)).astype(np.float32)
    plain = (vectors @ means.T / np.linalg.norm(means, axis=1)).argmax(1)
    assert (likeness.nearest(vectors, means, second_moment([samples], 4))[0] != plain).any()


def test_strongest_and_apart() -> None:
    assert likeness.strongest(np.array([[1.0, 3.0, 3.0, 2.0]]), 3).tolist() == [[1, 2, 3]]
    strength = np.array([[9.0, 8.0, 1.0], [7.0, 2.0, 5.0], [3.0, 0.0, 6.0]])
    assert likeness.separate_peaks(strength, 3) == [(0, 0), (2, 2), (2, 0)]
    assert likeness.separate_peaks(strength, 9) == [(0, 0), (2, 2), (2, 0), (0, 2)]
    assert likeness.separate_peaks(strength, 9, avoid=[(0, 1)]) == [(2, 2), (2, 0)]
    assert likeness.separate_peaks(-strength, 9) == []
