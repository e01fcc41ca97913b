"""Draw pictures that excite units, layers, directions and classes, in batches, and evaluate them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from atlas.arrays import Byte, Float, Int, Layer
from atlas.inversion.draws import Draws, start_draws
from atlas.inversion.fidelity import batches
from atlas.inversion.objectives import LOGITS, PICTURE, Activations, Objective, per_picture
from atlas.inversion.parameterisations import Parameterisation
from atlas.inversion.pool import as_bytes
from atlas.inversion.recipes import IconRecipe, PictureRecipe
from atlas.inversion.redirected_relu import redirecting
from atlas.inversion.render import Forward, Progress, device_of, frozen, layer_forward, render
from atlas.inversion.transforms import Transform, resize
from atlas.model.activations import Recordable, recording

Logits = Callable[[object], Tensor]
"""Extracts the class scores `b k` from a model's output."""

BatchObjective = Callable[[Int], Objective]
"""Returns the objective for a batch of the pictures with these numbers, one value for each."""

Size = tuple[int, int]

MOVED = 1e-6
"""Relative change of the value below which the unit counts as dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visualised:
    """Pictures `n h w 3`, with the values they reach as published: untransformed, in bytes.

    `value` is that of the metric, `best` that of the judge; both default to the objective. `dead` are those whose `best`
    equals that of the initial picture and of plain grey: nothing excites them.
    """

    pictures: Byte
    value: Float
    best: Float
    dead: NDArray[np.bool_]


def objective_per_picture(objectives: Sequence[Objective]) -> BatchObjective:
    """Give each picture its own objective, of any kind."""
    return lambda rows: per_picture([objectives[row] for row in rows])


def visualise(
    model: nn.Module | Recordable,
    objective_of: BatchObjective,
    layers: Sequence[Layer],
    *,
    recipe: PictureRecipe,
    seeds: Sequence[int] | Int,
    mean: Sequence[float],
    std: Sequence[float],
    size: Size = (96, 96),
    own_size: Size = (224, 224),
    logits: Logits | None = None,
    judge: BatchObjective | None = None,
    metric: BatchObjective | None = None,
    spectrum: Float | None = None,
    batch: int = 16,
    tries: int = 1,
    progress: Progress | None = None,
) -> Visualised:
    """Draw a picture of `size` (height, width) for each of the seeds, to maximise its objective.

    `layers` are those that objectives name: a pass ends after the last of them. With `logits` it runs to the end, and
    objectives may name LOGITS. If the net does not accept pictures of the size, they are stretched to `own_size`.
    Dead ones are redrawn from different random numbers, up to `tries` times in all. `progress` receives the pictures
    done and their total. A picture depends on its objective, its seed and the batch size, not on other pictures, unless
    the objective couples them: the last batch is padded by repeating its last picture, so objectives that couple
    pictures should fill their batches. Raises ValueError for a model in training mode, for a size it does not accept,
    and for a recipe that lacks its spectrum.
    """
    if not len(seeds):
        raise ValueError("no pictures to draw; give a seed for each")
    numbers = np.asarray(seeds, dtype=np.int64)
    with frozen(model):
        device, report = device_of(model), progress or (lambda done, total: None)
        plain = unfused_forward(model, layers, mean, std, logits)
        forward, resizing = fit_forward(plain, recipe, size, own_size, len(mean), device)
        # For a pass to the end of the model, fusing operators gains nothing.
        fused = forward if logits is not None else _resized_forward(layer_forward(model, layers, mean, std), resizing)
        drawer = _Drawer(
            forward,
            fused,
            objective_of,
            judge or objective_of,
            metric or objective_of,
            recipe,
            size,
            tuple(mean),
            tuple(std),
            spectrum,
            batch,
            device,
        )
        return _draw_with_retries(drawer, numbers, tries, report)


def unfused_forward(
    model: nn.Module | Recordable,
    layers: Sequence[Layer],
    mean: Sequence[float],
    std: Sequence[float],
    logits: Logits | None = None,
) -> Forward:
    """Return a function that normalises pictures and runs the model as written, without fusing operators.

    The pass ends after the last of the layers, or with `logits` at the model's end.
    """
    device, wanted = device_of(model), {layer.name: layer for layer in layers}
    shift, scale = (torch.tensor(v, dtype=torch.float32, device=device).view(1, -1, 1, 1) for v in (mean, std))

    def forward(pictures: Tensor) -> Activations:
        activations: dict[str, Tensor] = {}
        shown = ((pictures - shift) / scale).contiguous(memory_format=torch.channels_last)
        with recording(model, wanted, activations.__setitem__, stop=logits is None) as run:
            output = run(shown)
        if logits is not None:
            activations[LOGITS] = logits(output)[:, :, None, None]
        return activations

    return forward


def transform_grey(recipe: IconRecipe | PictureRecipe, grey: Tensor) -> Tensor:
    """Return two grey pictures, transformed by a recipe. Raises ValueError if they are too small for it."""
    try:
        return recipe.build_transform()(grey, start_draws(range(len(grey))))
    except (RuntimeError, ValueError):
        height, width = grey.shape[2:]
        message = f"pictures of {height} × {width} pixels are too small for the transforms of recipe {recipe.name}"
        raise ValueError(message) from None


def fit_forward(
    forward: Forward, recipe: PictureRecipe, size: Size, own: Size, channels: int, device: torch.device
) -> tuple[Forward, Transform | None]:
    """Return a `forward` for pictures of `size`, plain or transformed: at that size, or else stretched to the net's own.

    The second value is the transform that stretches them, or None. Raises ValueError if pictures are too small for the
    recipe's transforms, and for a net that accepts neither size.
    """
    grey = torch.full((2, channels, *size), 0.5, device=device)
    moved = transform_grey(recipe, grey)
    refusals: list[str] = []
    for fit in (None, resize(*own)):
        shown = _resized_forward(forward, fit)
        try:
            with torch.no_grad():
                shown(grey)
                shown(moved)
        except (RuntimeError, ValueError, AssertionError) as error:
            refusals.append(str(error).partition("\n")[0])
        else:
            return shown, fit
    raise ValueError(
        f"the model takes pictures neither of {size[0]} × {size[1]} pixels ({refusals[0]}) "
        f"nor of its own {own[0]} × {own[1]} ({refusals[1]})"
    )


def values(
    forward: Forward, objective_of: BatchObjective, pictures: Byte, channels: int, batch: int, device: torch.device
) -> Float:
    """Return the objective's value for each picture `n h w 3`, untransformed and in bytes, `n`."""
    results = []
    for chosen in batches(len(pictures), batch):
        shown = torch.from_numpy(pictures[chosen][..., :channels]).to(device).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            results.append(objective_of(chosen).value({PICTURE: shown, **forward(shown)}).float().cpu().numpy())
    return np.concatenate(results)[: len(pictures)]


