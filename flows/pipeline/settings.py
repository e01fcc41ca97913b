"""The settings that a version records: those that decide its results, and are in use."""

from __future__ import annotations

from typing import Any

from flows import registry
from flows.config import SELECTING, RunConfig
from flows.pipeline import model_updates

NOT_OF_THE_RESULT = ("images", "store", "name", "until", "max_rejected")
"""Settings that a version need not record: they change no result, or `about` has them."""

CHOOSING = ("grow", "image_keys", "where", "table", "per_label", "sample")
"""Settings that choose among the images."""


def recorded(config: RunConfig) -> dict[str, Any]:
    """Return the settings for a version, with absolute paths of files."""
    settings = model_updates.with_absolute_files(config)
    return settings.model_dump(mode="json", exclude={*NOT_OF_THE_RESULT, *_unused(config)})


def _unused(config: RunConfig) -> set[str]:
    """Return the optional settings that are not in use, so that versions without them read as before there were any."""
    optional = ("extras", "keep", "logits", "allow_varying", "image_column", *CHOOSING, *SELECTING)
    return {name for name in (*optional, *registry.extra_settings()) if not getattr(config, name)}
