"""Read images of a run, or image files, for the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from storage.errors import NotFound, Rejected, UsageError
from storage.images import sources
from storage.images.decode import decode
from storage.run import Run


def read_image(run: Run, image: str) -> bytes:
    """Read an image of the run by its id, or an image file."""
    if image.isdecimal():
        return image_of_run(run, int(image))
    try:
        return Path(image).read_bytes()
    except OSError as error:
        raise NotFound(f"{image}: {error.strerror}; give an image file, or the id of an image of the run") from None


def image_of_run(run: Run, image_id: int) -> bytes:
    """Read an image of the run from its source. Raises NotFound, or the error of the image itself."""
    rows = run.listing([image_id])
    if not len(rows):
        raise NotFound(f"{run.name} has no image {image_id}; its ids are 0 to {run.version.about['ids'] - 1}")
    data = sources.read_one(sources.source_of(run.version.about), rows)
    if data is None:
        raise NotFound(f"image {image_id} is no longer at {run.version.about['images']}")
    if not isinstance(data, bytes):
        raise data
    return data


def images(run: Run, patches: Sequence[Mapping[str, Any]]) -> list[Image.Image | None]:
    """Return the source image of each patch, or None where it is missing."""
    ids = sorted({patch["image_id"] for patch in patches})
    decoded: dict[int, Image.Image] = {}
    with suppress(NotFound, UsageError):
        for index, data in sources.read(sources.source_of(run.version.about), run.listing(ids)) if ids else ():
            with suppress(Rejected):
                if isinstance(data, bytes):
                    decoded[ids[index]] = decode(data)
    return [decoded.get(patch["image_id"]) for patch in patches]
