"""Pictures of units, classes and sums on nets whose best picture is known; dead units; batches; sizes; views."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.inversion import recipes
from atlas.inversion import visualise as drawing
from atlas.inversion.draws import start_draws
from atlas.inversion.objectives import (
    PICTURE,
    Objective,
    channel,
    class_logit,
    class_probability,
    neuron,
    of_layer,
    peak,
    per_picture,
)
from atlas.inversion.recipes import CLASS, CROPS, CUTS, LUCID, MACO, PICTURE_RECIPES, SIMONYAN, PictureRecipe
from atlas.inversion.visualise import BatchObjective, Visualised, objective_per_picture, of_views, visualise
from atlas.model.activations import probe

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.25, 0.25)
QUICK = PictureRecipe(name="quick", steps=30, rate=0.2)
COLOURS = ((1.0, 1.0, 1.0), (-1.0, -1.0, -1.0), (1.0, 0.0, -1.0), (0.0, 0.0, 0.0))
"""What units want to see: light, dark, warm colours; and nothing at all."""


class Rectified(nn.Module):
    """Units for a colour each, rectified, the last two dead: one is constant, one below what any picture reaches."""

    def __init__(self, side: int | None = None) -> None:
        super().__init__()
        self.side = side
        self.units = nn.Conv2d(3, 5, 3, stride=2, padding=1)
        weight = torch.full((5, 3, 3, 3), 0.01)
        for unit, wanted in enumerate(COLOURS):
            weight[unit] = torch.tensor(wanted)[:, None, None] / 9
        self.units.weight.data, self.units.bias.data = weight, torch.tensor([0.0, 0, 0, 0, -100])
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(5, 3, bias=False)
        self.head.weight.data = torch.eye(3, 5)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        if self.side is not None and x.shape[-1] != self.side:
            raise ValueError(f"only {self.side} pixels")
        scores: Tensor = self.head(self.relu(self.units(x)).mean((2, 3)))
        return scores


NET = Rectified()


def layer(name: str, net: nn.Module = NET) -> Layer:
    return probe(net, torch.rand(3, 16, 16), [name])[name]


def draw(
    aims: BatchObjective, seeds: Sequence[int], recipe: PictureRecipe = QUICK, net: nn.Module = NET, **more: object
) -> Visualised:
    settings = {"mean": MEAN, "std": STD, "size": (16, 24), "own_size": (16, 16), "batch": 4} | more
    found = settings.pop("layers", [layer("relu", net)] if settings.get("logits") is None else [])
    return visualise(net, aims, found, recipe=recipe, seeds=seeds, **settings)  # type: ignore[arg-type]


def of_units(units: Sequence[int]) -> BatchObjective:
    return lambda rows: channel("relu", np.array(units)[rows])


def maps_of(made: Visualised) -> np.ndarray:
    """The rectified units' maps on the pictures as they are published, `n c h w`."""
    shown = torch.from_numpy(made.pictures).permute(0, 3, 1, 2).float() / 255
    x = (shown - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    found: np.ndarray = NET.relu(NET.units(x)).detach().numpy()
    return found


def winners(made: Visualised) -> list[int]:
    """Which picture excites each of the first three units most."""
    return maps_of(made).mean((2, 3))[:, :3].argmax(0).tolist()


def test_units_get_what_they_want_to_see() -> None:
    made = draw(of_units([2, 0, 1]), [5, 6, 7])
    assert made.pictures.shape == (3, 16, 24, 3)
    assert winners(made) == [1, 2, 0]
    assert not made.dead.any()


def scores_gap(made: Visualised) -> float:
    """How far the scores are from the net's own on the pictures as they are published."""
    maps = maps_of(made)
    mean, most = maps.mean((2, 3)), maps.max((2, 3))
    order = [2, 0, 1]
    return float(max(np.abs(made.value - mean[range(3), order]).max(), np.abs(made.best - most[range(3), order]).max()))


def test_scores_are_those_of_the_plain_published_picture() -> None:
    def judge(rows: np.ndarray) -> Objective:
        return peak("relu", np.array([2, 0, 1])[rows])

    assert scores_gap(draw(of_units([2, 0, 1]), [5, 6, 7], judge=judge)) < 1e-5


def test_mutant_scores_before_rounding_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = drawing.values
    monkeypatch.setattr(drawing, "values", lambda see, aims, shown, *more: real(see, aims, shown // 8 * 8, *more))
    with pytest.raises(AssertionError):
        test_scores_are_those_of_the_plain_published_picture()


def test_the_dead_are_told_from_the_living() -> None:
    made = draw(of_units([0, 3, 4, 1]), [1, 2, 3, 4])
    assert made.dead.tolist() == [False, True, True, False]


def test_mutant_calling_low_values_dead_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "MOVED", 100.0)
    with pytest.raises(AssertionError):
        test_the_dead_are_told_from_the_living()


def asleep() -> nn.Module:
    """A net whose first unit no first picture excites: it needs more light than any of them has."""
    net = Rectified()
    net.units.bias.data[0] = -2.0
    return net.eval()


def test_a_unit_asleep_is_woken_by_redirected_gradients() -> None:
    recipe = dataclasses.replace(QUICK, contrast=0.1)
    awake = draw(of_units([0]), [1], recipe, asleep())
    left = draw(of_units([0]), [1], dataclasses.replace(recipe, redirect=0), asleep())
    assert left.dead.all()
    assert not awake.dead.any()
    assert awake.value[0] > 0


def test_a_unit_is_woken_behind_a_rectifier_that_a_quicker_pass_does_in_one_with_its_convolution() -> None:
    net = nn.Sequential(asleep().units, nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(5, 5, 1)).eval()
    net[3].weight.data = torch.eye(5)[..., None, None]
    made = visualise(
        net,
        lambda rows: channel("3", 0),
        [layer("3", net)],
        recipe=dataclasses.replace(QUICK, contrast=0.1),
        seeds=[1],
        mean=MEAN,
        std=STD,
        size=(16, 16),
    )
    assert not made.dead.any()


def test_a_picture_does_not_depend_on_the_others_nor_on_the_filling() -> None:
    recipe = dataclasses.replace(QUICK, transform="affine")
    together = draw(of_units([0, 1, 2, 2, 1, 0]), [1, 2, 3, 4, 5, 6], recipe)
    alone = draw(of_units([1]), [5], recipe)
    np.testing.assert_array_equal(together.pictures[4], alone.pictures[0])
    assert together.best[4] == alone.best[0]


def test_the_same_seeds_give_the_same_pictures_and_others_do_not() -> None:
    one, two, other = (draw(of_units([0, 1]), seeds).pictures for seeds in ([1, 2], [1, 2], [3, 2]))
    np.testing.assert_array_equal(one, two)
    assert (one[0] != other[0]).any()
    np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.parametrize("objective", [class_logit, class_probability])
def test_classes_by_score_and_probability(objective: Callable[[np.ndarray], Objective]) -> None:
    wanted = np.array([1, 0, 2])
    made = draw(lambda rows: objective(wanted[rows]), [1, 2, 3], logits=lambda out: out)
    assert winners(made) == [1, 0, 2]


def class_gap() -> float:
    """How far a class's score and probability are from the hand calculation."""
    scores = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 3.0]])[:, :, None, None]
    found = [made([1, 2]).value({":logits": scores}).numpy() for made in (class_logit, class_probability)]
    shares = [np.exp(2) / (np.exp(1) + np.exp(2) + np.exp(0.5)), np.exp(3) / (2 + np.exp(3))]
    return float(np.abs(np.array(found) - [[2.0, 3.0], shares]).max())


