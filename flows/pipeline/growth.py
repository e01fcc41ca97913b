"""A run that grows: each version uses some images more than the one before, until all are in."""

from __future__ import annotations

from flows.config import RunConfig
from storage.store.store import Store


def grown(store: Store, config: RunConfig) -> RunConfig:
    """Return the configuration with the limit of the next version: the images of the last one, and `--grow` more.

    A run that was killed published nothing, so that it goes on with the same images.
    """
    if config.grow is None:
        return config
    published = store.versions(config.run_name)
    before = int(store.version(config.run_name).about["listed"]) if published else 0
    limit = before + config.grow
    return config.model_copy(update={"limit": min(limit, config.limit or limit)})
