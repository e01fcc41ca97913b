"""Pictures on disk: Deep Zoom pyramids, PNG, WebP and JPEG, with equal bytes for equal pixels."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from atlas.arrays import Byte
from storage.errors import Damaged, NoSpace, StoreError
from storage.store.results import Result

TILE = 256
"""Side of a tile in pixels; tiles do not overlap."""

QUALITY = 85
"""Quality of lossy WebP and JPEG, out of 100."""


def write_pyramid(
    strips: Byte | Iterable[Byte], path: Path, *, size: tuple[int, int] | None = None, quality: int | None = QUALITY
) -> Path:
    """Write a picture as a Deep Zoom pyramid of WebP tiles, `PATH.dzi` and `PATH_files/`; return the former.

    The picture is an array `h w 3`, or its horizontal strips from the top with their total `size` (height, width). Strips
    go through a temporary file next to `path` (3 bytes per pixel), so that they are never all in memory.
    `quality=None` is lossless at the deepest level. libvips's property file is removed: it holds a date.
    """
    if isinstance(strips, np.ndarray):
        size, strips = (strips.shape[0], strips.shape[1]), [strips]
    if size is None:
        raise ValueError("strips need the `size` (height, width) of their picture")
    path = path.with_suffix("") if path.suffix == ".dzi" else path
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".raw-") as raw:
        _write_strips(strips, raw, size)
        with _vips(path, 3 * size[0] * size[1]) as vips:
            picture = vips.Image.rawload(raw.name, size[1], size[0], 3, access="sequential")
            picture.copy(interpretation="srgb").dzsave(
                str(path), suffix=f".webp[{_webp_options(quality)}]", tile_size=TILE, overlap=0, keep="none"
            )
    Path(f"{path}_files", "vips-properties.xml").unlink(missing_ok=True)
    return Path(f"{path}.dzi")


def write_png(picture: Byte, path: Path) -> None:
    """Write `h w 3` losslessly."""
    path.write_bytes(encode(picture, ".png"))


def read(result: Result, name: str) -> Byte:
    """Read a picture of a result as `h w 3`. Raises Damaged, naming the file."""
    return decode(result.data(name), name=str(result.path / name))


def encode(picture: Byte, suffix: str, *, quality: int | None = QUALITY) -> bytes:
    """Encode `h w 3` as `.png`, `.webp` or `.jpg`, without date or metadata."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ValueError(f"a picture must be uint8 (height, width, 3), not {picture.dtype} {picture.shape}")
    options = {".png": "", ".webp": f"[{_webp_options(quality)}]", ".jpg": f"[Q={quality}]"}[suffix]
    height, width = picture.shape[:2]
    with _vips(Path(suffix)) as vips:
        image = vips.Image.new_from_memory(np.ascontiguousarray(picture).tobytes(), width, height, 3, "uchar")
        encoded: bytes = image.copy(interpretation="srgb").write_to_buffer(suffix + options, keep="none")
    return encoded


def decode(data: bytes, *, name: str = "picture") -> Byte:
    """Decode bytes from `encode` (or any RGB picture that libvips reads) to `h w 3`."""
    import pyvips

    try:
        pixels: Byte = pyvips.Image.new_from_buffer(data, "", fail_on="warning").numpy()
    except pyvips.Error as error:
        raise Damaged(f"{name} does not decode: {_one_line(error)}; run `actlas verify --repair`") from error
    return pixels[..., :3] if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def _write_strips(strips: Iterable[Byte], raw: Any, size: tuple[int, int]) -> None:
    """Write strips consecutively, checking that they add up to a picture of this size."""
    rows = 0
    for strip in strips:
        if strip.dtype != np.uint8 or strip.shape[1:] != (size[1], 3):
            raise ValueError(f"a strip must be uint8 (rows, {size[1]}, 3), not {strip.dtype} {strip.shape}")
        raw.write(np.ascontiguousarray(strip).data)
        rows += len(strip)
    if rows != size[0] or not rows or not size[1]:
        raise ValueError(f"the strips add up to {rows} rows of {size[1]} px, not a picture of {size[0]} × {size[1]}")
    raw.flush()


@contextmanager
def _vips(path: Path, needed: int = 0) -> Iterator[Any]:
    """Yield pyvips, imported lazily, and turn its errors into ours."""
    import pyvips

    try:
        yield pyvips
    except pyvips.Error as error:
        if "No space left" in str(error):
            raise NoSpace(str(path.parent), needed, shutil.disk_usage(path.parent).free) from error
        raise StoreError(f"{path} can't be written: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _webp_options(quality: int | None) -> str:
    return "lossless=true" if quality is None else f"Q={quality}"
