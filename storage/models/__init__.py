"""Models in: what a factory returns, and how a model is loaded from its spec."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storage.models.loading import Model, find_logits, load
    from storage.models.preprocessing import Preprocess

__all__ = ["Model", "Preprocess", "find_logits", "load"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: models bring torch, preprocessing alone does not."""
    if name not in __all__:
        raise AttributeError(f"module 'storage.models' has no attribute {name!r}")
    room = "preprocessing" if name == "Preprocess" else "loading"
    return getattr(importlib.import_module(f"storage.models.{room}"), name)
