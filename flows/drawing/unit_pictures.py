"""The pictures of a unit card: cut from the images, kept by the run, or made now with its model."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from atlas.arrays import Byte
from flows.cores import cores
from flows.questions.units import SIDES
from storage.errors import ActlasError, NotFound, UsageError
from storage.run import Run

SIZE = 128
"""Longer side of a picture cut from an image."""

SHOWN = 4
"""Strongest patches of another unit."""

NOT_DRAWN = "Not drawn: run it again --with gallery."


@dataclass(kw_only=True)
class Pictures:
    """By sign the `patches`, their `gradients` and the `methods` of these; `examples` of each interval of the samples.

    `own` is the picture drawn to excite the unit, with a remark; `thumbs` those of other units, by layer and unit: the
    one of the gallery first, then the strongest patches. None stands for a picture that can't be had; `remarks` say why.
    """

    patches: dict[str, list[Byte | None]] = field(default_factory=dict)
    gradients: dict[str, list[Byte | None]] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)
    examples: list[list[Byte | None]] = field(default_factory=list)
    own: Byte | None = None
    own_remark: str = NOT_DRAWN
    thumbs: dict[tuple[str, int], list[Byte | None]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def gather(run: Run, answer: dict[str, Any], *, method: str | None = None, draw: bool = True) -> Pictures:
    """Return the pictures of what `units.unit` answered.

    What the run does not have is made with its model: gradients by `method` (None: the run's own, or what suits the
    layer), and, if `draw`, the unit's own picture. Raises UsageError for a method that is not defined for the layer.
    """
    made = Pictures()
    _cut(run, answer, made)
    _gradients(run, answer, method, made)
    _own(run, answer, draw, made)
    for layer, units in _others(answer).items():
        made.thumbs |= {(layer, unit): pictures for unit, pictures in of_units(run, layer, units).items()}
    return made


def of_units(run: Run, layer: str, units: Iterable[int]) -> dict[int, list[Byte | None]]:
    """Return what there is to show of units at once: the gallery's picture, if any, then the strongest patches."""
    gallery = run.gallery(layer) if run.has("gallery", layer) else None
    found: dict[int, list[Byte | None]] = {}
    for unit in units:
        kept = [opened(data) for data in run.thumbnails(layer, unit)[:SHOWN]]
        drawn = [gallery.pictures[unit]] if gallery is not None and not gallery.dead[unit] else []
        found[unit] = [*drawn, *kept]
    return found


def opened(data: bytes) -> Byte | None:
    """Decode a stored picture; None where there is none."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) if data else None


def _cut(run: Run, answer: dict[str, Any], made: Pictures) -> None:
    """Cut the patches and the examples from the images, each opened once; where those are gone, take what was kept."""
    signs = ("positive", "negative")
    patches = [patch for sign in signs for patch in answer[sign]["patches"]]
    examples = [example for interval in answer["intervals"] for example in interval["examples"]]
    cut = iter(_crops(run, [*patches, *examples]))
    for sign in signs:
        kept = run.thumbnails(answer["layer"], answer["unit"], sign)
        kept += [b""] * len(answer[sign]["patches"])
        made.patches[sign] = [opened(next(cut) or kept[number]) for number in range(len(answer[sign]["patches"]))]
    made.examples = [[opened(next(cut)) for _ in interval["examples"]] for interval in answer["intervals"]]


def _crops(run: Run, places: Sequence[dict[str, Any]]) -> list[bytes]:
    """Return a JPEG of the focus of each place; empty where the image is gone or the focus isn't known."""
    from storage.images import crops
    from storage.images.sources import open_source

    known = [number for number, place in enumerate(places) if place["focus"] is not None]
    ids = np.array([places[number]["image_id"] for number in known], np.int64)
    focus = np.array([[places[number]["focus"][side] for side in SIDES] for number in known], np.int32)
    found = [b""] * len(places)
    try:
        source = open_source(run.version.about["images"])
        cut = crops.crops(source, run.listing(sorted(set(ids.tolist()))), ids, focus, SIZE, threads=cores())
    except (NotFound, UsageError):
        return found
    for number, data in zip(known, cut, strict=True):
        found[number] = data
    return found


def _gradients(run: Run, answer: dict[str, Any], method: str | None, made: Pictures) -> None:
    from flows.drawing import patch_gradients

    for sign in ("positive", "negative"):
        if not answer[sign]["patches"]:
            continue
        try:
            found = patch_gradients.of_patches(run, answer[sign], method)
        except UsageError:
            raise
        except ActlasError as error:
            if str(error) not in made.remarks:
                made.remarks.append(str(error))
        else:
            made.methods[sign], made.gradients[sign] = found


def _own(run: Run, answer: dict[str, Any], draw: bool, made: Pictures) -> None:
    """Take the unit's picture from the gallery, or draw it."""
    layer, unit = answer["layer"], answer["unit"]
    if run.has("gallery", layer):
        gallery = run.gallery(layer)
        picture, best, dead = gallery.pictures[unit], float(gallery.best[unit]), bool(gallery.dead[unit])
    elif draw:
        try:
            picture, best, dead = _drawn(run, layer, unit)
        except ActlasError as error:
            made.remarks.append(str(error))
            return
    else:
        return
    if dead:
        made.own_remark = "Dead: nothing that was tried excites it."
        return
    made.own, made.own_remark = picture, _reached(best, answer["positive"]["patches"])


def _drawn(run: Run, layer: str, unit: int) -> tuple[Byte, float, bool]:
    from flows.drawing import goals, show
    from flows.model import published
    from flows.model.context import ModelContext

    subj = published.prepared_model_of(run, layer)
    found = subj.layers[layer]
    look = ModelContext(model=subj.model, run=run)
    (one,) = show.draw(look, goals.unit_goals(found, [unit]), {layer: found}, show.Settings())
    return one.picture, one.best, one.dead


def _reached(best: float, patches: Sequence[dict[str, Any]]) -> str:
    text = f"It reaches {best:.3g}"
    if patches and patches[0]["value"] > 0:
        text += f", {best / patches[0]['value']:.1f} times as much as the strongest patch"
    return text


def _others(answer: dict[str, Any]) -> dict[str, set[int]]:
    """Return the other units that the answer names, by layer."""
    found: dict[str, set[int]] = {answer["layer"]: {row["unit"] for side in answer["alike"].values() for row in side}}
    for side, layer in (("drives", "later_layer"), ("driven", "layer")):
        if answer[side] is not None and answer[side][layer] is not None:
            rows = answer[side]["exciting"] + answer[side]["inhibiting"]
            found.setdefault(answer[side][layer], set()).update(row["unit"] for row in rows)
    return found
