"""The pictures of a version as encoded bytes: stored tiles, sheets of icons and of units, patches, photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atlas.arrays import Byte
from flows.questions import patches
from flows.viewer.answers import cells, unit_details, units
from flows.viewer.answers.open_runs import OpenVersion
from storage.artefacts import pictures
from storage.errors import NotFound

BLOCK = 8
"""Cells per side of the block whose icons share a picture."""

FACES, FACE = 64, 72
"""Units that share a picture, eight in a row, and the side of each in pixels."""

LONGEST, SMALL = 1024, 192
"""Longer side of a photo and of a thumbnail, in pixels."""

GREY = 128
WEBP, JPEG, PNG = "image/webp", "image/jpeg", "image/png"


@dataclass(frozen=True, slots=True)
class Picture:
    """Encoded bytes and their media type."""

    data: bytes
    kind: str


def tile(version: OpenVersion, layer: str, grid: int, level: int, x: int, y: int) -> Picture:
    """Return a tile of a grid's pyramid. Raises NotFound unless the manifest lists it."""
    result = version.result("tiles", layer, grid)
    name = f"atlas_files/{level}/{x}_{y}.webp"
    if name not in result.manifest["files"]:
        raise NotFound(f"{layer} grid {grid} has no tile {level}/{x}_{y}")
    return Picture(result.data(name), WEBP)


