"""Contact sheets for people: the patches of a unit in their images, labelled, the focus drawn."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from atlas.arrays import Byte
from storage.run import Run

SIDE, GAP, LINE, COLUMNS = 224, 16, 18, 4
GROUND, TEXT, QUIET, ACCENT = (24, 24, 24), (236, 236, 236), (160, 160, 160), (255, 176, 32)


Images = Sequence[Image.Image | None]


def top(
    run: Run, answer: dict[str, Any], path: str, pictures: Images, gradients: Sequence[Byte | None] | None = None
) -> None:
    """Write a PNG of the patches that `query.top` gave: each whole image with its focus outlined, and the patch beside.

    `pictures` are the source images, None where one is gone; `gradients` go below the patches.
    """
    patches = answer["patches"]
    columns = max(1, min(COLUMNS, len(patches)))
    rows = max(1, -(-len(patches) // columns))
    wide, tall = SIDE + SIDE // 2 + GAP, SIDE + 2 * LINE + GAP
    sheet = Image.new("RGB", (columns * wide + GAP, rows * tall + 3 * GAP + LINE), GROUND)
    draw = ImageDraw.Draw(sheet)
    side = "strongest" if answer["sign"] == "positive" else "most negative"
    draw.text(
        (GAP, GAP),
        f"Unit {answer['unit']} of {answer['layer']}: its {side} patches in {run.name}@{run.number}",
        TEXT,
        _font(16),
    )
    draw.text((GAP, GAP + LINE + 2), " · ".join(_remarks(answer, gradients is not None)), QUIET, _font(12))
    kept = run.thumbnails(answer["layer"], answer["unit"], answer["sign"])
    for place, (patch, picture) in enumerate(zip(patches, pictures, strict=True)):
        left, up = GAP + (place % columns) * wide, 3 * GAP + LINE + (place // columns) * tall
        _one(sheet, draw, patch, picture, kept[place] if place < len(kept) else b"", left, up)
        if gradients is not None:
            _gradient(sheet, draw, gradients[place], left + SIDE + 2, up)
    sheet.save(path, "PNG")


def _remarks(answer: dict[str, Any], gradients: bool) -> Iterator[str]:
    yield "outlined: what the unit sees of the image, and beside it enlarged"
    if gradients:
        direction = "up" if answer["sign"] == "positive" else "down"
        yield f"below that, what of it drives the unit {direction} ({answer['method']}; grey: nothing)"
    if answer["note"]:
        yield answer["note"]


def _gradient(sheet: Image.Image, draw: ImageDraw.ImageDraw, gradient: Byte | None, left: int, up: int) -> None:
    if gradient is None:
        draw.text((left, up + SIDE // 2), "no gradient:", QUIET, _font(12))
        draw.text((left, up + SIDE // 2 + LINE), "the image is gone", QUIET, _font(12))
        return
    drawn = fit(Image.fromarray(gradient), SIDE // 2 - 2)
    sheet.paste(drawn, (left, up + drawn.height + 4))  # as high as its patch, which is above


def _one(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    patch: dict[str, Any],
    picture: Image.Image | None,
    kept: bytes,
    left: int,
    up: int,
) -> None:
    focus = tuple(patch["focus"][side] for side in ("left", "top", "right", "bottom"))
    if picture is not None:
        scale = SIDE / max(picture.size)
        shown = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
        sheet.paste(shown, (left, up))
        box = _within(left, up, [side * scale for side in focus])
        draw.rectangle(box, outline=(0, 0, 0), width=3)
        draw.rectangle(box, outline=ACCENT, width=2)
        crop = fit(picture.crop(focus), SIDE // 2 - 2)
        sheet.paste(crop, (left + SIDE + 2, up))
    else:
        draw.text((left, up), "the image is not there any more;", QUIET, _font(12))
        draw.text((left, up + LINE), "its patch was kept", QUIET, _font(12))
        if kept:
            crop = fit(Image.open(io.BytesIO(kept)), SIDE // 2 - 2)
            sheet.paste(crop, (left + SIDE + 2, up))
    draw.text((left, up + SIDE + 3), f"{patch['value']:.3f}", TEXT, _font(13))
    draw.text((left + 62, up + SIDE + 3), _short(patch["label"] or Path(patch["path"]).name, 30), QUIET, _font(13))


def _within(left: int, up: int, sides: list[float]) -> list[float]:
    """Return the outline of a box drawn at (left, up), at least one pixel each way."""
    x, y = left + sides[0], up + sides[1]
    return [x, y, max(x, left + sides[2] - 1), max(y, up + sides[3] - 1)]


def fit(picture: Image.Image, side: int) -> Image.Image:
    """Enlarge or reduce a picture so that its longer side has `side` pixels."""
    scale = side / max(picture.size)
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
