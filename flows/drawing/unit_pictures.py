"""Gather the pictures of a unit card: cropped from images, stored by the run, or drawn now with its model."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from atlas.arrays import Byte
from flows.cores import cores
from flows.questions.patches import SIDES, SIGNS, Patch, Place
from flows.questions.units import Unit, links
from storage.errors import ActlasError, NotFound, UsageError
from storage.run import Run

SIZE = 128
"""Longer side of a crop, in pixels."""

SHOWN = 4
"""Strongest patches shown for another unit."""

NOT_DRAWN = "Not drawn: run it again --with gallery."


@dataclass(kw_only=True)
class Pictures:
    """By sign the `patches`, their `gradients` and the `methods` of these; `examples` of each interval of the samples.

    `own` is the picture drawn to excite the unit, with a remark; `thumbs` are pictures of other units by layer and unit:
    the gallery's first, then the strongest patches. None is an unavailable picture; `remarks` give the reasons.
    """

    patches: dict[str, list[Byte | None]] = field(default_factory=dict)
    gradients: dict[str, list[Byte | None]] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)
    examples: list[list[Byte | None]] = field(default_factory=list)
    own: Byte | None = None
    own_remark: str = NOT_DRAWN
    thumbs: dict[tuple[str, int], list[Byte | None]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def gather(run: Run, answer: Unit, *, method: str | None = None, draw: bool = True) -> Pictures:
    """Return the pictures for an answer of `units.unit`.

    Pictures that the run lacks are drawn with its model: gradients by `method` (None: the run's own, or one that is
    defined for the layer), and, if `draw`, the unit's own picture. Raises UsageError for a method that is not defined
    for the layer.
    """
    result = Pictures()
    _crop(run, answer, result)
    _gradients(run, answer, method, result)
    _own(run, answer, draw, result)
    for layer, units in _others(answer).items():
        result.thumbs |= {(layer, unit): pictures for unit, pictures in of_units(run, layer, units).items()}
    return result


def of_units(run: Run, layer: str, units: Iterable[int]) -> dict[int, list[Byte | None]]:
    """Return the stored pictures of units: the gallery's, if any, then the strongest patches."""
    gallery = run.gallery(layer) if run.has("gallery", layer) else None
    by_unit: dict[int, list[Byte | None]] = {}
    for unit in units:
        patches = [decode(data) for data in run.thumbnails(layer, unit)[:SHOWN]]
        drawn = [gallery.pictures[unit]] if gallery is not None and not gallery.dead[unit] else []
        by_unit[unit] = [*drawn, *patches]
    return by_unit


def decode(data: bytes) -> Byte | None:
    """Decode a stored picture `h w 3`; None for empty data."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) if data else None


def _crop(run: Run, answer: Unit, result: Pictures) -> None:
    """Crop the patches and examples from the images, each opened once; fall back to stored thumbnails of patches."""
    patches: list[Place] = [patch for sign in SIGNS for patch in answer[sign]["patches"]]
    examples = [example for interval in answer["intervals"] for example in interval["examples"]]
    cut = iter(_crops(run, [*patches, *examples]))
    for sign in SIGNS:
        thumbnails = run.thumbnails(answer["layer"], answer["unit"], sign)
        thumbnails += [b""] * len(answer[sign]["patches"])
        result.patches[sign] = [
            decode(next(cut) or thumbnails[number]) for number in range(len(answer[sign]["patches"]))
        ]
    result.examples = [[decode(next(cut)) for _ in interval["examples"]] for interval in answer["intervals"]]


def _crops(run: Run, places: Sequence[Place]) -> list[bytes]:
    """Return a JPEG of the focus of each place; empty where the image is missing or the focus is unknown."""
    from storage.images import crops
    from storage.images.sources import source_of

    known = [number for number, place in enumerate(places) if place["focus"] is not None]
    ids = np.array([places[number]["image_id"] for number in known], np.int64)
    focus = np.array([[places[number]["focus"][side] for side in SIDES] for number in known], np.int32)
    data_of = [b""] * len(places)
    try:
        source = source_of(run.version.about)
        cut = crops.crops(source, run.listing(sorted(set(ids.tolist()))), ids, focus, SIZE, threads=cores())
    except (NotFound, UsageError):
        return data_of
    for number, data in zip(known, cut, strict=True):
        data_of[number] = data
    return data_of


def _gradients(run: Run, answer: Unit, method: str | None, result: Pictures) -> None:
    from flows.drawing import patch_gradients

    for sign in SIGNS:
        if not answer[sign]["patches"]:
            continue
        try:
            gradients = patch_gradients.of_patches(run, answer[sign], method)
        except UsageError:
            raise
        except ActlasError as error:
            if str(error) not in result.remarks:
                result.remarks.append(str(error))
        else:
            result.methods[sign], result.gradients[sign] = gradients


def _own(run: Run, answer: Unit, draw: bool, result: Pictures) -> None:
    """Add the unit's own picture from the gallery, or draw it."""
    layer, unit = answer["layer"], answer["unit"]
    if run.has("gallery", layer):
        gallery = run.gallery(layer)
        picture, best, dead = gallery.pictures[unit], float(gallery.best[unit]), bool(gallery.dead[unit])
    elif draw:
        try:
            picture, best, dead = _draw(run, layer, unit)
        except ActlasError as error:
            result.remarks.append(str(error))
            return
    else:
        return
    if dead:
        result.own_remark = "Dead: nothing that was tried excites it."
        return
    result.own, result.own_remark = picture, _reached(best, answer["positive"]["patches"])


def _draw(run: Run, layer: str, unit: int) -> tuple[Byte, float, bool]:
    from flows.drawing import goals, show
    from flows.model import published
    from flows.model.context import ModelContext

    prepared = published.prepared_model_of(run, layer)
    known = prepared.layers[layer]
    context = ModelContext(model=prepared.model, run=run)
    (picture,) = show.draw(context, goals.unit_goals(known, [unit]), {layer: known}, show.Settings())
    return picture.picture, picture.best, picture.dead


def _reached(best: float, patches: Sequence[Patch]) -> str:
    text = f"It reaches {best:.3g}"
    if patches and patches[0]["value"] > 0:
        text += f", {best / patches[0]['value']:.1f} times as much as the strongest patch"
    return text


def _others(answer: Unit) -> dict[str, set[int]]:
    """Return the other units that an answer names, by layer."""
    alike = answer["alike"]
    similar = {row["unit"] for row in alike["activation"]} | {row["unit"] for row in alike["images"]}
    by_layer: dict[str, set[int]] = {answer["layer"]: similar}
    for _, layer, rows in links(answer):
        by_layer.setdefault(layer, set()).update(row["unit"] for row in rows)
    return by_layer
