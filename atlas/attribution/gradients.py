"""The gradient of a score with respect to the picture: alone, times the input, averaged over noise, or along a path."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from atlas.attribution.scores import Score, values

CHUNK = 8
"""Pictures per pass of SmoothGrad and integrated gradients."""


def gradient(module: nn.Module, x: Tensor, score: Score) -> Tensor:
    """Return ∂score/∂x, `b c h w` (Simonyan et al. 2013, section 3)."""
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        return input_gradient(values(module, score, leaf), leaf)


def gradient_x_input(module: nn.Module, x: Tensor, score: Score) -> Tensor:
    """Return x · ∂score/∂x, `b c h w`, for the input as the model receives it."""
    from captum.attr import InputXGradient

    with torch.enable_grad():
        results: Tensor = InputXGradient(_forward(module, score)).attribute(x.detach().requires_grad_())
    return results.detach()


def smoothgrad(
    module: nn.Module, x: Tensor, score: Score, *, samples: int = 25, noise: float = 0.15, seed: int = 0
) -> Tensor:
    """Return the mean gradient over noisy copies of the picture, `b c h w` (Smilkov et al. 2017).

    The noise is normal with deviation `noise` × (largest − smallest value) of each picture, and does not depend on the
    picture's batch.
    """
    from captum.attr import NoiseTunnel, Saliency

    if samples < 1 or noise < 0:
        raise ValueError(f"SmoothGrad takes at least 1 sample and noise of at least 0, not {samples} and {noise}")
    tunnel = NoiseTunnel(Saliency(_forward(module, score)))
    results = []
    for one in _split(x.detach()):
        deviation = noise * float(one.max() - one.min())
        with torch.enable_grad(), _seeded(seed, x.device):
            results.append(
                tunnel.attribute(
                    one.requires_grad_(),
                    nt_type="smoothgrad",
                    nt_samples=samples,
                    nt_samples_batch_size=min(samples, CHUNK),
                    stdevs=deviation,
                    abs=False,
                ).detach()
            )
    return torch.cat(results)


def integrated_gradients(
    module: nn.Module, x: Tensor, score: Score, *, baseline: Tensor | None = None, steps: int = 50
) -> Tensor:
    """Return the gradient's integral from the baseline to the picture, times their difference, `b c h w`.

    Sundararajan et al. 2017; Gauss-Legendre quadrature with `steps` nodes. The baseline is `1 c h w` or `b c h w`; by
    default zeros, the mean colour of a normalised input. The sum tends to score(x) − score(baseline): see
    `completeness_gap`.
    """
    from captum.attr import IntegratedGradients

    if steps < 1:
        raise ValueError(f"integrated gradients take at least 1 step, not {steps}")
    start = torch.zeros_like(x[:1]) if baseline is None else baseline.to(x)
    results = []
    for one, base in zip(_split(x.detach()), _split(start.expand_as(x)), strict=True):
        with torch.enable_grad():
            results.append(
                IntegratedGradients(_forward(module, score))
                .attribute(one.requires_grad_(), baselines=base, n_steps=steps, internal_batch_size=CHUNK)
                .detach()
            )
    return torch.cat(results)


def completeness_gap(
    module: nn.Module, x: Tensor, score: Score, attribution: Tensor, baseline: Tensor | None = None
) -> Tensor:
    """Return an attribution's sum minus (score(x) − score(baseline)), `b`: 0 if it is complete."""
    start = torch.zeros_like(x) if baseline is None else baseline.to(x).expand_as(x)
    with torch.no_grad():
        difference = values(module, score, x) - values(module, score, start)
    return attribution.flatten(1).sum(1) - difference


def input_gradient(score: Tensor, leaf: Tensor) -> Tensor:
    """Return ∂ sum(score)/∂leaf; raises ValueError if the score does not depend on the picture."""
    gradient = torch.autograd.grad(score.sum(), leaf, allow_unused=True)[0] if score.requires_grad else None
    if gradient is None:
        raise ValueError("the score does not depend on the picture by any gradient")
    return gradient


def _split(x: Tensor) -> list[Tensor]:
    """Split a batch into its pictures, `1 c h w` each."""
    return [x[i : i + 1] for i in range(len(x))]


def _forward(module: nn.Module, score: Score) -> Callable[[Tensor], Tensor]:
    return functools.partial(values, module, score)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators, which captum draws from, and restore them afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed & ((1 << 63) - 1))
        yield
