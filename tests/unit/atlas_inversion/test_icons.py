"""Icons on planted nets whose best picture is known; independence of the batch; proofs and weak ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

from atlas.arrays import Byte, Icons, Layer
from atlas.inversion import draws, pool
from atlas.inversion import icons as icons_module
from atlas.inversion.fidelity import WEAK_COSINE, Fidelity, batches, measure_fidelity
from atlas.inversion.icons import icons, usable_size
from atlas.inversion.objectives import PICTURE, neuron, of_layer
from atlas.inversion.optimisers import adam
from atlas.inversion.parameterisations import pixels
from atlas.inversion.pool import Attempt, as_bytes
from atlas.inversion.recipes import BEST, DISTILL, FAST, ICON_RECIPES, IconRecipe
from atlas.inversion.render import frozen, layer_forward, render
from atlas.inversion.whitened import cosines as whitened_cosines

SHORT = dataclasses.replace(FAST, steps=8)
FLAT = {"mean": (0.5,) * 3, "std": (0.25,) * 3}


def small_net() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 12, 5, 2, 2), nn.ReLU(), nn.Conv2d(12, 20, 3, 2, 1), nn.ReLU(), nn.Flatten()
    ).eval()


NET = small_net()
LAYER = Layer(name="3", units=20, height=8, width=8)
SAMPLES = NET[:4](torch.rand(30, 3, 32, 32)).detach().permute(0, 2, 3, 1).reshape(-1, 20).numpy()
MOMENT = SAMPLES.T.astype(np.float64) @ SAMPLES / len(SAMPLES)
TARGETS = SAMPLES[np.random.default_rng(0).choice(len(SAMPLES), 6, replace=False)]


def draw(rows: Sequence[int] | None = None, recipe: IconRecipe = SHORT, **changes: object) -> Icons:
    asked = {"seeds": range(100, 106), "size": 32, "batch": 4, "tries": 1, **FLAT, **changes}
    return icons(NET, LAYER, TARGETS, MOMENT, recipe=recipe, only=rows, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("recipe", ICON_RECIPES.values(), ids=ICON_RECIPES)
def test_an_icon_does_not_depend_on_what_shares_its_batch(recipe: IconRecipe) -> None:
    short = dataclasses.replace(recipe, steps=6)
    together, turned, alone = draw(recipe=short), draw([4, 1, 5, 0, 2, 3], short), draw([4], short)
    order = np.argsort([4, 1, 5, 0, 2, 3])
    np.testing.assert_array_equal(together.pictures, turned.pictures[order])
    np.testing.assert_array_equal(together.pictures[4], alone.pictures[0])
    np.testing.assert_array_equal(together.cosine, turned.cosine[order])
    np.testing.assert_array_equal(together.rank, turned.rank[order])


def test_an_icon_does_not_depend_on_the_rest_of_the_grid() -> None:
    """Another grid with one cell in common: the same picture of it; only its rank may be another."""
    fewer = icons(NET, LAYER, TARGETS[4:], MOMENT, recipe=SHORT, seeds=[104, 105], size=32, batch=4, tries=1, **FLAT)
    np.testing.assert_array_equal(draw().pictures[4:], fewer.pictures)


def test_mutant_seeds_by_place_in_the_batch_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool._Pool, "_start", lambda self, attempt: np.random.default_rng(id(attempt)))
    with pytest.raises(AssertionError):
        test_an_icon_does_not_depend_on_what_shares_its_batch(FAST)


def test_the_same_call_gives_the_same_bytes_and_another_seed_others() -> None:
    first, again, other = draw(), draw(), draw(seeds=range(6))
    np.testing.assert_array_equal(first.pictures, again.pictures)
    assert (first.pictures != other.pictures).any()
    assert first.pictures.dtype == np.uint8
    assert first.pictures.shape == (6, 32, 32, 3)


def planted_net() -> tuple[nn.Sequential, Layer]:
    """Three units: each sees the brightness of one colour against the two others, over 4 × 4 pixels."""
    conv = nn.Conv2d(3, 3, 4, 4, bias=False)
    with torch.no_grad():
        conv.weight.copy_((1.5 * torch.eye(3) - 0.5)[:, :, None, None].expand(3, 3, 4, 4) / 16)
    return nn.Sequential(conv, nn.ReLU()).eval(), Layer(name="1", units=3, height=8, width=8)


def wrong_colours(targets: np.ndarray) -> int:
    """How many of the icons are not brightest in their own colour, and cleanly so."""
    net, layer = planted_net()
    recipe = dataclasses.replace(FAST, steps=48, rate=0.1, decay=1.0, contrast=None)
    got = icons(net, layer, targets, np.eye(3), recipe=recipe, seeds=range(3), size=32, tries=1, **FLAT)
    colours = got.pictures.mean((1, 2))
    others = np.where(np.eye(3, dtype=bool), -np.inf, colours).max(1)
    return int(((np.diag(colours) < others + 10) | (got.rank != 1) | (got.cosine < 0.95)).sum())


def test_a_planted_colour_is_drawn() -> None:
    assert wrong_colours(np.eye(3, dtype=np.float32)) == 0


def test_mutant_targets_of_other_cells_are_seen() -> None:
    assert wrong_colours(np.roll(np.eye(3, dtype=np.float32), 1, axis=0)) == 3


def test_the_optimum_of_a_linear_unit_is_its_own_weights() -> None:
    """Maximise w·x − |x|²/2 over pixels: the picture must be w."""
    conv = nn.Conv2d(1, 1, 6, bias=False).eval()
    with torch.no_grad():
        conv.weight.uniform_(0.1, 0.9)
    layer = Layer(name="0", units=1, height=1, width=1)
    norm = of_layer(PICTURE, lambda picture: 0.5 * picture.square().sum((1, 2, 3)))
    net = nn.Sequential(conv).eval()
    with frozen(net):
        got = render(
            layer_forward(net, [layer], [0.0], [1.0]),
            neuron("0", 0) - norm,
            pixels(6, 6, 1),
            draws.start_draws([1, 2]),
            steps=100,
            optimiser=adam(0.1),
        )
    np.testing.assert_allclose(got, conv.weight.detach().expand(2, -1, -1, -1), atol=1e-2, rtol=0)


def test_rendering_stops_at_the_layer_and_gives_the_parameters_their_gradients_back() -> None:
    class Never(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("ran past the layer")

    net = nn.Sequential(*NET[:4], Never()).eval()
    got = icons(net, LAYER, TARGETS, MOMENT, recipe=SHORT, seeds=range(6), size=32, tries=1, **FLAT)
    np.testing.assert_array_equal(got.pictures, draw(seeds=range(6), batch=16).pictures)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


def test_progress_counts_every_icon_once() -> None:
    told: list[tuple[int, int]] = []
    draw(progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (6, 6)
    assert len(told) == 2 * SHORT.steps  # two batches, the second of 2 icons


# Proofs


def proof_by_hand(activations: np.ndarray, targets: np.ndarray, own: Sequence[int]) -> list[tuple[float, int]]:
    level = 0.1 * np.trace(MOMENT) / 20
    metric = np.linalg.inv(MOMENT + level * np.eye(20))
    found = []
    for h, cell in zip(activations, own, strict=True):
        cosines = [h @ metric @ v / np.sqrt((h @ metric @ h) * (v @ metric @ v)) for v in targets]
        found.append((cosines[cell], 1 + sum(c > cosines[cell] + 1e-5 for c in cosines)))
    return found


def proof_gap(got: Icons) -> float:
    """How far published proofs are from a plain look at the published picture; 1 for a wrong rank."""
    shown = torch.from_numpy(got.pictures).permute(0, 3, 1, 2) / 255.0
    with torch.no_grad():
        activations = NET[:4]((shown - 0.5) / 0.25).mean((2, 3)).double().numpy()
    right = proof_by_hand(activations, TARGETS, range(6))
    wrong_ranks = [got.rank[i] != rank for i, (_, rank) in enumerate(right)]
    return float(any(wrong_ranks)) + max(abs(got.cosine[i] - cosine) for i, (cosine, _) in enumerate(right))


def test_proofs_are_of_the_published_picture() -> None:
    assert proof_gap(draw()) < 1e-4


@pytest.mark.parametrize("fault", ["raw metric", "centre position", "float picture"])
def test_mutant_proofs_are_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault == "raw metric":
        monkeypatch.setattr(icons_module, "whitener", lambda moment, epsilon: torch.eye(20))
    elif fault == "centre position":
        mean = torch.Tensor.mean
        centre = lambda maps, dims, keepdim=False: mean(maps, dims, True) if keepdim else maps[:, :, 4, 4]  # noqa: E731
        monkeypatch.setattr(torch.Tensor, "mean", centre)
        got = draw()
        monkeypatch.undo()
        assert proof_gap(got) > 1e-3
        return
    else:
        real = pool.plain_activations
        monkeypatch.setattr(pool, "plain_activations", lambda s, n, p, b, d: real(s, n, p // 8 * 8, b, d))
    assert proof_gap(draw()) > 1e-3


def test_ranks_tolerate_ties_and_count_strictly_better_cells() -> None:
    targets = np.array([[1, 0], [1, 1e-7], [0, 1], [1, 1]], dtype=np.float32)
    activations = np.array([[1, 0], [1, 0], [1, 0.9], [0.1, 1]], dtype=np.float32)
    got = measure_fidelity(activations, targets, np.array([0, 1, 0, 3]), np.eye(2))
    assert got.rank.tolist() == [1, 1, 2, 2]
    np.testing.assert_allclose(got.cosine[2], 1 / np.sqrt(1.81), rtol=1e-6)


def test_a_zero_activation_is_last_and_finite() -> None:
    cosine = whitened_cosines(np.zeros((1, 2), np.float32), np.eye(2, dtype=np.float32), np.eye(2))
    np.testing.assert_array_equal(cosine, np.zeros((1, 2)))


def test_weak_is_a_lost_rank_or_a_low_cosine() -> None:
    found = [(0.9, 1), (0.9, 2), (WEAK_COSINE - 0.01, 1), (WEAK_COSINE + 0.01, 1)]
    assert [Attempt(0, cosine=cosine, rank=rank).weak() for cosine, rank in found] == [False, True, True, False]


def retries(judgements: list[list[tuple[float, int]]], monkeypatch: pytest.MonkeyPatch, tries: int = 3) -> Icons:
    """Run the retry logic with judgements made up per attempt and cell; pictures carry the attempt's number."""

    def fake_measure(self: pool.Setting, pictures: Byte, cells: np.ndarray) -> Fidelity:
        found = [judgements[number][cell] for number, cell in zip(pictures[:, 0, 0, 0], cells, strict=True)]
        return Fidelity(np.array([c for c, _ in found], np.float32), np.array([r for _, r in found]))

    def fake_pictures(self: pool._Pool) -> Byte:
        return np.tile(self._tried.astype(np.uint8)[:, None, None, None], (1, 32, 32, 3))

    monkeypatch.setattr(pool.Setting, "measure", fake_measure)
    monkeypatch.setattr(pool._Pool, "_pictures", fake_pictures)
    return draw(tries=tries)


