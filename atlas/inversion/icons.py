"""Draw the icons of a grid's cells, each with the proof that the model sees its cell in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from atlas.arrays import Byte, Float, Icons, Int, Layer
from atlas.inversion.draws import start
from atlas.inversion.fidelity import EPSILON, Proof, batches, plain_activations, prove
from atlas.inversion.initial_colour import InitialColour, grounds
from atlas.inversion.optimisers import adam
from atlas.inversion.recipes import IconRecipe
from atlas.inversion.render import Progress, See, device_of, frozen, look, render
from atlas.inversion.whitening import whitener
from atlas.model.activations import Recordable

Size = tuple[int, int]


def icons(
    model: nn.Module | Recordable,
    layer: Layer,
    targets: Float,
    moment: NDArray[np.floating],
    *,
    recipe: IconRecipe,
    seeds: Sequence[int] | Int,
    mean: Sequence[float],
    std: Sequence[float],
    size: int = 96,
    own_size: Size = (224, 224),
    batch: int = 16,
    tries: int = 3,
    only: Sequence[int] | Int | None = None,
    progress: Progress | None = None,
) -> Icons:
    """Draw an icon for each cell mean of `targets` (`n c`), or for its rows `only`; ranks count among all n.

    `moment` is the second moment of the layer's samples; `seeds` has a number for each cell. Icons are `size` pixels
    square, or the net's `own_size` (height, width) where it takes no other. Weak ones are drawn again with other
    numbers, up to `tries` times in all, and the best is kept. `progress` is told of icons done and to do.
    A try depends on its target, its seed, the size of the batch and on no other cell; whether there is a further try
    depends on the rank. A layer that never fires, whose moment is 0, has nothing to draw: its icons are grey, and weak
    after no try. Raise ValueError for targets that are not finite, and for a model in training mode.
    """
    targets = np.ascontiguousarray(targets, dtype=np.float32)
    rows = np.arange(len(targets)) if only is None else np.asarray(only, dtype=np.int64)
    numbers = np.asarray(seeds, dtype=np.int64)
    _check(targets, numbers, rows, tries)
    with frozen(model):
        see, device = look(model, [layer], mean, std), device_of(model)
        shape = usable_size(see, (size, size), own_size, len(mean), device)
        fixed = None if shape == (size, size) else shape
        if not len(rows) or not np.any(moment):
            return _blank(len(rows), len(targets), shape)
        metric = recipe.metric(moment)
        ground = _ground(see, layer.name, targets, recipe, metric, shape, len(mean), batch, device)
        drawer = _Drawer(see, layer.name, recipe, metric, ground, shape, fixed, len(mean), batch, device)
        whiten = whitener(moment, EPSILON).numpy()

        def draw(cells: Int, attempt: int, tell: Progress) -> Byte:
            return drawer.draw(targets, cells, numbers[cells], attempt, tell)

        def judge(pictures: Byte, cells: Int) -> Proof:
            return prove(
                plain_activations(see, layer.name, pictures[..., : len(mean)], batch, device), targets, cells, whiten
            )

        return _best_of(draw, judge, rows, tries, progress or (lambda done, total: None))


def usable_size(see: See, asked: Size, own: Size, channels: int, device: torch.device) -> Size:
    """Give the size asked for if the net takes pictures of it, else its own; raise ValueError if it takes neither."""
    refusals: list[str] = []
    for size in (asked, own):
        try:
            with torch.no_grad():
                see(torch.full((2, channels, *size), 0.5, device=device))
        except (RuntimeError, ValueError, AssertionError) as error:
            refusals.append(f"{size[0]}×{size[1]}: {error}")
        else:
            return size
    raise ValueError("the model takes pictures neither of the size asked for nor of its own; " + "; ".join(refusals))


def as_bytes(pictures: Tensor) -> Byte:
    """Round pictures `b c h w` in 0..1 to bytes `b h w 3`; one channel is repeated."""
    rounded = (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return np.ascontiguousarray(rounded if rounded.shape[3] == 3 else rounded.repeat(3, axis=3))


@dataclass(frozen=True, slots=True)
class _Drawer:
    """Draws plain icons by a recipe, in batches of one size."""

    see: See
    layer: str
    recipe: IconRecipe
    metric: Tensor
    ground: InitialColour | None
    shape: Size
    fixed: Size | None
    channels: int
    batch: int
    device: torch.device

    def draw(self, targets: Float, cells: Int, seeds: Int, attempt: int, tell: Progress) -> Byte:
        """Give an icon `h w 3` for each of the cells, rows of `targets`; `tell` counts them by the steps done."""
        done: list[Byte] = []
        for number, chosen in enumerate(batches(len(cells), self.batch)):
            first, width = number * self.batch, min(self.batch, len(cells) - number * self.batch)
            ground = None if self.ground is None else self.ground.at(cells[chosen])

            def tick(step: int, steps: int, first: int = first, width: int = width) -> None:
                tell(first + width * step // steps, len(cells))

            pictures = render(
                self.see,
                self.recipe.objective(self.layer, torch.from_numpy(targets[cells[chosen]]), self.metric),
                self.recipe.parameterisation(*self.shape, self.channels, ground, attempt),
                start(seeds[chosen], attempt),
                steps=self.recipe.steps,
                ascent=adam(self.recipe.rate),
                transform=self.recipe.moves(self.fixed),
                device=self.device,
                progress=tick,
            )
            done.append(as_bytes(pictures)[:width])
        return np.concatenate(done)


def _ground(
    see: See,
    layer: str,
    targets: Float,
    recipe: IconRecipe,
    metric: Tensor,
    shape: Size,
    channels: int,
    batch: int,
    device: torch.device,
) -> InitialColour | None:
    if recipe.calm is None or recipe.window is None:
        return None
    return grounds(
        see, layer, targets, metric, shape=shape, channels=channels, window=recipe.window, batch=batch, device=device
    )


def _best_of(
    draw: Callable[[Int, int, Progress], Byte],
    judge: Callable[[Byte, Int], Proof],
    rows: Int,
    tries: int,
    tell: Progress,
) -> Icons:
    """Draw all cells, then again those that are weak, and keep the best of each."""
    total = len(rows)
    pictures = draw(rows, 0, tell)
    proof, taken = judge(pictures, rows), np.ones(total, dtype=np.int64)
    for attempt in range(1, tries):
        todo = np.flatnonzero(proof.weak())
        if not len(todo):
            break
        before, total = total, total + len(todo)
        drawn = draw(rows[todo], attempt, _shifted(tell, before, total))
        found = judge(drawn, rows[todo])
        won = found.better(proof.at(todo))
        pictures[todo[won]] = drawn[won]
        proof, taken[todo] = proof.replaced(todo[won], found.at(won)), attempt + 1
    return Icons(pictures=pictures, cosine=proof.cosine, rank=proof.rank, tries=taken, weak=proof.weak())


def _blank(count: int, cells: int, shape: Size) -> Icons:
    return Icons(
        pictures=np.full((count, *shape, 3), 128, np.uint8),
        cosine=np.zeros(count, np.float32),
        rank=np.full(count, cells, np.int64),
        tries=np.zeros(count, np.int64),
        weak=np.ones(count, np.bool_),
    )


def _shifted(tell: Progress, before: int, total: int) -> Progress:
    return lambda done, _: tell(before + done, total)


def _check(targets: Float, seeds: Int, rows: Int, tries: int) -> None:
    if len(seeds) != len(targets):
        raise ValueError(f"{len(seeds)} seeds for {len(targets)} cells; give one for each")
    if tries < 1:
        raise ValueError(f"tries is {tries}; it must be at least 1")
    bad = np.flatnonzero(~np.isfinite(targets).all(axis=1))
    if len(bad):
        raise ValueError(f"the means of cells {bad[:5].tolist()} are not finite; leave such samples out of the cells")
