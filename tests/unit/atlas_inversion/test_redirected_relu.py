"""Redirected gradients against lucid's rule written out in numpy, for rectifiers in every spelling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.nets import RECTIFIERS, W1, W2, Chain, V
from torch import Tensor

from atlas.inversion import redirected_relu
from atlas.inversion.objectives import LOGITS, Activations
from atlas.inversion.redirected_relu import redirecting
from atlas.inversion.render import Forward

PIXELS = 4 * np.random.default_rng(0).standard_normal((60, 2))
LIMITED = ("relu6", "hardtanh", "of both")


def lucid_rule(x: np.ndarray, grad: np.ndarray, limit: float) -> np.ndarray:
    """redirected_relu_grad and redirected_relu6_grad for one picture; `grad` points downhill as there.

    The ends of the range stop the gradient, as torch has it.
    """
    plain = np.where((x <= 0) | (x >= limit), 0, grad)
    if np.linalg.norm(plain) > 0:
        return plain
    return np.where(((x <= 0) & (grad > 0)) | ((x >= limit) & (grad < 0)), 0, grad)


def by_lucid(pixel: np.ndarray, limit: float) -> np.ndarray:
    """The gradient uphill of V · relu(W2 · relu(W1 · x)), with redirected rectifiers."""
    w1, w2, v = np.array(W1), np.array(W2), np.array(V)
    first = w1 @ pixel
    second = w2 @ first.clip(0, limit)
    grad = lucid_rule(second, -v, limit)
    return -(w1.T @ lucid_rule(first, w2.T @ grad, limit))


def see_of(spelling: str, share: bool = False) -> Forward:
    net = Chain(RECTIFIERS[spelling], share=share)

    def see(pictures: Tensor) -> Activations:
        return {LOGITS: net(pictures * 1.0)[:, :, None, None]}

    return see


def gradient(see: Forward, pixels: np.ndarray = PIXELS) -> np.ndarray:
    x = torch.from_numpy(pixels).view(-1, 2, 1, 1).requires_grad_()
    (found,) = torch.autograd.grad(see(x)[LOGITS].sum(), [x])
    return found.view(-1, 2).numpy()


def gap(spelling: str, share: bool = False) -> float:
    limit = 6.0 if any(word in spelling for word in LIMITED) else np.inf
    wanted = np.array([by_lucid(pixel, limit) for pixel in PIXELS])
    return float(np.abs(gradient(redirecting(see_of(spelling, share))) - wanted).max())


@pytest.mark.parametrize("share", [False, True], ids=["apart", "shared"])
@pytest.mark.parametrize("spelling", RECTIFIERS)
def test_lucids_rule_in_every_spelling(spelling: str, share: bool) -> None:
    assert gap(spelling, share) < 1e-12


def test_the_pixels_put_every_case_to_the_test() -> None:
    plain, helped = gradient(see_of("relu6")), gradient(redirecting(see_of("relu6")))
    dead = (plain == 0).all(1)
    assert 5 < dead.sum() < 55
    assert (helped[dead] != 0).any()
    assert (plain != helped).any(1).sum() < dead.sum()
    np.testing.assert_array_equal(plain[~dead], helped[~dead])


def test_only_the_first_steps_are_redirected() -> None:
    see = redirecting(see_of("module"), steps=3)
    plain, helped = gradient(see_of("module")), gradient(redirecting(see_of("module")))
    for step in range(5):
        np.testing.assert_array_equal(gradient(see), helped if step < 3 else plain)
    np.testing.assert_array_equal(gradient(redirecting(see_of("module"), steps=0)), plain)
    assert redirected_relu.STEPS == 16


def test_mutant_a_rule_for_the_whole_batch_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = redirected_relu._rule

    def of_batch(node: object) -> object:
        rule = real(node)

        def shared(by_input: tuple[Tensor, ...], by_output: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return rule(by_input, by_output) if not by_input[0].any() else by_input

        return shared

    monkeypatch.setattr(redirected_relu, "_rule", of_batch)
    assert gap("module") > 0.1


def test_mutant_letting_everything_through_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        redirected_relu, "_rule", lambda node: lambda by_input, by_output: (by_output[0], *by_input[1:])
    )
    assert gap("functional") > 0.1


def test_mutant_forgetting_the_limit_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redirected_relu, "_limit", lambda node: None)
    assert gap("relu6") > 0.1
    assert gap("module") < 1e-12
