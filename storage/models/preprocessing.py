"""Turn an image into a model's input: resize the shorter side, crop the centre, normalise the values.

Importing this module loads no torch; only making tensors does. Images are as returned by `storage.images.decode`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atlas.arrays import Byte, Geometry

if TYPE_CHECKING:
    from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_MAX_WHOLE = 64_000_000
"""Largest size in pixels of a whole resized image; one of 1 × 4,000 pixels would grow to gigabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """Resize, centre crop and normalise, as torchvision's `ImageClassification` preset does on PIL images.

    `resize` is the shorter side in pixels, or (height, width) whatever the image's shape, or None. `crop` is
    (height, width); a smaller resized image is padded with black. Resizing always antialiases, as Pillow does.
    `mean` and `std` are for values in 0 … 1, one per input channel: three or (grey) one.
    """

    resize: int | tuple[int, int] | None = 256
    crop: tuple[int, int] | None = (224, 224)
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        if self.interpolation not in INTERPOLATIONS:
            known = ", ".join(INTERPOLATIONS)
            raise ValueError(f"interpolation {self.interpolation!r} is not one of {known}")
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise ValueError(f"mean and std need three values each, or one for grey: got {self.mean} and {self.std}")
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive, got {self.std}")
        if self.crop is None and not isinstance(self.resize, tuple):
            raise ValueError("without a crop, resize must be (height, width), or images would differ in size")
        if min(self.size) < 1 or (isinstance(self.resize, int) and self.resize < 1):
            raise ValueError(f"sizes must be at least 1 pixel, got resize {self.resize} and crop {self.crop}")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the model's input."""
        size = self.crop or self.resize
        if not isinstance(size, tuple):
            raise ValueError("this preprocessing has no fixed size")
        return size

    @property
    def channels(self) -> int:
        """Channels of the model's input: three, or one for grey."""
        return len(self.mean)

    def blank(self, batch: int) -> NDArray[Any]:
        """Return zeros for `batch` images as returned by `pixels`, `b h w c`."""
        return np.zeros((batch, *self.size, self.channels), np.uint8)

    def pixels(self, image: Image.Image) -> Byte:
        """Resize and crop to uint8 `h w c`, bit for bit equal to torchvision's preset before scaling."""
        mode = "RGB" if self.channels == 3 else "L"
        image = image if image.mode == mode else image.convert(mode)
        array = np.asarray(self._cropped(image))
        return array if array.ndim == 3 else array[..., None]

    def normalise(self, pixels: Tensor) -> Tensor:
        """Scale uint8 `b h w c` to normalised float32 `b c h w`, channels last in memory, on the tensor's device."""
        import torch

        # Not made on the device: that would wait until the device has done all that it was given.
        mean, std = (torch.tensor(v).view(-1, 1, 1).to(pixels.device, non_blocking=True) for v in (self.mean, self.std))
        return pixels.permute(0, 3, 1, 2).to(torch.float32).div_(255).sub_(mean).div_(std)

    def __call__(self, image: Image.Image) -> Tensor:
        """Turn an image into the model's input, float32 `c h w`."""
        import torch

        return self.normalise(torch.from_numpy(self.pixels(image).copy())[None])[0].contiguous()

    def geometry(self, width: int, height: int) -> Geometry:
        """Return where the input's pixels lie in a source image of this size.

        Indices refer to pixel centres on both sides: the centre of input pixel i lies at offset + scale · i in the source,
        where 0 is the centre of its first pixel. Black padding lies outside the source.
        """
        resized_h, resized_w = self._resized(width, height)
        crop_h, crop_w = self.size
        scale_y, scale_x = height / resized_h, width / resized_w
        return Geometry(
            scale_y=scale_y,
            scale_x=scale_x,
            offset_y=(_crop_start(resized_h, crop_h) + 0.5) * scale_y - 0.5,
            offset_x=(_crop_start(resized_w, crop_w) + 0.5) * scale_x - 0.5,
            height=height,
            width=width,
        )

    def fingerprint(self) -> str:
        """Return the preprocessing as canonical JSON: equal strings, equal inputs."""
        return json.dumps({"kind": "preprocess", **asdict(self)}, sort_keys=True, separators=(",", ":"))

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Return (height, width) after resizing: the longer side is rounded down, as torchvision does."""
        if self.resize is None:
            return height, width
        if isinstance(self.resize, tuple):
            return self.resize
        longer = int(self.resize * max(width, height) / min(width, height))
        return (longer, self.resize) if width <= height else (self.resize, longer)

    def _cropped(self, image: Image.Image) -> Image.Image:
        height, width = self._resized(*image.size)
        resample = INTERPOLATIONS[self.interpolation]
        if height * width > max(_MAX_WHOLE, image.width * image.height):
            return self._resize_cropped(image, height, width, resample)
        if (width, height) != image.size:
            image = image.resize((width, height), resample)
        left, top = _crop_start(width, self.size[1]), _crop_start(height, self.size[0])
        # Pillow fills the outside with black, as torchvision's padding does.
        return image.crop((left, top, left + self.size[1], top + self.size[0]))

    def _resize_cropped(self, image: Image.Image, height: int, width: int, resample: Image.Resampling) -> Image.Image:
        """Resize only the cropped part of an image that would not fit into memory if resized whole.

        Equals resizing the whole image within rounding.
        """
        (top, down), (left, across) = _visible(height, self.size[0]), _visible(width, self.size[1])
        scale_y, scale_x = image.height / height, image.width / width
        box = (left * scale_x, top * scale_y, (left + across) * scale_x, (top + down) * scale_y)
        part = image.resize((across, down), resample, box=box)
        out = Image.new(image.mode, (self.size[1], self.size[0]))
        out.paste(part, (left - _crop_start(width, self.size[1]), top - _crop_start(height, self.size[0])))
        return out


def _crop_start(resized: int, crop: int) -> int:
    """Return the pixel of the resized image at which the crop starts; negative if the image is padded.

    Odd margins: the crop rounds half to even, the padding puts the smaller half first (torchvision `center_crop`).
    """
    return round((resized - crop) / 2) if resized >= crop else -((crop - resized) // 2)


def _visible(resized: int, crop: int) -> tuple[int, int]:
    """Return the first resized pixel inside the crop and the number of such pixels."""
    return max(0, _crop_start(resized, crop)), min(resized, crop)


def from_fingerprint(text: str) -> Preprocess:
    """Parse a preprocessing from its `fingerprint`; fields that a subclass added are left out."""
    known = {field.name for field in fields(Preprocess)}
    record: dict[str, Any] = {
        n: tuple(value) if isinstance(value, list) else value for n, value in json.loads(text).items()
    }
    return Preprocess(**{n: value for n, value in record.items() if n in known})


def from_torchvision(preset: Any) -> Preprocess:
    """Convert a torchvision `ImageClassification` preset, as returned by `weights.transforms()`.

    Raise `ValueError` for any other transform.
    """
    try:
        resize, crop = list(preset.resize_size), list(preset.crop_size)
        interpolation, mean, std = preset.interpolation.value, preset.mean, preset.std
    except (AttributeError, TypeError) as error:
        raise ValueError(f"{preset!r} is not torchvision's ImageClassification preset: {error}") from error
    return Preprocess(
        resize=int(resize[0]) if len(resize) == 1 else _pair(resize),
        crop=_pair(crop * 2 if len(crop) == 1 else crop),
        interpolation=interpolation,
        mean=tuple(float(value) for value in mean),
        std=tuple(float(value) for value in std),
    )


def from_timm(config: Mapping[str, Any]) -> Preprocess:
    """Convert a timm data configuration (`timm.data.resolve_model_data_config`) to the same evaluation transform.

    Raise `ValueError` for unsupported crop modes and shapes.
    """
    channels, height, width = config["input_size"]
    mode, percent = config.get("crop_mode") or "center", config.get("crop_pct") or 0.875
    scaled = (math.floor(height / percent), math.floor(width / percent))
    if mode not in ("center", "squash") or (mode == "center" and height != width):
        raise ValueError(
            f"timm crop mode {mode!r} at {height} × {width} pixels; only center (square) and squash are supported"
        )
    mean, std = tuple(config["mean"]), tuple(config["std"])
    if channels not in (1, 3):
        raise ValueError(f"the model takes {channels} channels; only 3 and (grey) 1 are supported")
    return Preprocess(
        resize=scaled if mode == "squash" else scaled[0],
        crop=(height, width),
        interpolation=config.get("interpolation") or "bilinear",
        mean=mean[:channels],
        std=std[:channels],
    )


def _pair(values: Sequence[int]) -> tuple[int, int]:
    height, width = values
    return int(height), int(width)