def test_classes_by_hand() -> None:
    assert class_gap() < 1e-6


@pytest.mark.parametrize("fault", ["another class", "the score for the probability"])
def test_mutant_classes_are_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = class_logit
    if fault == "another class":
        monkeypatch.setitem(globals(), "class_logit", lambda classes: real([one - 1 for one in classes]))
    else:
        monkeypatch.setitem(globals(), "class_probability", real)
    assert class_gap() > 0.1


def test_sums_and_weights_and_positions() -> None:
    light, warm = channel("relu", 0), channel("relu", 2)
    made = draw(objective_per_picture([light + warm, 0.1 * light - 2.0 * warm, neuron("relu", 1, y=0, x=0)]), [1, 2, 3])
    shown = made.pictures.astype(float)
    warmth = (shown[..., 0] - shown[..., 2]).mean((1, 2))
    assert warmth[0] > 5 + warmth[1]
    assert shown[0].mean() > 127
    assert shown[2, :2, :2].mean() < 30 < shown[2].mean()


def test_each_is_one_by_one() -> None:
    maps = torch.randn(3, 4, 5, 6)
    parts = [channel("a", 1), 2.0 * neuron("a", 2), channel("a", 3) - peak("a", 0)]
    wanted = [float(part.value({"a": maps[i : i + 1]})) for i, part in enumerate(parts)]
    np.testing.assert_allclose(per_picture(parts).value({"a": maps}), wanted, rtol=1e-6)
    assert per_picture(parts).layers == {"a"}


