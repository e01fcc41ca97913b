"""The worker's child process: load a model once, answer requests from a pipe."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from flows.viewer.answers.errors import Failed
from storage.errors import ActlasError

Handler = Callable[[str, dict[str, Any], bytes], Any]


def handlers() -> dict[str, Handler]:
    """Return the request handlers by name. They are imported here, in the child, so that the server loads no torch."""
    from flows.viewer.model.answer_image import explain, locate
    from flows.viewer.model.facets import facets
    from flows.viewer.model.gradients import gradients
    from flows.viewer.model.links import links

    return {"locate": locate, "explain": explain, "links": links, "facets": facets, "gradients": gradients}


def serve(store: str, pipe: Connection) -> None:
    """Answer requests until the other end of the pipe closes."""
    by_kind = handlers()
    while True:
        try:
            kind, request, data = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((True, by_kind[kind](store, request, data)))
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
