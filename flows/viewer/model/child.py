"""The worker's child process: load a model once, answer requests from a pipe."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from flows.viewer.answers.errors import Failed
from storage.errors import ActlasError

Question = Callable[[str, dict[str, Any], bytes], Any]


def questions() -> dict[str, Question]:
    """Return what can be asked, by name. Imported here, in the child: the server itself loads no torch."""
    from flows.viewer.model.answer_image import explain, locate
    from flows.viewer.model.facets import facets
    from flows.viewer.model.gradients import gradients
    from flows.viewer.model.links import links

    return {"locate": locate, "explain": explain, "links": links, "facets": facets, "gradients": gradients}


def serve_questions(store: str, pipe: Connection) -> None:
    """Answer questions until the other end is closed."""
    known = questions()
    while True:
        try:
            question, asked, data = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            pipe.send((True, known[question](store, asked, data)))
        except ActlasError as error:
            pipe.send((False, error))
        except Exception as error:
            traceback.print_exc()
            said = f"the model failed on this ({type(error).__name__}); where the viewer was started it says more"
            pipe.send((False, Failed(said)))


def serve_behind(store: str, pipe: Connection) -> None:
    """Do the same, and let others have the cores first."""
    os.nice(10)
    serve_questions(store, pipe)
