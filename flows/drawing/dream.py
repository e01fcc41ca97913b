"""DeepDream of an image, or of noise: choose what to dream of, dream, draw the dream beside what it was."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from atlas.arrays import Byte
from atlas.inversion import dream as dreams
from atlas.inversion.icons import as_bytes
from atlas.inversion.objectives import Objective
from atlas.inversion.render import See, device_of, frozen
from atlas.inversion.visualise import witness
from atlas.model import folding
from flows import progress
from flows.drawing import goals
from flows.drawing.goals import Wish
from flows.model import prepared
from flows.model.context import Look
from flows.sheets import contact_sheet
from flows.sheets.contact_sheet import Tile
from storage.errors import UsageError

VIEWS = ("dream", "sheet")
NOISE = "noise"
"""Written for an image, a picture of noise."""

SIDES = (8, 16384)
"""Least and largest side of a picture."""

LEVEL, DEVIATION = 0.45, 0.02
"""Of noise: near grey, as the published one is, or it would show through."""

SHOWN = 800
"""Longer side of a picture on the sheet, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
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
    look: Look, image: str, target: str | None = None, *, guide: str | None = None, how: How | None = None
) -> tuple[dict[str, Any], Byte, Byte]:
    """Return the answer as a dict, and the picture `h w 3` before and after.

    Without a target, what is dreamed of is the layer that `atlas.inversion.dream.middle` chooses. Raises UsageError
    or NotFound for what can't be done, before anything is.
    """
    how = how or How()
    before = noise(look, how) if image == NOISE else photo(look, image, how.size)
    (wish,), layers = goals.wishes([target or _middle(look)], look)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = folding.fold(look.model.module, prepared.example(look.model)).to(device)
    logits = look.model.logits if wish.of_classes else None
    with frozen(model):
        see = witness(model, [layers[name] for name in sorted(wish.layers)], look.model.mean, look.model.std, logits)
        aim = wish.aim if guide is None else _guided(look, see, wish, guide, device_of(model))
        told, after = _dreamt(look, dreams.valued(see, aim), before, how, device_of(model))
    of = {"image": image, "model": look.model.spec, "run": None if look.run is None else look.run.name}
    return of | {"target": wish.text, "guide": guide} | told, before, after


def draw(answer: dict[str, Any], before: Byte, after: Byte) -> Byte:
    """Return the dream itself, or as `view` says a sheet of the picture before and after."""
    if answer["view"] == "dream":
        return after
    value = answer["value"]
    shown = [
        Tile(picture=_at_most(before), left="before", right=f"value {_short(value['before'])}"),
        Tile(picture=_at_most(after), left="after", right=f"value {_short(value['after'])}"),
    ]
    guide = f", guided by {Path(answer['guide']).name}" if answer["guide"] else ""
    height, width = answer["size"]
    course = f"{len(answer['octaves'])} octaves of {answer['iterations']} steps, seed {answer['seed']}"
    remark = f"{answer['model']}  ·  {width} x {height} px  ·  {course}  ·  value: the mean over tiles of what grew"
    of = "noise" if answer["image"] == NOISE else Path(answer["image"]).name
    return contact_sheet.sheet(shown, f"{of}, dreaming of {answer['target']}{guide}", remark, columns=2)


def photo(look: Look, image: str, size: str | None) -> Byte:
    """Return an image in its own size, or with a longer side of `size`: `h w 3`."""
    side = None if size is None else _side(size, size)
    opened = look.image(image)
    if side is not None:
        scale = side / max(opened.size)
        shape = (max(1, round(opened.width * scale)), max(1, round(opened.height * scale)))
        opened = opened.resize(shape, Image.Resampling.LANCZOS)
    return np.asarray(opened)


def noise(look: Look, how: How) -> Byte:
    """Return noise `h w 3` of the size asked for, or of the model's own."""
    height, width = look.model.preprocess.size
    if how.size is not None:
        first, _, second = how.size.lower().replace("×", "x").partition("x")
        height, width = _side(first, how.size), _side(second or first, how.size)
    draw = np.random.default_rng(how.seed & ((1 << 64) - 1))
    drawn = LEVEL + DEVIATION * draw.standard_normal((height, width, 3), dtype=np.float32)
    return (drawn.clip(0, 1) * 255).round().astype(np.uint8)


def _dreamt(
    look: Look, value: dreams.Value, before: Byte, how: How, device: torch.device
) -> tuple[dict[str, Any], Byte]:
    """Dream, and return what is told of it and the picture."""
    tile, size = look.model.preprocess.size, (before.shape[0], before.shape[1])
    octaves = how.octaves or dreams.enough_octaves(size, tile, how.scale)
    asked: dict[str, Any] = {"scale": how.scale, "iterations": how.iterations, "seed": how.seed}
    plan = dreams.course(size, tile, octaves, **asked)
    started, picture = time.monotonic(), _tensor(before, len(look.model.mean))
    first = dreams.strength(value, picture, tile=tile, device=device)
    with progress.current().bar("dream", dreams.tiles_of(plan), "tiles") as advance:
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
    last = dreams.strength(value, dreamed, tile=tile, device=device)
    told = dataclasses.asdict(how) | {"size": size, "tile": tile, "octaves": [each for each, _ in plan]}
    seconds = round(time.monotonic() - started, 2)
    return told | {"value": {"before": first, "after": last}, "seconds": seconds}, as_bytes(dreamed[None])[0]


def _middle(look: Look) -> str:
    try:
        return dreams.middle(list(look.layers().values())).name
    except ValueError as error:
        raise UsageError(f"model {look.model.spec}: {error}") from None


def _guided(look: Look, see: See, wish: Wish, guide: str, device: torch.device) -> Objective:
    """Return the objective that likens the wish's layer to an image, as the model is shown it."""
    if wish.only is None or wish.only.kind != "layer":
        raise UsageError(f"--guide {guide}: what is guided is a whole layer, not {wish.text}; name a layer")
    pixels = torch.from_numpy(look.model.preprocess.pixels(look.image(guide)).copy())
    with torch.no_grad():
        seen = see(pixels.permute(2, 0, 1)[None].to(device).float() / 255)[wish.only.layer]
    return dreams.guided(wish.only.layer, seen[0])


def _tensor(picture: Byte, channels: int) -> Tensor:
    """Return `c h w` in 0..1 as the model takes colours."""
    array = picture if channels == 3 else np.asarray(Image.fromarray(picture).convert("L"))[..., None]
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float().div_(255)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _at_most(picture: Byte) -> Byte:
    shrunk = Image.fromarray(picture)
    shrunk.thumbnail((SHOWN, SHOWN), Image.Resampling.LANCZOS)
    return np.asarray(shrunk)


def _side(text: str, size: str) -> int:
    if not text.isdecimal() or not SIDES[0] <= int(text) <= SIDES[1]:
        raise UsageError(
            f"--size {size}: a longer side in pixels such as 1024, or of noise HEIGHTxWIDTH, from {SIDES[0]} to {SIDES[1]}"
        )
    return int(text)
