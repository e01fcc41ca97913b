"""What the desk answers: an image that was sent, run through the model of a run."""

from __future__ import annotations

from typing import Any

from flows import locating, query
from flows.viewer.uploads import PIXELS_MOST
from storage.errors import Rejected, UsageError
from storage.images.decode import decode


def locate(store: str, asked: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Return the cells that the positions of the image fall in."""
    _check(data)
    run = query.open_run(store, asked["run"])
    activation = locating.activation_of(run, asked["layer"], data)
    answer = query.locate(run, asked["layer"], activation.numpy(), asked["grid"])
    return {name: answer[name] for name in ("layer", "grid", "height", "width", "cells", "positions")}


def _check(data: bytes) -> None:
    try:
        decode(data, max_pixels=PIXELS_MOST)
    except Rejected as error:
        raise UsageError(f"this image can't be used: {error}") from None


QUESTIONS = {"locate": locate}
