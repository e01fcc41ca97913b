"""Open what tasks read beside stage results, the source of images and the model, once per process."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from flows.config import RunConfig
from flows.planning.tasks import Task
from storage.errors import BadWeights
from storage.images.contract import Source
from storage.images.sources import open_source

if TYPE_CHECKING:
    from flows.model.prepared import PreparedModel


def source_of(config: RunConfig) -> Source:
    """Return the source, opened once per run: finding out the kind of a path may mean walking a tree."""
    return _opened(config.images, config.image_column)


@functools.lru_cache(maxsize=1)
def _opened(images: str, column: str | None) -> Source:
    return open_source(images, column=column)


def forget() -> None:
    """Drop the cached source, at the start of a run."""
    _opened.cache_clear()


def prepared_model(task: Task) -> PreparedModel:
    """Return the model of a task. Raises BadWeights if it is not the one that the task was planned with.

    A weights file may be overwritten during a run, or differ on another machine. A task of a selection expects the
    layers that its source recorded.
    """
    from flows.model.prepared import prepare  # loads torch, which comparing layouts does not need

    config = RunConfig(**task.settings["config"])
    model, planned = prepare(config), task.settings.get("model")
    recorded: dict[str, str] = task.settings.get("fingerprints", {})
    known = model.fingerprints.items() | model.traces.items()
    if planned not in (None, model.whole) or not recorded.items() <= known:
        changed = f"weights {config.weights}" if config.weights else f"model {config.model}"
        raise BadWeights(f"{changed} changed while the run went on, or differs between machines; run again")
    return model
