"""The optimisation loop: numbers → picture → transform → layers → objective, and an ascent step on the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.inversion.draws import Draws
from atlas.inversion.fused import Fused
from atlas.inversion.objectives import PICTURE, Activations, Objective
from atlas.inversion.optimisers import Optimiser
from atlas.inversion.parameterisations import Parameterisation
from atlas.inversion.transforms import Transform, identity
from atlas.model.activations import Recordable, run_to

Forward = Callable[[Tensor], Activations]
"""Maps pictures `b c h w` in 0..1 to activations `b c h w` by layer name."""

Progress = Callable[[int, int], None]
"""Receives the amount done and the total."""


def render(
    forward: Forward,
    objective: Objective,
    parameterisation: Parameterisation,
    draws: Draws,
    *,
    steps: int,
    optimiser: Optimiser,
    transform: Transform = identity,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Tensor:
    """Return pictures `b c h w` in 0..1 that maximise the objective, one for each of the draws.

    Each picture depends on its own draws and value only, not on the others in its batch.
    """
    numbers = parameterisation.initial(draws).to(device).requires_grad_()
    for step in range(steps):
        gradient = slope(forward, objective, parameterisation, transform, numbers, draws)
        with torch.no_grad():
            numbers += optimiser(gradient)
        if progress is not None:
            progress(step + 1, steps)
    with torch.no_grad():
        return parameterisation.picture(numbers).clamp(0, 1)


def slope(
    forward: Forward,
    objective: Objective,
    parameterisation: Parameterisation,
    transform: Transform,
    numbers: Tensor,
    draws: Draws,
) -> Tensor:
    """Return the gradient of the objective with respect to the numbers, for a transform of their pictures."""
    picture = parameterisation.picture(numbers)
    activations = {PICTURE: picture, **forward(transform(picture, draws))}
    (gradient,) = torch.autograd.grad(objective.value(activations).sum(), [numbers])
    return gradient


def layer_forward(
    model: nn.Module | Recordable, layers: Sequence[Layer], mean: Sequence[float], std: Sequence[float]
) -> Forward:
    """Return a function that normalises pictures and runs the model up to the last of the layers, fused."""
    device = device_of(model)
    wanted = {layer.name: layer for layer in layers}
    shift = torch.tensor(mean, dtype=torch.float32, device=device).view(1, -1, 1, 1)
    scale = torch.tensor(std, dtype=torch.float32, device=device).view(1, -1, 1, 1)

    def forward(pictures: Tensor) -> Activations:
        # Saves a third of a step: channels-last convolutions are faster on CPUs, and on GPUs in half precision.
        shown = ((pictures - shift) / scale).contiguous(memory_format=torch.channels_last)
        activations: dict[str, Tensor] = {}
        run_to(model, shown, wanted, activations.__setitem__)
        return activations

    return Fused(forward)


def module_of(model: nn.Module | Recordable) -> nn.Module:
    """Return the module that runs, also for a folded model."""
    return model if isinstance(model, nn.Module) else model.module


def device_of(model: nn.Module | Recordable) -> torch.device:
    """Return the device of a model's parameters; the CPU if it has none."""
    return next((parameter.device for parameter in module_of(model).parameters()), torch.device("cpu"))


@contextmanager
def frozen(model: nn.Module | Recordable) -> Iterator[None]:
    """Turn off the parameters' gradients, a third of a backward pass, and restore them afterwards."""
    module = module_of(model)
    if module.training:
        raise ValueError(
            "the model is in training mode, where pictures of a batch share statistics; call .eval() first"
        )
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
