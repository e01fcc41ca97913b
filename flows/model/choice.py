"""The shape of one of a model's first classes; importing it loads no torch."""

from __future__ import annotations

from typing_extensions import TypedDict


class Choice(TypedDict):
    """One of the model's first classes for the image; a model with one score per image gives no probability."""

    index: int
    name: str
    logit: float
    probability: float | None