def test_a_net_that_takes_one_size_is_shown_stretched_pictures() -> None:
    net = Rectified(side=16)
    made = draw(of_units([1, 0]), [1, 2], net=net, size=(20, 30))
    assert made.pictures.shape == (2, 20, 30, 3)
    assert winners(made)[:2] == [1, 0]
    with pytest.raises(ValueError, match=r"neither of 20 × 30 pixels \(only 16 pixels\) nor of its own 12 × 12"):
        draw(of_units([1]), [1], net=net, size=(20, 30), own_size=(12, 12))


def test_a_net_that_stumbles_over_moved_pictures_only_is_shown_its_own_size() -> None:
    """lucid's moves widen the canvas."""
    net, recipe = Rectified(side=16), dataclasses.replace(LUCID, steps=4)
    assert draw(of_units([1]), [1], recipe, net, size=(16, 16)).pictures.shape == (1, 16, 16, 3)


@pytest.mark.parametrize("recipe", PICTURE_RECIPES.values(), ids=PICTURE_RECIPES)
def test_every_recipe_raises_what_it_aims_at(recipe: PictureRecipe) -> None:
    few = dataclasses.replace(recipe, steps=12, views=min(recipe.views, 2))
    settings = {"spectrum": np.ones((3, 48, 29), np.float32), "layers": [layer("units")], "size": (48, 56)}
    made, none = (
        draw(lambda rows: channel("units", rows), [1, 2, 3], dataclasses.replace(few, rate=rate), **settings)
        for rate in (60.0 if recipe.climb == "plain" else recipe.rate, 0.0)
    )
    assert (made.value > none.value).all()


def test_the_recipes_of_classes_number_by_number() -> None:
    """The reference's recipe; its cuts shown smaller, for longer; and the default, lucid's but for the steps."""
    wanted = {"rate": 0.02, "canvas": "fourier", "decay": 1.5, "contrast": 1.0, "climb": "adam", "views": 1}
    for recipe, steps, transform, side in ((CROPS, 192, "cropped", 224), (CUTS, 384, "cut small", 160)):
        assert (recipe.steps, recipe.transform) == (steps, transform)
        assert {name: getattr(recipe, name) for name in wanted} == wanted
        assert recipe.build_transform()(torch.rand(1, 3, 224, 224), start_draws([1])).shape == (1, 3, side, side)
    assert dataclasses.replace(LUCID, name="class", steps=192) == CLASS


@pytest.mark.parametrize("planted", [{"steps": 96}, {"decay": 1.25}, {"contrast": None}, {"transform": "affine"}])
@pytest.mark.parametrize("name", ["CROPS", "CUTS"])
def test_mutant_another_number_in_the_recipes_of_classes_is_seen(
    name: str, planted: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), name, dataclasses.replace(globals()[name], **planted))
    with pytest.raises(AssertionError):
        test_the_recipes_of_classes_number_by_number()


