"""Errors of comparisons and of the model worker."""

from __future__ import annotations

from storage.errors import ActlasError


class Busy(ActlasError):
    """Too many requests, one that took too long, or one whose client has disconnected."""


class Full(Busy):
    """Too many requests at once; a retry a moment later may succeed."""


class Failed(ActlasError):
    """The model, or our code around it, failed; the request was valid."""