GOOD, LOW, OFF, FAR = (0.7, 1), (WEAK_COSINE / 2, 1), (0.6, 2), (0.6, 9)


def test_weak_icons_are_tried_again_and_the_best_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    got = retries(
        [[GOOD, LOW, OFF, FAR, FAR, OFF], [FAR, GOOD, FAR, OFF, FAR, OFF], [FAR, FAR, (0.65, 2), FAR, GOOD, OFF]],
        monkeypatch,
    )
    assert got.tries.tolist() == [1, 2, 3, 3, 3, 3]
    assert got.pictures[:, 0, 0, 0].tolist() == [0, 1, 2, 1, 2, 0]
    assert got.rank.tolist() == [1, 1, 2, 2, 1, 2]
    assert got.weak.tolist() == [False, False, True, True, False, True]


def test_mutant_keeping_the_last_try_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(icons_module, "max", lambda before, now, key: now, raising=False)
    with pytest.raises(AssertionError):
        test_weak_icons_are_tried_again_and_the_best_is_kept(monkeypatch)


def test_one_try_marks_weak_ones_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    got = retries([[GOOD, LOW, OFF, FAR, GOOD, GOOD]], monkeypatch, tries=1)
    assert got.tries.tolist() == [1] * 6
    assert got.weak.tolist() == [False, True, True, True, False, False]


