"""actlas from Python: atlases, pictures, explanations of images, and model updates. Loads no torch until one needs it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.notebook.atlas import Atlas, Picture
    from flows.notebook.drawing import ablate, audit, dream, explain, saliency, show
    from flows.notebook.updates import announce

__all__ = ["Atlas", "Picture", "ablate", "announce", "audit", "dream", "explain", "saliency", "show"]

_ELSEWHERE = {"Atlas": "atlas", "Picture": "atlas", "announce": "updates"}


def __getattr__(name: str) -> Any:
    """Import on first use: a notebook that only reads tables loads neither torch nor Prefect."""
    if name not in __all__:
        raise AttributeError(f"module 'flows.notebook' has no attribute {name!r}")
    return getattr(importlib.import_module(f"flows.notebook.{_ELSEWHERE.get(name, 'drawing')}"), name)
