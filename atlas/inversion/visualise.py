"""Draw pictures of what units, layers, directions and classes want to see, many in one batch, and say how they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from atlas.arrays import Byte, Float, Int, Layer
from atlas.inversion.draws import Draws, start
from atlas.inversion.fidelity import batches
from atlas.inversion.icons import as_bytes
from atlas.inversion.objectives import LOGITS, PICTURE, Objective, Seen, each
from atlas.inversion.parameterisations import Parameterisation
from atlas.inversion.recipes import PictureRecipe
from atlas.inversion.redirected_relu import redirecting
from atlas.inversion.render import Progress, See, device_of, frozen, look, render
from atlas.inversion.transforms import Transform, resize
from atlas.model.activations import Recordable, recording

Logits = Callable[[object], Tensor]
"""Finds the class scores `b k` in a model's output."""

Aims = Callable[[Int], Objective]
"""Gives the objective of a batch made of the pictures of these numbers, one value for each."""

Size = tuple[int, int]

MOVED = 1e-6
"""By what part of itself a value must have moved, or the unit counts as dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visualised:
    """Pictures `n h w 3`, with what they reach as they are published: plain, in bytes.

    `value` is that of what was told of, or of the aim; `best` that of the judge, or of the aim. `dead` are those whose
    best is what it was for the first picture and is for plain grey: nothing excites them.
    """

    pictures: Byte
    value: Float
    best: Float
    dead: NDArray[np.bool_]


def singly(objectives: Sequence[Objective]) -> Aims:
    """Give each picture an objective of its own, whatever it is."""
    return lambda rows: each([objectives[row] for row in rows])


def visualise(
    model: nn.Module | Recordable,
    aims: Aims,
    layers: Sequence[Layer],
    *,
    recipe: PictureRecipe,
    seeds: Sequence[int] | Int,
    mean: Sequence[float],
    std: Sequence[float],
    size: Size = (96, 96),
    own_size: Size = (224, 224),
    logits: Logits | None = None,
    judge: Aims | None = None,
    told: Aims | None = None,
    spectrum: Float | None = None,
    batch: int = 16,
    tries: int = 1,
    progress: Progress | None = None,
) -> Visualised:
    """Draw a picture of `size` (height, width) for each of the seeds, to do what its aim says.

    `layers` are those that aims name: a pass ends after the last of them. With `logits` it goes on to the end, and
    aims may name LOGITS. Where the net takes no pictures of the size, they are stretched to `own_size` for it.
    Dead ones are drawn again with other numbers, up to `tries` times in all. `progress` is told of pictures done and
    to do. A picture depends on its aim, its seed, the size of the batch and on no other, but where the aim couples
    them: the last batch is filled up by repeating its last picture, so let aims that couple fill their batches.
    Raise ValueError for a model in training mode, for a size it can't take, and for a style that lacks its spectrum.
    """
    if not len(seeds):
        raise ValueError("no pictures to draw; give a seed for each")
    numbers = np.asarray(seeds, dtype=np.int64)
    with frozen(model):
        device, tell = device_of(model), progress or (lambda done, total: None)
        plain = witness(model, layers, mean, std, logits)
        see, fit = fitting(plain, recipe, size, own_size, len(mean), device)
        # To the end of the model nothing is gained by the way of `look`, which may do several operations in one.
        quick = see if logits is not None else _fitted(look(model, layers, mean, std), fit)
        drawer = _Drawer(
            see,
            quick,
            aims,
            judge or aims,
            told or aims,
            recipe,
            size,
            tuple(mean),
            tuple(std),
            spectrum,
            batch,
            device,
        )
        return _repeatedly(drawer, numbers, tries, tell)


def witness(
    model: nn.Module | Recordable,
    layers: Sequence[Layer],
    mean: Sequence[float],
    std: Sequence[float],
    logits: Logits | None = None,
) -> See:
    """Make the function that shows pictures to a model, operation by operation as it is written.

    The pass goes up to the last of the layers, or with `logits` to the model's end.
    """
    device, wanted = device_of(model), {layer.name: layer for layer in layers}
    shift, scale = (torch.tensor(v, dtype=torch.float32, device=device).view(1, -1, 1, 1) for v in (mean, std))

    def see(pictures: Tensor) -> Seen:
        seen: dict[str, Tensor] = {}
        shown = ((pictures - shift) / scale).contiguous(memory_format=torch.channels_last)
        with recording(model, wanted, seen.__setitem__, stop=logits is None) as run:
            output = run(shown)
        if logits is not None:
            seen[LOGITS] = logits(output)[:, :, None, None]
        return seen

    return see


def fitting(
    see: See, recipe: PictureRecipe, size: Size, own: Size, channels: int, device: torch.device
) -> tuple[See, Transform | None]:
    """Give a `see` that takes pictures of `size`, plain and moved: as they are, or else stretched to the net's own.

    The second value is what stretches them, or None. Raise ValueError where pictures are too small for the style's
    moves, and for a net that takes neither.
    """
    grey = torch.full((2, channels, *size), 0.5, device=device)
    try:
        moved = recipe.moves()(grey, start(range(2)))
    except (RuntimeError, ValueError):
        raise ValueError(
            f"pictures of {size[0]} × {size[1]} pixels are too small for the moves of style {recipe.name}"
        ) from None
    refusals: list[str] = []
    for fit in (None, resize(*own)):
        shown = _fitted(see, fit)
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


def values(see: See, aims: Aims, pictures: Byte, channels: int, batch: int, device: torch.device) -> Float:
    """Give what each picture `n h w 3` reaches of its aim, plain and in bytes: `n`."""
    found = []
    for chosen in batches(len(pictures), batch):
        shown = torch.from_numpy(pictures[chosen][..., :channels]).to(device).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            found.append(aims(chosen).value({PICTURE: shown, **see(shown)}).float().cpu().numpy())
    return np.concatenate(found)[: len(pictures)]


@dataclass(frozen=True, slots=True)
class _Drawer:
    """Draws pictures in batches of one size."""

    see: See
    quick: See
    aims: Aims
    judge: Aims
    told: Aims
    recipe: PictureRecipe
    size: Size
    mean: tuple[float, ...]
    std: tuple[float, ...]
    spectrum: Float | None
    batch: int
    device: torch.device

    def canvas(self) -> Parameterisation:
        return self.recipe.parameterisation(*self.size, self.mean, self.std, self.spectrum)

    def draw(self, rows: Int, seeds: Int, attempt: int, tell: Progress) -> Visualised:
        """Draw the pictures of these numbers; `tell` counts them by the steps done."""
        done, resting = [], []
        for number, chosen in enumerate(batches(len(rows), self.batch)):
            first, width = number * self.batch, min(self.batch, len(rows) - number * self.batch)

            def tick(step: int, steps: int, first: int = first, width: int = width) -> None:
                tell(first + width * step // steps, len(rows))

            made = self._batch(rows[chosen], start(seeds[chosen], attempt), tick)
            done.append(as_bytes(made)[:width])
            with torch.no_grad():
                begun = self.canvas().picture(self.canvas().initial(start(seeds[chosen], attempt)).to(self.device))
            resting.append(as_bytes(begun.clamp(0, 1))[:width])
        return self._judged(rows, np.concatenate(done), np.concatenate(resting))

    def _batch(self, rows: Int, draws: Draws, tick: Progress) -> Tensor:
        objective, penalty = self.aims(rows), self.recipe.penalty(self.mean, self.std)
        aim = of_views(objective, self.recipe.views)
        return render(
            redirecting(self.see, self.recipe.redirect, self.quick),
            aim if penalty is None else aim + penalty,
            self.canvas(),
            draws,
            steps=self.recipe.steps,
            ascent=self.recipe.ascent(),
            transform=self.recipe.moves(),
            device=self.device,
            progress=tick,
        )

    def _judged(self, rows: Int, pictures: Byte, first: Byte) -> Visualised:
        def measured(aims: Aims, shown: Byte) -> Float:
            return values(self.see, lambda at: aims(rows[at]), shown, len(self.mean), self.batch, self.device)

        best = measured(self.judge, pictures)
        rests = [measured(self.judge, shown) for shown in (first, np.full_like(pictures, 128))]
        still = [np.abs(best - rest) <= MOVED * np.abs(rest) for rest in rests]
        value = best if self.judge is self.told else measured(self.told, pictures)
        return Visualised(pictures=pictures, value=value, best=best, dead=np.logical_and(*still))


def of_views(objective: Objective, views: int) -> Objective:
    """Average an objective over the views of each picture, which the pass shows one batch after the other."""
    if views == 1:
        return objective

    def value(seen: Seen) -> Tensor:
        cut = {name: maps.chunk(views) if name != PICTURE else [maps] * views for name, maps in seen.items()}
        return torch.stack([objective.value({n: maps[i] for n, maps in cut.items()}) for i in range(views)]).mean(0)

    return Objective(objective.layers, value)


def _repeatedly(drawer: _Drawer, seeds: Int, tries: int, tell: Progress) -> Visualised:
    """Draw all, and again those that are dead."""
    found = drawer.draw(np.arange(len(seeds)), seeds, 0, tell)
    for attempt in range(1, tries):
        todo = np.flatnonzero(found.dead)
        if not len(todo):
            break
        more = drawer.draw(todo, seeds[todo], attempt, lambda done, total: tell(len(seeds), len(seeds)))
        for name in ("pictures", "value", "best", "dead"):
            getattr(found, name)[todo] = getattr(more, name)
    return found


def _fitted(see: See, fit: Transform | None) -> See:
    return see if fit is None else lambda pictures: see(fit(pictures, ()))