def icons(version: OpenVersion, layer: str, grid: int, y: int, x: int) -> Picture:
    """Return the icons of a block of 8 × 8 cells at full size, with grey for missing cells."""
    rows, cols = (version.array("cells", layer, grid, name) for name in ("row", "col"))
    inside = np.flatnonzero((rows // BLOCK == y) & (cols // BLOCK == x))
    if not len(inside):
        raise NotFound(f"{layer} grid {grid} has no cell in block {y},{x}")
    drawn = version.rows("icons", layer, grid, "pictures", inside)
    side = drawn.shape[1]
    sheet = np.full((BLOCK * side, BLOCK * side, 3), GREY, np.uint8)
    for picture, row, col in zip(drawn, (rows[inside] % BLOCK).tolist(), (cols[inside] % BLOCK).tolist(), strict=True):
        sheet[row * side : (row + 1) * side, col * side : (col + 1) * side] = picture
    return Picture(pictures.encode(sheet, ".webp"), WEBP)


def icon(version: OpenVersion, layer: str, grid: int, row: int, col: int) -> Picture:
    """Return one cell's icon, losslessly encoded."""
    number = cells.number_of(version, layer, grid, row, col)
    return Picture(pictures.encode(version.rows("icons", layer, grid, "pictures", np.array([number]))[0], ".png"), PNG)


def faces(version: OpenVersion, layer: str, block: int) -> Picture:
    """Return a small picture of each of 64 units: from the gallery, or else the middle of its strongest patch."""
    numbers = range(block * FACES, min((block + 1) * FACES, version.units(layer)))
    if not len(numbers):
        raise NotFound(f"{layer} has no units from {block * FACES}")
    square = _gallery_squares if version.run.has("gallery", layer) else _patch_squares
    squares = square(version, layer, numbers)
    sheet = np.full((FACE * -(-len(squares) // BLOCK), FACE * BLOCK, 3), GREY, np.uint8)
    for place, picture in enumerate(squares):
        top, left = FACE * (place // BLOCK), FACE * (place % BLOCK)
        sheet[top : top + FACE, left : left + FACE] = picture
    return Picture(pictures.encode(sheet, ".webp"), WEBP)


def _gallery_squares(version: OpenVersion, layer: str, numbers: range) -> list[Byte]:
    gallery = version.rows("gallery", layer, None, "pictures", slice(numbers.start, numbers.stop))
    return [_square(picture) for picture in gallery]


def _patch_squares(version: OpenVersion, layer: str, numbers: range) -> list[Byte]:
    grey = np.full((FACE, FACE, 3), GREY, np.uint8)
    strongest = [version.run.thumbnails(layer, unit)[:1] for unit in numbers]
    return [_square(pictures.decode(encoded[0])) if encoded else grey for encoded in strongest]


def _square(picture: Byte) -> Byte:
    """Return the middle square of a picture at the size of a face."""
    from PIL import Image

    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = picture[top : top + side, left : left + side]
    if side == FACE:
        return square
    return np.asarray(Image.fromarray(square).resize((FACE, FACE), Image.Resampling.LANCZOS))


def patch(version: OpenVersion, layer: str, unit: int, sign: str, rank: int) -> Picture:
    """Return the thumbnail of one of a unit's strongest patches."""
    if sign not in patches.SIGNS:
        raise NotFound(f"no sign {sign!r}; it is positive or negative")
    units.check(version, layer, unit)
    stored = version.thumbnails(layer, unit, sign)
    if not 0 <= rank < len(stored):
        raise NotFound(f"{layer}:{unit} has {len(stored)} {sign} patches with a picture, none of rank {rank}")
    return Picture(stored[rank], JPEG)


def gradient(version: OpenVersion, layer: str, unit: int, rank: int) -> Picture:
    """Return the stored gradient of a unit in one of its strongest patches."""
    units.check(version, layer, unit)
    stored = version.gradients(layer, unit)
    place = np.flatnonzero(stored.rank == rank)
    if not len(place):
        raise NotFound(f"{layer}:{unit} has no gradient of the patch of rank {rank}")
    return Picture(pictures.encode(stored.pictures[int(place[0])], ".png"), PNG)


def synthetic(version: OpenVersion, layer: str, unit: int) -> Picture:
    """Return the gallery's picture of a unit at full size."""
    units.check(version, layer, unit)
    return Picture(
        pictures.encode(version.rows("gallery", layer, None, "pictures", slice(unit, unit + 1))[0], ".png"), PNG
    )


def member(version: OpenVersion, layer: str, grid: int, row: int, col: int, index: int) -> Picture:
    """Return the thumbnail of one of the drawn members of a cell."""
    cells.number_of(version, layer, grid, row, col)
    stored = version.members(layer, grid, row, col)["picture"]
    if not 0 <= index < len(stored):
        raise NotFound(f"cell {row},{col} has {len(stored)} members drawn, none of number {index}")
    return Picture(stored[index].as_py(), JPEG)


def crop(version: OpenVersion, layer: str, unit: int, part: int, example: int) -> Picture:
    """Return one example from a part of a unit's range, cut from its image."""
    from PIL import Image

    from storage.images.decode import decode

    intervals = version.keep(("intervals", layer, unit), lambda: unit_details.one(version, layer, unit)["intervals"])
    examples = intervals[part]["examples"] if part < len(intervals) else []
    if example >= len(examples):
        raise NotFound(f"{layer}:{unit} has no example {example} in part {part} of its range")
    image, box = decode(source_bytes(version, examples[example]["image_id"])).convert("RGB"), examples[example]["focus"]
    cut = image.crop((box["left"], box["top"], box["right"], box["bottom"])) if box else image
    cut.thumbnail((FACE * 2, FACE * 2), Image.Resampling.LANCZOS)
    return Picture(pictures.encode(np.asarray(cut), ".webp"), WEBP)


def photo(version: OpenVersion, id: int) -> Picture:
    """Return an image of the run, read from its source, at most 1024 pixels wide and high."""
    return _read(version, id, LONGEST)


def thumbnail(version: OpenVersion, id: int) -> Picture:
    """Return an image of the run, at most 192 pixels wide and high."""
    return _read(version, id, SMALL)


def _read(version: OpenVersion, id: int, longest: int) -> Picture:
    from PIL import Image

    from storage.images.decode import decode

    image = decode(source_bytes(version, id))
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return Picture(pictures.encode(np.asarray(image.convert("RGB")), ".webp"), WEBP)


def source_bytes(version: OpenVersion, image_id: int) -> bytes:
    """Read an image of the run from its source. Raises NotFound where it is gone."""
    from storage.images import sources

    run, about = version.run, version.run.version.about
    if not 0 <= image_id < about["ids"]:
        raise NotFound(f"{run.name} has no image {image_id}; its ids are 0 to {about['ids'] - 1}")
    for _, data in sources.read(sources.source_of(about), run.listing([image_id])):
        if isinstance(data, bytes):
            return data
    raise NotFound(f"image {image_id} of {run.name} is no longer where it was when the run was made")