def test_the_published_recipes_number_by_number() -> None:
    assert (LUCID.steps, LUCID.rate, LUCID.decay, LUCID.contrast, LUCID.transform) == (512, 0.05, 1.0, None, "lucid")
    assert (LUCID.climb, LUCID.redirect, LUCID.views) == ("adam", 16, 1)
    assert (MACO.steps, MACO.rate, MACO.climb, MACO.transform) == (256, 1.0, "nadam", "boxes")
    assert (SIMONYAN.steps, SIMONYAN.rate, SIMONYAN.climb, SIMONYAN.canvas) == (150, 0.3, "plain", "zero")
    assert (SIMONYAN.shrink, SIMONYAN.transform) == (5e-3, "none")


PLANTED: dict[str, dict[str, object]] = {
    "LUCID": {"steps": 513, "rate": 0.025, "decay": 1.5, "transform": "atlas", "redirect": 0},
    "MACO": {"steps": 1000, "rate": 0.05, "climb": "adam", "transform": "cropped"},
    "SIMONYAN": {"steps": 512, "rate": 6.0, "canvas": "fourier", "shrink": 1e-4, "climb": "adam"},
}


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, fields in PLANTED.items() for field in fields])
def test_mutant_another_number_in_a_recipe_is_seen(name: str, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), name, dataclasses.replace(globals()[name], **{field: PLANTED[name][field]}))
    with pytest.raises(AssertionError):
        test_the_published_recipes_number_by_number()


def test_mutant_a_shrink_of_the_picture_as_it_is_seen_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """|I|² is of the picture as the net is given it, not of its colours."""
    monkeypatch.setattr(recipes, "_negative_energy", lambda mean, std: -l2_squared())
    with pytest.raises(AssertionError):
        test_simonyan_starts_from_the_mean_and_shrinks_towards_it()


def l2_squared() -> Objective:
    return of_layer(PICTURE, lambda pictures: pictures.square().sum((1, 2, 3)))


def test_simonyan_starts_from_the_mean_and_shrinks_towards_it() -> None:
    canvas = SIMONYAN.parameterisation(4, 6, MEAN, STD)
    first = canvas.picture(canvas.initial([None, None]))  # type: ignore[list-item]
    np.testing.assert_allclose(first, torch.tensor(MEAN).view(1, 3, 1, 1).expand(2, 3, 4, 6))
    penalty = SIMONYAN.penalty(MEAN, STD)
    assert penalty is not None
    found = penalty.value({PICTURE: first + 0.1})
    np.testing.assert_allclose(found, [-5e-3 * 72 * (0.1 / 0.25) ** 2] * 2, rtol=1e-5)


def test_views_are_averaged() -> None:
    objective, maps = channel("a", torch.tensor([0, 1])), torch.randn(6, 2, 3, 3)
    found = of_views(objective, 3).value({"a": maps, PICTURE: maps[:2]})
    wanted = [np.mean([maps[2 * view + i, i].mean() for view in range(3)]) for i in range(2)]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_the_dead_are_drawn_again_and_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    made = draw(of_units([0, 3, 1, 2, 4]), range(5), tries=2, progress=lambda done, total: told.append((done, total)))
    assert made.dead.tolist() == [False, True, False, False, True]
    assert told[-1] == (5, 5)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert {total for _, total in told} == {5}


def test_grey_nets() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()).eval()
    made = visualise(
        net,
        lambda rows: channel("1", 0),
        [probe(net, torch.rand(1, 16, 16), ["1"])["1"]],
        recipe=QUICK,
        seeds=[1],
        mean=(0.5,),
        std=(0.5,),
        size=(16, 16),
    )
    assert made.pictures.shape == (1, 16, 16, 3)
    np.testing.assert_array_equal(made.pictures[..., 0], made.pictures[..., 2])


def test_errors_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="no pictures to draw"):
        draw(of_units([0]), [])
    with pytest.raises(
        ValueError, match="pictures of 16 × 24 pixels are too small for the transforms of recipe distill"
    ):
        draw(of_units([0]), [1], PICTURE_RECIPES["distill"])
    with pytest.raises(ValueError, match="training mode"):
        draw(of_units([0]), [1], net=Rectified().train())
    with pytest.raises(ValueError, match="recipe maco needs the spectrum of natural pictures"):
        draw(of_units([0]), [1], MACO)
