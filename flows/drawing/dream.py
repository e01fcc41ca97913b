"""Dream of an image, or of noise, by DeepDream: choose the objective, then ascend it over octaves and tiles."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from atlas.arrays import Byte
from atlas.inversion import dream as dreams
from atlas.inversion.objectives import Objective
from atlas.inversion.pool import as_bytes
from atlas.inversion.render import Forward, device_of, frozen
from atlas.inversion.visualise import unfused_forward
from flows import progress
from flows.drawing import goals
from flows.drawing.answers import DreamAnswer, DreamCourse
from flows.drawing.goals import Goal
from flows.model.context import ModelContext
from storage.errors import UsageError

VIEWS = ("dream", "sheet")
NOISE = "noise"
"""In place of an image: start from noise."""

SIDES = (8, 16384)
"""Smallest and largest side of a picture, in pixels."""

LEVEL, DEVIATION = 0.45, 0.02
"""Mean and deviation of noise: near grey, as in the published pictures; stronger noise would show through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of a dream. Without `octaves`: enough to shrink the picture to the model's own size, at least four.

    `size` is the longer side of a picture, or HEIGHTxWIDTH of noise.
    """

    iterations: int = 10
    octaves: int | None = None
    scale: float = 1.4
    rate: float = 1.5
    levels: int = 3
    seed: int = 0
    size: str | None = None
    view: str = "dream"

    def __post_init__(self) -> None:
        if self.view not in VIEWS:
            raise UsageError(f"--view {self.view} is not one of {', '.join(VIEWS)}")
        if not self.rate > 0:
            raise UsageError(f"--rate {self.rate:g}: a step uphill is above 0; the published one is 1.5")
        if not self.scale >= 1.05:
            raise UsageError(f"--octave-scale {self.scale:g}: from 1.05 on; the published one is 1.4")


def dream(
    context: ModelContext,
    image: str,
    target: str | None = None,
    *,
    guide: str | None = None,
    settings: Settings | None = None,
) -> tuple[DreamAnswer, Byte, Byte]:
    """Return the answer, and the picture `h w 3` before and after.

    Without a target, the layer that `atlas.inversion.dream.default_layer` chooses is enhanced. Raises UsageError or NotFound
    before any computation.
    """
    settings = settings or Settings()
    before = noise(context, settings) if image == NOISE else photo(context, image, settings.size)
    (goal,), layers = goals.goals([target or _middle(context)], context)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = context.folded().to(device)
    logits = context.model.logits if goal.of_classes else None
    with frozen(model):
        see = unfused_forward(
            model, [layers[name] for name in sorted(goal.layers)], context.model.mean, context.model.std, logits
        )
        aim = goal.aim if guide is None else _guided(context, see, goal, guide, device_of(model))
        course, after = _run_dream(context, dreams.value_of(see, aim), before, settings, device_of(model))
    answer: DreamAnswer = {
        "image": image,
        "model": context.model.spec,
        "run": None if context.run is None else context.run.name,
        "target": goal.text,
        "guide": guide,
        **course,
    }
    return answer, before, after


def photo(context: ModelContext, image: str, size: str | None) -> Byte:
    """Return an image `h w 3` in its own size, or with a longer side of `size`."""
    side = None if size is None else _side(size, size)
    opened = context.image(image)
    if side is not None:
        scale = side / max(opened.size)
        shape = (max(1, round(opened.width * scale)), max(1, round(opened.height * scale)))
        opened = opened.resize(shape, Image.Resampling.LANCZOS)
    return np.asarray(opened)


def noise(context: ModelContext, settings: Settings) -> Byte:
    """Return noise `h w 3` of the size in the settings, or the model's own."""
    height, width = context.model.preprocess.size
    if settings.size is not None:
        first, _, second = settings.size.lower().replace("×", "x").partition("x")
        height, width = _side(first, settings.size), _side(second or first, settings.size)
    draw = np.random.default_rng(settings.seed & ((1 << 64) - 1))
    drawn = LEVEL + DEVIATION * draw.standard_normal((height, width, 3), dtype=np.float32)
    return (drawn.clip(0, 1) * 255).round().astype(np.uint8)


def _run_dream(
    context: ModelContext, value: dreams.Value, before: Byte, settings: Settings, device: torch.device
) -> tuple[DreamCourse, Byte]:
    """Dream; return how it went and the picture `h w 3`."""
    tile, size = context.model.preprocess.size, (before.shape[0], before.shape[1])
    octaves = settings.octaves or dreams.default_octaves(size, tile, settings.scale)
    shared: dict[str, Any] = {"scale": settings.scale, "iterations": settings.iterations, "seed": settings.seed}
    plan = dreams.plan_octaves(size, tile, octaves, **shared)
    started, picture = time.monotonic(), _tensor(before, len(context.model.mean))
    first = dreams.mean_value(value, picture, tile=tile, device=device)
    with progress.current().bar("dream", dreams.count_tiles(plan), "tiles") as advance:
        dreamed = dreams.dream(
            value,
            picture,
            tile=tile,
            octaves=octaves,
            rate=settings.rate,
            levels=settings.levels,
            device=device,
            progress=lambda done, total: advance(done),
            **shared,
        )
    last = dreams.mean_value(value, dreamed, tile=tile, device=device)
    course: DreamCourse = {
        "iterations": settings.iterations,
        "octaves": [each for each, _ in plan],
        "scale": settings.scale,
        "rate": settings.rate,
        "levels": settings.levels,
        "seed": settings.seed,
        "size": size,
        "view": settings.view,
        "tile": tile,
        "value": {"before": first, "after": last},
        "seconds": round(time.monotonic() - started, 2),
    }
    return course, as_bytes(dreamed[None])[0]


def _middle(context: ModelContext) -> str:
    try:
        return dreams.default_layer(list(context.layers().values())).name
    except ValueError as error:
        raise UsageError(f"model {context.model.spec}: {error}") from None


def _guided(context: ModelContext, see: Forward, goal: Goal, guide: str, device: torch.device) -> Objective:
    """Return the objective that draws the activations of the goal's layer towards those of a guide image."""
    if goal.only is None or goal.only.kind != "layer":
        raise UsageError(f"--guide {guide}: a guide needs a whole layer, not {goal.text}; name a layer")
    pixels = torch.from_numpy(context.model.preprocess.pixels(context.image(guide)).copy())
    with torch.no_grad():
        activations = see(pixels.permute(2, 0, 1)[None].to(device).float() / 255)[goal.only.layer]
    return dreams.guided_objective(goal.only.layer, activations[0])


def _tensor(picture: Byte, channels: int) -> Tensor:
    """Return a picture as `c h w` in 0..1, with the model's number of channels."""
    array = picture if channels == 3 else np.asarray(Image.fromarray(picture).convert("L"))[..., None]
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float().div_(255)


def _side(text: str, size: str) -> int:
    if not text.isdecimal() or not SIDES[0] <= int(text) <= SIDES[1]:
        raise UsageError(
            f"--size {size}: a longer side in pixels such as 1024, or of noise HEIGHTxWIDTH, from {SIDES[0]} to {SIDES[1]}"
        )
    return int(text)
