"""Measure the spectrum of natural pictures, on a run's images or on the sample photos."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pyarrow.compute as pc
import torch
from PIL import Image, ImageOps
from torch import Tensor

from atlas.arrays import Float
from atlas.inversion import maco
from flows.model.context import ModelContext
from storage.errors import Rejected
from storage.images.decode import decode
from storage.images.samples import sample_photos
from storage.images.sources import read, source_of
from storage.run import Run

IMAGES = 256
"""Images to measure: the first by id, which is the order of a hash."""


def spectrum(context: ModelContext, height: int, width: int) -> Float:
    """Return the mean magnitudes `c height width//2+1` of images scaled and cropped to the size."""
    mode = "RGB" if context.model.preprocess.channels == 3 else "L"
    return maco.natural_spectrum(_batches(context, mode, height, width))


def _batches(context: ModelContext, mode: str, height: int, width: int) -> Iterator[Tensor]:
    for data in _run_images(context.run) if context.run is not None else _sample_images():
        with suppress(Rejected):
            image = ImageOps.fit(decode(data).convert(mode), (width, height), Image.Resampling.BICUBIC)
            pixels = torch.from_numpy(np.array(image)).view(1, height, width, -1)
            yield pixels.permute(0, 3, 1, 2).double() / 255


def _run_images(run: Run) -> Iterator[bytes]:
    images = run.images()
    ids = images.filter(pc.is_null(images["reason"]))["image_id"]
    for _, data in read(source_of(run.version.about), run.listing(ids[:IMAGES].to_pylist())):
        if isinstance(data, bytes):
            yield data


def _sample_images() -> Iterator[bytes]:
    files = sorted(path for path in sample_photos().rglob("*") if path.suffix in (".jpg", ".png"))
    for number in range(IMAGES):
        yield files[number * len(files) // IMAGES].read_bytes()
