"""Draw the icons of a grid's cells and measure the fidelity of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from atlas.arrays import Float, Icons, Int, Layer
from atlas.inversion.initial_colour import InitialColour, initial_colours
from atlas.inversion.pool import Attempt, Setting, Size, Starts, draw_all
from atlas.inversion.recipes import IconRecipe
from atlas.inversion.render import Forward, Progress, device_of, frozen, layer_forward
from atlas.inversion.whitened import EPSILON, directions
from atlas.inversion.whitening import whitener
from atlas.model.activations import Recordable
from atlas.model.gradient_flow import why_no_gradient


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
    starts: Starts | None = None,
    only: Sequence[int] | Int | None = None,
    progress: Progress | None = None,
) -> Icons:
    """Draw an icon for each cell mean of `targets` (`n c`), or for its rows `only`; ranks count among all n.

    `moment` is the second moment of the layer's samples; `seeds` has a number for each cell. Icons are `size` pixels
    square, or `own_size` (height, width) if the net accepts no other. Weak ones are redrawn from different random
    numbers, up to `tries` times in all, and the best is returned. Icons start from the pictures of `starts`; without,
    and when they are redrawn, from noise. `progress` receives the icons done and their total.
    An icon depends on its target, seed, start and the batch size, and on other cells by its rank alone. A layer that
    never fires, whose moment is 0, has nothing to draw: its icons are grey, and weak after 0 tries; so are those of a
    layer that no gradient reaches. Raises ValueError for targets that are not finite, and for a model in training mode.
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
        metric, whiten = recipe.metric(moment), whitener(moment, EPSILON).numpy()
        initial = _initial_colours(forward, layer.name, targets, rows, recipe, metric, shape, len(mean), batch, device)
        setting = Setting(
            forward,
            layer.name,
            targets,
            directions(targets, whiten),
            numbers,
            recipe,
            metric,
            whiten,
            initial,
            _of_shape(starts, shape),
            shape,
            fixed,
            len(mean),
            batch,
            device,
        )
        return _draw_with_retries(setting, rows, tries, progress or (lambda done, total: None))


def _of_shape(starts: Starts | None, shape: Size) -> Starts | None:
    """Return the starts if they have the shape of the icons, else none."""
    return starts if starts is not None and starts.pictures.shape[1:3] == shape else None


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


def _initial_colours(
    forward: Forward,
    layer: str,
    targets: Float,
    rows: Int,
    recipe: IconRecipe,
    metric: Tensor,
    shape: Size,
    channels: int,
    batch: int,
    device: torch.device,
) -> InitialColour | None:
    """Find the initial colours of the rows; those of other targets stay grey, as none of them is drawn."""
    if recipe.calm is None or recipe.window is None:
        return None
    colours = initial_colours(
        forward,
        layer,
        targets[rows],
        metric,
        shape=shape,
        channels=channels,
        window=recipe.window,
        batch=batch,
        device=device,
    )
    return None if colours is None else colours.spread(rows, len(targets))


def _draw_with_retries(setting: Setting, rows: Int, tries: int, report: Progress) -> Icons:
    """Draw all cells, redraw the weak ones, and return the best icon of each."""
    best: dict[int, Attempt] = {}
    tried: dict[int, int] = {}
    waiting = deque(Attempt(int(cell)) for cell in rows)
    steps = 0

    def finish(attempt: Attempt) -> None:
        nonlocal steps
        steps += attempt.steps
        tried[attempt.cell] = attempt.number + 1
        best[attempt.cell] = max(best.get(attempt.cell, attempt), attempt, key=Attempt.value)
        if best[attempt.cell].weak() and attempt.number + 1 < tries:
            waiting.append(Attempt(attempt.cell, attempt.number + 1))

    def tell(drawn: int, share: float) -> None:
        finished = sum(tried.values())
        report(finished + int(share), finished + drawn + len(waiting))

    draw_all(setting, waiting, finish, tell)
    attempts = [best[int(cell)] for cell in rows]
    return Icons(
        pictures=np.stack([attempt.picture for attempt in attempts if attempt.picture is not None]),
        cosine=np.array([attempt.cosine for attempt in attempts], np.float32),
        rank=np.array([attempt.rank for attempt in attempts], np.int64),
        tries=np.array([tried[int(cell)] for cell in rows], np.int64),
        weak=np.array([attempt.weak() for attempt in attempts], np.bool_),
        steps=steps,
    )


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


def _check(targets: Float, seeds: Int, rows: Int, tries: int) -> None:
    if len(seeds) != len(targets):
        raise ValueError(f"{len(seeds)} seeds for {len(targets)} cells; give one for each")
    if tries < 1:
        raise ValueError(f"tries is {tries}; it must be at least 1")
    bad = np.flatnonzero(~np.isfinite(targets).all(axis=1))
    if len(bad):
        raise ValueError(f"the means of cells {bad[:5].tolist()} are not finite; leave such samples out of the cells")
