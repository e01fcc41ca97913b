"""Draw the icons of a grid's cells and measure the fidelity of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from atlas.arrays import Byte, Float, Icons, Int, Layer
from atlas.inversion.draws import start_draws
from atlas.inversion.fidelity import Fidelity, batches, measure_fidelity, plain_activations
from atlas.inversion.initial_colour import InitialColour, initial_colours
from atlas.inversion.optimisers import adam
from atlas.inversion.recipes import IconRecipe
from atlas.inversion.render import Forward, Progress, device_of, frozen, layer_forward, render
from atlas.inversion.whitened import EPSILON
from atlas.inversion.whitening import whitener
from atlas.model.activations import Recordable
from atlas.model.gradient_flow import why_no_gradient

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
    square, or `own_size` (height, width) if the net accepts no other. Weak ones are redrawn from different random
    numbers, up to `tries` times in all, and the best is returned. `progress` receives the icons done and their total.
    A try depends on its target, its seed and the batch size, not on other cells; whether there is another try depends
    on the rank. A layer that never fires, whose moment is 0, has nothing to draw: its icons are grey, and weak after 0
    tries; so are those of a layer that no gradient reaches. Raises ValueError for targets that are not finite, and for a
    model in training mode.
    """
    targets = np.ascontiguousarray(targets, dtype=np.float32)
    rows = np.arange(len(targets)) if only is None else np.asarray(only, dtype=np.int64)
    numbers = np.asarray(seeds, dtype=np.int64)
    _check(targets, numbers, rows, tries)
    with frozen(model):
        forward, device = layer_forward(model, [layer], mean, std), device_of(model)
        shape = usable_size(forward, (size, size), own_size, len(mean), device)
        fixed = None if shape == (size, size) else shape
        if not len(rows) or not np.any(moment) or _without_gradient(model, layer, shape, len(mean)):
            return _grey_icons(len(rows), len(targets), shape)
        metric = recipe.metric(moment)
        initial = _initial_colours(forward, layer.name, targets, recipe, metric, shape, len(mean), batch, device)
        drawer = _Drawer(forward, layer.name, recipe, metric, initial, shape, fixed, len(mean), batch, device)
        whiten = whitener(moment, EPSILON).numpy()

        def draw(cells: Int, attempt: int, report: Progress) -> Byte:
            return drawer.draw(targets, cells, numbers[cells], attempt, report)

        def judge(pictures: Byte, cells: Int) -> Fidelity:
            return measure_fidelity(
                plain_activations(forward, layer.name, pictures[..., : len(mean)], batch, device),
                targets,
                cells,
                whiten,
            )

        return _draw_with_retries(draw, judge, rows, tries, progress or (lambda done, total: None))


def usable_size(forward: Forward, preferred: Size, own: Size, channels: int, device: torch.device) -> Size:
    """Return the preferred size if the net accepts it, else its own; raises ValueError if it accepts neither."""
    refusals: list[str] = []
    for size in (preferred, own):
        try:
            with torch.no_grad():
                forward(torch.full((2, channels, *size), 0.5, device=device))
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

    forward: Forward
    layer: str
    recipe: IconRecipe
    metric: Tensor
    initial: InitialColour | None
    shape: Size
    fixed: Size | None
    channels: int
    batch: int
    device: torch.device

    def draw(self, targets: Float, cells: Int, seeds: Int, attempt: int, report: Progress) -> Byte:
        """Draw an icon `h w 3` for each of the cells, rows of `targets`; `report` receives those done, by steps."""
        drawn: list[Byte] = []
        for number, chosen in enumerate(batches(len(cells), self.batch)):
            first, width = number * self.batch, min(self.batch, len(cells) - number * self.batch)
            initial = None if self.initial is None else self.initial.select(cells[chosen])

            def tick(step: int, steps: int, first: int = first, width: int = width) -> None:
                report(first + width * step // steps, len(cells))

            pictures = render(
                self.forward,
                self.recipe.objective(self.layer, torch.from_numpy(targets[cells[chosen]]), self.metric),
                self.recipe.parameterisation(*self.shape, self.channels, initial, attempt),
                start_draws(seeds[chosen], attempt),
                steps=self.recipe.steps,
                optimiser=adam(self.recipe.rate),
                transform=self.recipe.build_transform(self.fixed),
                device=self.device,
                progress=tick,
            )
            drawn.append(as_bytes(pictures)[:width])
        return np.concatenate(drawn)


def _initial_colours(
    forward: Forward,
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
    return initial_colours(
        forward,
        layer,
        targets,
        metric,
        shape=shape,
        channels=channels,
        window=recipe.window,
        batch=batch,
        device=device,
    )


def _draw_with_retries(
    draw: Callable[[Int, int, Progress], Byte],
    judge: Callable[[Byte, Int], Fidelity],
    rows: Int,
    tries: int,
    report: Progress,
) -> Icons:
    """Draw all cells, redraw the weak ones, and return the best icon of each."""
    total = len(rows)
    pictures = draw(rows, 0, report)
    fidelity, tries_used = judge(pictures, rows), np.ones(total, dtype=np.int64)
    for attempt in range(1, tries):
        weak = np.flatnonzero(fidelity.weak())
        if not len(weak):
            break
        before, total = total, total + len(weak)
        drawn = draw(rows[weak], attempt, _offset_progress(report, before, total))
        retried = judge(drawn, rows[weak])
        better = retried.better(fidelity.select(weak))
        pictures[weak[better]] = drawn[better]
        fidelity, tries_used[weak] = fidelity.with_rows(weak[better], retried.select(better)), attempt + 1
    return Icons(pictures=pictures, cosine=fidelity.cosine, rank=fidelity.rank, tries=tries_used, weak=fidelity.weak())


def _without_gradient(model: nn.Module | Recordable, layer: Layer, shape: Size, channels: int) -> bool:
    return bool(why_no_gradient(model, layer, torch.full((1, channels, *shape), 0.5, device=device_of(model))))


def _grey_icons(count: int, cells: int, shape: Size) -> Icons:
    return Icons(
        pictures=np.full((count, *shape, 3), 128, np.uint8),
        cosine=np.zeros(count, np.float32),
        rank=np.full(count, cells, np.int64),
        tries=np.zeros(count, np.int64),
        weak=np.ones(count, np.bool_),
    )


def _offset_progress(report: Progress, before: int, total: int) -> Progress:
    return lambda done, _: report(before + done, total)


def _check(targets: Float, seeds: Int, rows: Int, tries: int) -> None:
    if len(seeds) != len(targets):
        raise ValueError(f"{len(seeds)} seeds for {len(targets)} cells; give one for each")
    if tries < 1:
        raise ValueError(f"tries is {tries}; it must be at least 1")
    bad = np.flatnonzero(~np.isfinite(targets).all(axis=1))
    if len(bad):
        raise ValueError(f"the means of cells {bad[:5].tolist()} are not finite; leave such samples out of the cells")