@dataclass(frozen=True, slots=True)
class _Drawer:
    """Draws pictures in batches of one size."""

    forward: Forward
    fused: Forward
    objective_of: BatchObjective
    judge: BatchObjective
    metric: BatchObjective
    recipe: PictureRecipe
    size: Size
    mean: tuple[float, ...]
    std: tuple[float, ...]
    spectrum: Float | None
    batch: int
    device: torch.device

    def canvas(self) -> Parameterisation:
        return self.recipe.parameterisation(*self.size, self.mean, self.std, self.spectrum)

    def draw(self, rows: Int, seeds: Int, attempt: int, report: Progress) -> Visualised:
        """Draw the pictures with these numbers; `report` receives those done, by steps."""
        pictures, starts = [], []
        for number, chosen in enumerate(batches(len(rows), self.batch)):
            first, width = number * self.batch, min(self.batch, len(rows) - number * self.batch)

            def tick(step: int, steps: int, first: int = first, width: int = width) -> None:
                report(first + width * step // steps, len(rows))

            drawn = self._draw_batch(rows[chosen], start_draws(seeds[chosen], attempt), tick)
            pictures.append(as_bytes(drawn)[:width])
            with torch.no_grad():
                first_picture = self.canvas().picture(
                    self.canvas().initial(start_draws(seeds[chosen], attempt)).to(self.device)
                )
            starts.append(as_bytes(first_picture.clamp(0, 1))[:width])
        return self._evaluate(rows, np.concatenate(pictures), np.concatenate(starts))

    def _draw_batch(self, rows: Int, draws: Draws, tick: Progress) -> Tensor:
        objective, penalty = self.objective_of(rows), self.recipe.penalty(self.mean, self.std)
        aim = of_views(objective, self.recipe.views)
        return render(
            redirecting(self.forward, self.recipe.redirect, self.fused),
            aim if penalty is None else aim + penalty,
            self.canvas(),
            draws,
            steps=self.recipe.steps,
            optimiser=self.recipe.build_optimiser(),
            transform=self.recipe.build_transform(),
            device=self.device,
            progress=tick,
        )

    def _evaluate(self, rows: Int, pictures: Byte, first: Byte) -> Visualised:
        def measured(objective_of: BatchObjective, shown: Byte) -> Float:
            return values(
                self.forward, lambda at: objective_of(rows[at]), shown, len(self.mean), self.batch, self.device
            )

        best = measured(self.judge, pictures)
        rests = [measured(self.judge, shown) for shown in (first, np.full_like(pictures, 128))]
        still = [np.abs(best - rest) <= MOVED * np.abs(rest) for rest in rests]
        value = best if self.judge is self.metric else measured(self.metric, pictures)
        return Visualised(pictures=pictures, value=value, best=best, dead=np.logical_and(*still))


def of_views(objective: Objective, views: int) -> Objective:
    """Average an objective over the views of each picture; the pass holds one view of all pictures after the other."""
    if views == 1:
        return objective

    def value(activations: Activations) -> Tensor:
        cut = {name: maps.chunk(views) if name != PICTURE else [maps] * views for name, maps in activations.items()}
        return torch.stack([objective.value({n: maps[i] for n, maps in cut.items()}) for i in range(views)]).mean(0)

    return Objective(objective.layers, value)


def _draw_with_retries(drawer: _Drawer, seeds: Int, tries: int, report: Progress) -> Visualised:
    """Draw all pictures, and redraw the dead ones."""
    results = drawer.draw(np.arange(len(seeds)), seeds, 0, report)
    for attempt in range(1, tries):
        dead = np.flatnonzero(results.dead)
        if not len(dead):
            break
        retried = drawer.draw(dead, seeds[dead], attempt, lambda done, total: report(len(seeds), len(seeds)))
        for name in ("pictures", "value", "best", "dead"):
            getattr(results, name)[dead] = getattr(retried, name)
    return results


def _resized_forward(forward: Forward, fit: Transform | None) -> Forward:
    return forward if fit is None else lambda pictures: forward(fit(pictures, ()))
