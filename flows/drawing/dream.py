"""DeepDream of an image, or of noise: choose what to dream of, dream, draw the dream beside what it was."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from atlas.arrays import Byte
from atlas.inversion import dream as dreams
from atlas.inversion.icons import as_bytes
from atlas.inversion.objectives import Objective
from atlas.inversion.render import Forward, device_of, frozen
from atlas.inversion.visualise import unfused_forward
from atlas.model import folding
from flows import progress
from flows.drawing import goals
from flows.drawing.goals import Goal
from flows.model import prepared
from flows.model.context import ModelContext
from storage.errors import UsageError

VIEWS = ("dream", "sheet")
NOISE = "noise"
"""Written for an image, a picture of noise."""

SIDES = (8, 16384)
"""Least and largest side of a picture."""

LEVEL, DEVIATION = 0.45, 0.02
"""Of noise: near grey, as the published one is, or it would show through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to dream. `octaves` none: as many as bring the picture down to the model's own size, and at least four.

    `size` is a picture's longer side, or HEIGHTxWIDTH of noise.
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
    look: ModelContext, image: str, target: str | None = None, *, guide: str | None = None, how: Settings | None = None
) -> tuple[dict[str, Any], Byte, Byte]:
    """Return the answer as a dict, and the picture `h w 3` before and after.

    Without a target, what is dreamed of is the layer that `atlas.inversion.dream.default_layer` chooses. Raises UsageError
    or NotFound for what can't be done, before anything is.
    """
    how = how or Settings()
    before = noise(look, how) if image == NOISE else photo(look, image, how.size)
    (goal,), layers = goals.goals([target or _middle(look)], look)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = folding.fold(look.model.module, prepared.example(look.model)).to(device)
    logits = look.model.logits if goal.of_classes else None
    with frozen(model):
        see = unfused_forward(
            model, [layers[name] for name in sorted(goal.layers)], look.model.mean, look.model.std, logits
        )
        aim = goal.aim if guide is None else _guided(look, see, goal, guide, device_of(model))
        told, after = _dreamt(look, dreams.value_of(see, aim), before, how, device_of(model))
    of = {"image": image, "model": look.model.spec, "run": None if look.run is None else look.run.name}
    return of | {"target": goal.text, "guide": guide} | told, before, after


def photo(look: ModelContext, image: str, size: str | None) -> Byte:
    """Return an image in its own size, or with a longer side of `size`: `h w 3`."""
    side = None if size is None else _side(size, size)
    opened = look.image(image)
    if side is not None:
        scale = side / max(opened.size)
        shape = (max(1, round(opened.width * scale)), max(1, round(opened.height * scale)))
        opened = opened.resize(shape, Image.Resampling.LANCZOS)
    return np.asarray(opened)


def noise(look: ModelContext, how: Settings) -> Byte:
    """Return noise `h w 3` of the size asked for, or of the model's own."""
    height, width = look.model.preprocess.size
    if how.size is not None:
        first, _, second = how.size.lower().replace("×", "x").partition("x")
        height, width = _side(first, how.size), _side(second or first, how.size)
    draw = np.random.default_rng(how.seed & ((1 << 64) - 1))
    drawn = LEVEL + DEVIATION * draw.standard_normal((height, width, 3), dtype=np.float32)
    return (drawn.clip(0, 1) * 255).round().astype(np.uint8)


def _dreamt(
    look: ModelContext, value: dreams.Value, before: Byte, how: Settings, device: torch.device
) -> tuple[dict[str, Any], Byte]:
    """Dream, and return what is told of it and the picture."""
    tile, size = look.model.preprocess.size, (before.shape[0], before.shape[1])
    octaves = how.octaves or dreams.default_octaves(size, tile, how.scale)
    asked: dict[str, Any] = {"scale": how.scale, "iterations": how.iterations, "seed": how.seed}
    plan = dreams.plan_octaves(size, tile, octaves, **asked)
    started, picture = time.monotonic(), _tensor(before, len(look.model.mean))
    first = dreams.mean_value(value, picture, tile=tile, device=device)
    with progress.current().bar("dream", dreams.count_tiles(plan), "tiles") as advance:
        dreamed = dreams.dream(
            value,
            picture,
            tile=tile,
            octaves=octaves,
            rate=how.rate,
            levels=how.levels,
            device=device,
            progress=lambda done, total: advance(done),
            **asked,
        )
    last = dreams.mean_value(value, dreamed, tile=tile, device=device)
    told = dataclasses.asdict(how) | {"size": size, "tile": tile, "octaves": [each for each, _ in plan]}
    seconds = round(time.monotonic() - started, 2)
    return told | {"value": {"before": first, "after": last}, "seconds": seconds}, as_bytes(dreamed[None])[0]


def _middle(look: ModelContext) -> str:
    try:
        return dreams.default_layer(list(look.layers().values())).name
    except ValueError as error:
        raise UsageError(f"model {look.model.spec}: {error}") from None


def _guided(look: ModelContext, see: Forward, goal: Goal, guide: str, device: torch.device) -> Objective:
    """Return the objective that likens the wish's layer to an image, as the model is shown it."""
    if goal.only is None or goal.only.kind != "layer":
        raise UsageError(f"--guide {guide}: what is guided is a whole layer, not {goal.text}; name a layer")
    pixels = torch.from_numpy(look.model.preprocess.pixels(look.image(guide)).copy())
    with torch.no_grad():
        seen = see(pixels.permute(2, 0, 1)[None].to(device).float() / 255)[goal.only.layer]
    return dreams.guided_objective(goal.only.layer, seen[0])


def _tensor(picture: Byte, channels: int) -> Tensor:
    """Return `c h w` in 0..1 as the model takes colours."""
    array = picture if channels == 3 else np.asarray(Image.fromarray(picture).convert("L"))[..., None]
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float().div_(255)


def _side(text: str, size: str) -> int:
    if not text.isdecimal() or not SIDES[0] <= int(text) <= SIDES[1]:
        raise UsageError(
            f"--size {size}: a longer side in pixels such as 1024, or of noise HEIGHTxWIDTH, from {SIDES[0]} to {SIDES[1]}"
        )
    return int(text)
