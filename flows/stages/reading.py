"""The run's source of images, opened once: finding out what kind a path is may mean walking a tree."""

from __future__ import annotations

import functools

from flows.config import RunConfig
from flows.model.prepared import PreparedModel, prepare
from flows.planning.tasks import Task
from storage.errors import BadWeights
from storage.images.contract import Source
from storage.images.sources import open_source


@functools.lru_cache(maxsize=1)
def source_of(images: str) -> Source:
    """Return the source; the same one all through a run."""
    return open_source(images)


def forget() -> None:
    """Forget the source at the start of a run."""
    source_of.cache_clear()


def prepared_model(task: Task) -> PreparedModel:
    """Return the subject of a task. Raises BadWeights if it is not the one that the task's keys were made from.

    A weights file may be written over while a run goes on, and another machine may have another one.
    """
    config = RunConfig(**task.how["config"])
    found, planned = prepare(config), task.how.get("model")
    if planned not in (None, found.whole):
        raise BadWeights(f"{_what(config)} changed while the run went on, or differs between machines; run again")
    return found


def _what(config: RunConfig) -> str:
    return f"weights {config.weights}" if config.weights else f"model {config.model}"
