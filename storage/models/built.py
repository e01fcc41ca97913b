"""What building a model from its spec returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from storage.models.preprocessing import Preprocess


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A module with its weights, and the preprocessing and class names that came with it."""

    module: Any
    preprocess: Preprocess | None = None
    classes: tuple[str, ...] = ()
    logits: Callable[[Any], Any] | None = None
    """How to read class scores, where a library says; `NoScores` where it says that there are none."""
    own: bool = False
    """Whether a user's factory made it."""
