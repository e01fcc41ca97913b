"""The loop: numbers → picture → transform → layers → objective, and a step uphill on the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from atlas.arrays import Layer
from atlas.inversion.draws import Draws
from atlas.inversion.fused import Fused
from atlas.inversion.objectives import PICTURE, Objective, Seen
from atlas.inversion.optimisers import Step
from atlas.inversion.parameterisations import Parameterisation
from atlas.inversion.transforms import Transform, identity
from atlas.model.activations import Recordable, run_to

See = Callable[[Tensor], Seen]
"""Takes pictures `b c h w` in 0..1 to activations `b c h w` by layer name."""

Progress = Callable[[int, int], None]
"""Is told how much is done, and of how much."""


def render(
    see: See,
    objective: Objective,
    parameterisation: Parameterisation,
    draws: Draws,
    *,
    steps: int,
    ascent: Step,
    transform: Transform = identity,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Tensor:
    """Give pictures `b c h w` in 0..1 that score high on the objective, one for each of the draws.

    Each picture comes from its own draws and its own value, so it does not depend on the others of its batch.
    """
    numbers = parameterisation.initial(draws).to(device).requires_grad_()
    for step in range(steps):
        picture = parameterisation.picture(numbers)
        seen = {PICTURE: picture, **see(transform(picture, draws))}
        (gradient,) = torch.autograd.grad(objective.value(seen).sum(), [numbers])
        with torch.no_grad():
            numbers += ascent(gradient)
        if progress is not None:
            progress(step + 1, steps)
    with torch.no_grad():
        return parameterisation.picture(numbers).clamp(0, 1)


def look(model: nn.Module | Recordable, layers: Sequence[Layer], mean: Sequence[float], std: Sequence[float]) -> See:
    """Make the function that shows pictures to a model, normalised as it was trained, up to the last of the layers."""
    device = device_of(model)
    wanted = {layer.name: layer for layer in layers}
    shift = torch.tensor(mean, dtype=torch.float32, device=device).view(1, -1, 1, 1)
    scale = torch.tensor(std, dtype=torch.float32, device=device).view(1, -1, 1, 1)

    def see(pictures: Tensor) -> Seen:
        # A third of a step: channels-last convolutions are the fast ones on CPUs, and on GPUs in half precision.
        shown = ((pictures - shift) / scale).contiguous(memory_format=torch.channels_last)
        seen: dict[str, Tensor] = {}
        run_to(model, shown, wanted, seen.__setitem__)
        return seen

    return Fused(see)


def module_of(model: nn.Module | Recordable) -> nn.Module:
    """Give the module that runs, of a folded model too."""
    return model if isinstance(model, nn.Module) else model.module


def device_of(model: nn.Module | Recordable) -> torch.device:
    """Tell where a model's parameters live; the CPU if it has none."""
    return next((parameter.device for parameter in module_of(model).parameters()), torch.device("cpu"))


@contextmanager
def frozen(model: nn.Module | Recordable) -> Iterator[None]:
    """Spare the gradients of the parameters, a third of a backward pass, and give them back afterwards."""
    module = module_of(model)
    if module.training:
        raise ValueError(
            "the model is in training mode, where pictures of a batch share statistics; call .eval() first"
        )
    wanted = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)
