"""Answer with the strongest patches of a unit."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

import numpy as np
from typing_extensions import TypedDict

from flows.questions import meaning
from storage.errors import UsageError
from storage.run import Run

Sign = Literal["positive", "negative"]
SIGNS: tuple[Sign, ...] = ("positive", "negative")
Edge = Literal["left", "top", "right", "bottom"]
SIDES: tuple[Edge, ...] = ("left", "top", "right", "bottom")


class PixelBox(TypedDict):
    """A box in pixels of the source image."""

    left: int
    top: int
    right: int
    bottom: int


class Place(TypedDict):
    """A position of the layer on an image; `focus` is the part of the image that the unit mainly sees there."""

    image_id: int
    path: str
    label: str | None
    y: int
    x: int
    focus: PixelBox


class Patch(Place):
    """One of a unit's strongest patches; `reach` is the part of the image that the unit sees at all."""

    layer: str
    unit: int
    sign: str
    rank: int
    value: float
    reach: PixelBox


class TopPatches(TypedDict):
    """The strongest patches of one sign; `method` is that of their gradients, where these are drawn.

    `mis` is the score of this sign's patches by the `encoder` of a run made `--with meaning`. `where` is the
    condition on the images that they are chosen from, `images` how many of them there are; how many values of these
    are not finite is not known.
    """

    run: str
    version: int
    layer: str
    unit: int
    sign: str
    note: str | None
    extreme: float | None
    images_at_extreme: int
    nonfinite: int | None
    patches: list[Patch]
    mis: NotRequired[float | None]
    encoder: NotRequired[str]
    method: NotRequired[str]
    where: NotRequired[str]
    images: NotRequired[int]


def top(run: Run, layer: str, unit: int, *, k: int = 16, sign: str = "positive") -> TopPatches:
    """Return the strongest patches of a unit, with a note where ties decide which are listed."""
    check(k, sign)
    patches = run.patches(layer, unit, k, sign)
    answer = ranked(run, layer, unit, sign, run.unit(layer, unit), patches.to_pylist())
    if (scores := meaning.of_unit(run, layer, unit)) is not None:
        answer["mis"] = scores["mis_positive"] if sign == "positive" else scores["mis_negative"]
        answer["encoder"] = scores["encoder"]
    return answer


def ranked(run: Run, layer: str, unit: int, sign: str, counted: dict[str, Any], patches: list[Patch]) -> TopPatches:
    """Return the answer for these patches; `counted` has the unit's extremes, and how many images reach them."""
    return {
        "run": run.name,
        "version": run.number,
        "layer": layer,
        "unit": unit,
        "sign": sign,
        "note": caveat(counted, sign, len(patches)),
        "extreme": finite(counted[f"{sign}_extreme"]),
        "images_at_extreme": counted[f"{sign}_extreme_count"],
        "nonfinite": counted["nonfinite"],
        "patches": patches,
    }


def check(k: int, sign: str) -> None:
    """Raise UsageError for a number or a sign that cannot be."""
    if sign not in SIGNS:
        raise UsageError(f"--sign is {sign!r}; it is positive or negative")
    if k < 1:
        raise UsageError(f"-k is {k}; at least 1")


def caveat(counted: dict[str, Any], sign: str, shown: int) -> str | None:
    """Return a caveat on the list of patches, if there is one."""
    if not shown:
        return "no data: no finite value was seen"
    value, many = counted[f"{sign}_extreme"], counted[f"{sign}_extreme_count"]
    if counted["positive_extreme"] == counted["negative_extreme"]:
        return f"never fires: {many} images, all at {value:g}"
    if many <= shown:
        return None
    if sign == "negative":
        return (
            f"no negative side: {many} images share the lowest value {value:g}, so which are listed is by the tie order"
        )
    return f"saturated: {many} images share the highest value {value:g}, so which are listed is by the tie order"


def finite(value: Any) -> float | None:
    """Return a float, or None where JSON has no number for it (NaN, infinity)."""
    value = float(value)
    return value if np.isfinite(value) else None
