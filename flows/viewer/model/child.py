"""The worker's child process: load a model once, answer requests from a pipe, and tell when one begins."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from flows.viewer.answers.errors import Failed
from storage.errors import ActlasError

Handler = Callable[[str, dict[str, Any], bytes], Any]
Load = Callable[[str, dict[str, Any]], Any]
ANSWERING = "answering"
"""Sent once the model is loaded: the time limit of an answer begins then."""


def handlers() -> dict[str, tuple[Load, Handler]]:
    """Return by name what loads the model of a request, and what answers it.

    They are imported here, in the child, so that the server loads no torch.
    """
    from flows.viewer.model import loading
    from flows.viewer.model.answer_image import explain, locate
    from flows.viewer.model.facets import facets
    from flows.viewer.model.gradients import gradients
    from flows.viewer.model.links import links

    return {
        "load": (loading.context, loading.loaded),
        "locate": (loading.prepared, locate),
        "explain": (loading.context, explain),
        "links": (loading.prepared, links),
        "facets": (loading.prepared, facets),
        "gradients": (loading.prepared, gradients),
    }


def serve(store: str, pipe: Connection) -> None:
    """Answer requests until the other end of the pipe closes."""
    by_kind = handlers()
    while True:
        try:
            kind, request, data = pipe.recv()
        except EOFError:
            return
        try:
            load, answer = by_kind[kind]
            load(store, request)
            pipe.send((ANSWERING, None))
            pipe.send((True, answer(store, request, data)))
        except ActlasError as error:
            pipe.send((False, error))
        except Exception as error:
            traceback.print_exc()
            message = f"the model failed on this ({type(error).__name__}); where the viewer was started it says more"
            pipe.send((False, Failed(message)))


def serve_at_low_priority(store: str, pipe: Connection) -> None:
    """Answer requests at a lower priority than other processes."""
    os.nice(10)
    serve(store, pipe)
