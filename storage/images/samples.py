"""`sample-photos`: a small folder of images cut from photos in scikit-image and scikit-learn.

Their labels say what the photos show, where a photo's own name does not: `chelsea` is a cat.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from storage import errors

SAMPLE_PHOTOS = "sample-photos"
_SIDE = 256
_SMALLEST = 96
_SCALES = (1.0, 0.6, 0.4, 0.25)
_WRITTEN = 946_684_800
"""Modification time of every file (the first second of 2000, UTC), so that listings agree between machines."""


@dataclass(frozen=True, slots=True)
class _Photo:
    """A photo of a package and the number of crops to cut from it, spread over the scales."""

    package: str
    place: str
    crops: int

    @property
    def name(self) -> str:
        """The folder of its crops."""
        return Path(self.place).stem.removesuffix("_left").removesuffix("_deep_field")


_PHOTOS = (
    *(_Photo("skimage", f"data/{name}", 44) for name in ("astronaut.png", "chelsea.png", "coffee.png")),
    *(_Photo("skimage", f"data/{name}", 44) for name in ("hubble_deep_field.jpg", "rocket.jpg", "retina.jpg")),
    *(_Photo("skimage", f"data/{name}", 44) for name in ("motorcycle_left.png", "ihc.png")),
    *(_Photo("sklearn", f"datasets/images/{name}", 60) for name in ("china.jpg", "flower.jpg")),
    *(_Photo("skimage", f"data/{name}", 22) for name in ("brick.png", "camera.png", "coins.png")),
    *(_Photo("skimage", f"data/{name}", 22) for name in ("grass.png", "gravel.png", "moon.png")),
)

SHOWS = {
    "brick": "brick wall",
    "camera": "photographer",
    "chelsea": "cat",
    "china": "temple",
    "coffee": "cup of coffee",
    "hubble": "galaxies",
    "ihc": "stained tissue",
    "retina": "retina of an eye",
    "rocket": "rocket launch",
}
"""What a photo shows, by its name, where that says something else; as the packages describe their photos."""


def sample_photos(cache: Path | None = None) -> Path:
    """Write the crops under `cache` unless they exist, and return their folder.

    The pixels depend only on the photos, the bytes also on Pillow's encoders. Raise `UsageError` if a package is missing
    or the cache folder can't be written.
    """
    folder = (cache or _user_cache()) / f"{SAMPLE_PHOTOS}-1"
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".sample-photos-") as scratch:
            crops = Path(scratch) / "crops"
            for photo in _PHOTOS:
                _write(photo, crops)
            _move(crops, folder)
    except OSError as error:
        raise errors.UsageError(f"cannot write the sample photos under {folder.parent}: {error}") from error
    return folder


@functools.cache
def fixed_photos() -> tuple[Image.Image, ...]:
    """Return a mosaic, and a bright, a dark, a grey and a small photo: wide and tall, with equal pixels everywhere.

    They are cut from files without loss. The mosaic has much in one picture: units that respond rarely have their chance.
    """
    coffee, chelsea, camera = (_photo(name) for name in ("coffee.png", "chelsea.png", "camera.png"))
    bright = _stretched(coffee, 6, 5, 90).transpose(Image.Transpose.ROTATE_90)
    return _mosaic(), bright, _stretched(chelsea, 1, 3, 0), camera.convert("L"), chelsea.resize((40, 30))


def _photo(name: str) -> Image.Image:
    with Image.open(_locate(_Photo("skimage", f"data/{name}", 0))) as image:
        return image.convert("RGB")


def _stretched(photo: Image.Image, times: int, over: int, plus: int) -> Image.Image:
    values = np.asarray(photo, np.int64) * times // over + plus
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _mosaic() -> Image.Image:
    """Put crops of four photos beside each other, at four scales and four contrasts."""
    tile, whole = _SIDE // 2, Image.new("RGB", (2 * _SIDE, 2 * _SIDE))
    for row, name in enumerate(("astronaut.png", "coffee.png", "ihc.png", "motorcycle_left.png")):
        photo = _photo(name)
        for column, box in enumerate(_boxes(photo.width, photo.height, 4)):
            crop = photo.crop(box).resize((tile, tile), Image.Resampling.LANCZOS)
            strong = _stretched(crop, *((1, 1, 0), (2, 1, -90), (3, 1, -200), (1, 2, 110))[(row + column) % 4])
            whole.paste(strong, (column * tile, row * tile))
    return whole


def _move(crops: Path, folder: Path) -> None:
    """Move the finished folder into place, unless another process has already put the same one there."""
    try:
        os.rename(crops, folder)
    except OSError:
        if not folder.is_dir():
            raise
        shutil.rmtree(crops)


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "actlas"


def _write(photo: _Photo, crops: Path) -> None:
    folder = crops / photo.name
    folder.mkdir(parents=True, exist_ok=True)
    with Image.open(_locate(photo)) as image:
        photograph = image if image.mode == "L" else image.convert("RGB")
        for number, box in enumerate(_boxes(photograph.width, photograph.height, photo.crops)):
            side = min(_SIDE, box[2] - box[0])
            crop = photograph.crop(box).resize((side, side), Image.Resampling.LANCZOS)
            # Grey photos as PNG, so that the demo uses both decoders.
            path = folder / f"{photo.name}_{number:02d}.{'png' if crop.mode == 'L' else 'jpg'}"
            crop.save(path, quality=92)
            os.utime(path, (_WRITTEN, _WRITTEN))


def _locate(photo: _Photo) -> Path:
    """Find a photo without importing its package, which would take a second."""
    spec = importlib.util.find_spec(photo.package)
    for root in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(root) / photo.place).is_file():
            return path
    raise errors.UsageError(f"{SAMPLE_PHOTOS} needs {photo.place} of the package {photo.package}; reinstall it")


def _boxes(width: int, height: int, count: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield square boxes (left, top, right, bottom) at four scales, spread evenly.

    Small scales get more of them. Positions follow the two-dimensional golden-ratio sequence (R2), which is more evenly
    spread than random ones and the same on every machine.
    """
    for i in range(count):
        scale = _SCALES[(0, 1, 1, 2, 2, 2, 3, 3, 3, 3)[i % 10]]
        side = min(width, height, max(_SMALLEST, round(scale * min(width, height))))
        across, down = (0.5 + i * 0.7548776662466927) % 1, (0.5 + i * 0.5698402909980532) % 1
        left, top = int(across * (width - side + 1)), int(down * (height - side + 1))
        yield left, top, left + side, top + side
