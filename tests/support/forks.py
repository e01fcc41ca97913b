"""Processes forked from one that has made their imports, which take seconds, where how they start is not the subject."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext

IMPORTS = (
    *("flows.viewer.app", "flows.viewer.model.answer_image", "flows.pipeline.run", "httpx", "pytest"),
    # What drawing, explaining and laying out import on their way.
    *("captum.attr", "faiss", "numba", "sklearn.manifold", "torch._inductor"),
)
"""What the server of forks imports when its first fork is asked for."""


def context() -> ForkServerContext:
    """Return the context that starts processes as such forks."""
    multiprocessing.set_forkserver_preload(list(IMPORTS))
    return multiprocessing.get_context("forkserver")
