"""Convert every pixel format to 8-bit RGB, by the policy in docs/images.md."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from storage.errors import Rejected

WHITE = (255, 255, 255)
_MAX_PROFILE = 4 << 20
_PLAIN = frozenset({"1", "L", "P", "YCbCr", "HSV", "RGBX"})
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an opened image of at most 8 bits per channel to RGB; raise `Rejected` for modes without a defined range."""
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or image.has_transparency_data:
        return on_white(image.convert("RGBA"))
    if image.mode == "RGB":
        return image
    if image.mode == "CMYK":
        return _from_cmyk(image)
    if image.mode in _PLAIN:
        return image.convert("RGB")
    raise Rejected("unsupported", f"pixels of kind {image.mode} have no agreed range of values")


def on_white(image: Image.Image) -> Image.Image:
    """Composite an RGBA image on white, rounding to the nearest value."""
    background = Image.new("RGB", image.size, WHITE)
    background.paste(image, mask=image.getchannel("A"))
    return background


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Transpose an image by its EXIF orientation; values other than 2 … 8 leave it unchanged."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def from_16_bit(pixels: NDArray[np.uint16]) -> Image.Image:
    """Convert `h w c` with 1 (grey), 2 (grey, alpha), 3 or 4 channels to RGB: v / 257 rounded, alpha on white."""
    eight = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if eight.shape[2] < 3:
        eight = np.concatenate([np.repeat(eight[..., :1], 3, axis=2), eight[..., 1:]], axis=2)
    image = Image.fromarray(eight)
    return on_white(image) if image.mode == "RGBA" else image


def decode_16_bit(data: bytes) -> NDArray[Any]:
    """Decode a 16-bit PNG or TIFF to `h w c`, keeping the low bytes that Pillow would drop."""
    import pyvips

    try:
        image = pyvips.Image.new_from_buffer(data, "", access="sequential", fail_on="error")
        pixels = np.asarray(image.numpy())
    except pyvips.Error as error:
        raise ValueError((str(error).splitlines() or ["cannot decode 16-bit pixels"])[-1]) from error
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _from_cmyk(image: Image.Image) -> Image.Image:
    """Convert CMYK by its colour profile if that is valid, else by Pillow's plain formula.

    A four-component JPEG is stored inverted, as Adobe writes it; Pillow inverts it on decoding.
    """
    profile = image.info.get("icc_profile") or b""
    if 0 < len(profile) <= _MAX_PROFILE:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # ignore a profile that is broken or for another colour space
    return image.convert("RGB")
