"""Errors of the model worker, as the routes see them."""

from __future__ import annotations

from storage.errors import ActlasError


class Busy(ActlasError):
    """Too many questions at once, one that took too long, or one that nobody waits for any more."""


class Full(Busy):
    """Too many questions at once: a moment later there is room."""


class Failed(ActlasError):
    """The model, or our own code around it, failed: no fault of what was asked."""
