"""Load the models of requests, apart from answering them: on a slow machine it takes longer than any answer."""

from __future__ import annotations

import functools
from typing import Any

from flows.drawing.illustrator import Drawing, Illustrator
from flows.model import context as model_context
from flows.model import published
from flows.model.context import ModelContext
from flows.model.prepared import PreparedModel
from flows.viewer.model.answers import Loaded
from storage.run import open_run


def context(store: str, request: dict[str, Any]) -> ModelContext:
    """Return the context of a request's run, loaded once."""
    return illustrator(store, request["run"]).context


@functools.lru_cache(maxsize=1)
def illustrator(store: str, run: str) -> Illustrator:
    """Return the illustrator of a run's context: both hold a copy of the model."""
    return Illustrator(model_context.open_context(store, run=run), Drawing())


def prepared(store: str, request: dict[str, Any]) -> PreparedModel:
    """Return the prepared model of a request's run, loaded once."""
    return published.prepared_model_of(open_run(store, request["run"]), request["layer"])


def loaded(store: str, request: dict[str, Any], _: bytes) -> Loaded:
    """Tell that the model is loaded."""
    return {"run": request["run"]}
