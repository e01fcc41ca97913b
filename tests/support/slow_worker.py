"""Stands in for the process with the model: quick to start, and with one question that it never answers."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection

from flows.viewer.model.child import ANSWERING


def serve(store: str, pipe: Connection) -> None:
    """Answer with the question itself; leave `explain` unanswered."""
    while True:
        question, *_ = pipe.recv()
        pipe.send((ANSWERING, None))
        if question == "explain":
            time.sleep(600)
        pipe.send((True, question))