def test_a_cell_that_nothing_can_bring_back_is_weak() -> None:
    """The layer never gives negative values, so no icon brings back a target that has them."""
    targets = np.concatenate([TARGETS[:5], -TARGETS[5:]])
    got = icons(NET, LAYER, targets, MOMENT, recipe=SHORT, seeds=range(6), size=32, batch=6, tries=2, only=[5], **FLAT)
    assert got.weak.tolist() == [True]
    assert got.tries.tolist() == [2]


# Sizes, layers, errors


class Tokens(nn.Module):
    """A net of one size, 32 px: patches as tokens, one prefix token, positional embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 8, 8)
        self.place = nn.Parameter(torch.randn(1, 17, 8) * 0.1)
        self.block = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        return self.block(torch.cat([tokens.mean(1, keepdim=True), tokens], 1) + self.place)


def test_a_net_of_one_size_draws_at_its_own() -> None:
    torch.manual_seed(1)
    net, layer = Tokens().eval(), Layer(name="block", units=8, height=4, width=4, axes="btc", prefix=1)
    rows = net(torch.rand(9, 3, 32, 32)).detach()[:, 1:].reshape(-1, 8).numpy()
    moment = rows.T @ rows / len(rows)
    for recipe in ICON_RECIPES.values():
        short = dataclasses.replace(recipe, steps=3)
        got = icons(net, layer, rows[:3], moment, recipe=short, seeds=range(3), size=48, own_size=(32, 32), **FLAT)
        assert got.pictures.shape == (3, 32, 32, 3)


def test_usable_size_names_both_refusals() -> None:
    def see(pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        if pictures.shape[2] != 64:
            raise RuntimeError(f"no {pictures.shape[2]}")
        return {}

    cpu = torch.device("cpu")
    assert usable_size(see, (64, 64), (32, 32), 3, cpu) == (64, 64)
    assert usable_size(see, (48, 48), (64, 64), 3, cpu) == (64, 64)
    with pytest.raises(ValueError, match=r"48×48: no 48; 32×32: no 32"):
        usable_size(see, (48, 48), (32, 32), 3, cpu)


def test_grey_nets_give_grey_icons() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU()).eval()
    layer = Layer(name="1", units=4, height=8, width=8)
    got = icons(net, layer, np.eye(4), np.eye(4), recipe=SHORT, seeds=range(4), size=16, mean=[0.5], std=[0.3])
    assert got.pictures.shape == (4, 16, 16, 3)
    assert (got.pictures[..., 0] == got.pictures[..., 2]).all()


def test_bytes_are_rounded() -> None:
    picture = torch.tensor([0.0, 0.4 / 255, 0.6 / 255, 1.0]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    assert as_bytes(picture)[0, ..., 1].tolist() == [[0, 0], [1, 255]]


def test_batches_are_of_one_size() -> None:
    assert [chosen.tolist() for chosen in batches(5, 3)] == [[0, 1, 2], [3, 4, 4]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": range(5)}, "5 seeds for 6 cells"),
        ({"tries": 0}, "tries is 0"),
    ],
)
def test_errors_say_what_is_wrong(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        draw(**changes)  # type: ignore[arg-type]


def test_a_mean_that_is_not_finite_is_named() -> None:
    bad = TARGETS.copy()
    bad[3, 0] = np.nan
    with pytest.raises(ValueError, match=r"cells \[3\] are not finite"):
        icons(NET, LAYER, bad, MOMENT, recipe=SHORT, seeds=range(6), **FLAT)


def test_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="training mode"):
        icons(small_net().train(), LAYER, TARGETS, MOMENT, recipe=SHORT, seeds=range(6), **FLAT)


def test_recipes_are_those_of_the_reference() -> None:
    assert (FAST.steps, FAST.rate, FAST.decay, FAST.contrast, FAST.transform) == (96, 0.03, 1.75, 0.8, "affine")
    assert (DISTILL.power, DISTILL.decay, DISTILL.rate, DISTILL.transform, DISTILL.window) == (
        4,
        1,
        0.05,
        "atlas",
        None,
    )
    assert (BEST.power, BEST.epsilon, BEST.window) == (4, 1e-2, 0.3)


def test_draws_are_alike_for_a_seed_and_differ_by_attempt() -> None:
    def numbers(seeds: Sequence[int], attempt: int = 0) -> np.ndarray:
        return draws.uniform(draws.start_draws(seeds, attempt), 0, 1, (4,)).numpy()

    np.testing.assert_array_equal(numbers([5, 7])[1], numbers([7])[0])
    assert (numbers([5]) != numbers([5], 1)).all()
    assert (numbers([1 << 32]) != numbers([2 << 32])).all(), "seeds that share their low bits draw the same"
    assert np.isfinite(numbers([-1])).all()


def adam_gap(steps: int = 30) -> float:
    """How far our steps lead from those of the paper (Kingma & Ba 2014, algorithm 1), in float64."""
    ours, theirs, m, v = np.zeros(4), np.zeros(4), np.zeros(4), np.zeros(4)
    climb = adam(0.05)
    for t in range(1, steps + 1):
        gradient = np.array([1.0, -2.0, 0.001, np.sin(t)])
        ours = ours + climb(torch.from_numpy(gradient)).numpy()
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        theirs += 0.05 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return float(np.abs(ours - theirs).max())


def test_adam_is_the_papers() -> None:
    assert adam_gap() < 1e-12


def test_mutant_adam_without_its_correction_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "atlas.inversion.optimisers.torch.lerp", lambda new, old, share: share * old + (1 - share) * new * 1.1
    )
    assert adam_gap() > 1e-12
