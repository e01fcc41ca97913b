"""Load a model from its spec, and describe its input."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storage.models.loading import Model, load
    from storage.models.preprocessing import Preprocess

__all__ = ["Model", "Preprocess", "load"]


def __getattr__(name: str) -> Any:
    """Import lazily: models load torch, preprocessing alone does not."""
    if name not in __all__:
        raise AttributeError(f"module 'storage.models' has no attribute {name!r}")
    module = "preprocessing" if name == "Preprocess" else "loading"
    return getattr(importlib.import_module(f"storage.models.{module}"), name)
