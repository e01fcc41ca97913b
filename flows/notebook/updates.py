"""Announce new weights from Python, as `actlas model updated` does."""

from __future__ import annotations

import os

from flows.notebook.atlas import STORE


def announce(name: str, weights: str | os.PathLike[str], store: str | os.PathLike[str] = STORE) -> list[str]:
    """Announce new weights for the model of a run; return the names of the deployments that will recompute it.

    `weights` is a safetensors file or a state dict at a path that the serving machine sees. The announcement is kept in the
    run's `store` until a version has the weights; a warning says if there is no store. The list is empty where neither
    `actlas serve` nor a deployment serves the run. Raises BadWeights if the file cannot be read, UsageError for a name that
    no run can have, ServerUnreachable if there is no Prefect server.
    """
    from storage import addresses

    addresses.check("weights", weights)
    addresses.check("store", store)

    from flows.pipeline import model_updates
    from flows.scheduling import serve

    return serve.announce(model_updates.announce(name, os.fspath(weights)), os.fspath(store))
