"""Prefect's states, tags and errors that several files here name."""

from __future__ import annotations

from flows.config import RunConfig
from flows.model import prepared
from storage.errors import ActlasError

GPU_TAG = "actlas-gpu"
"""Tasks that use a GPU carry it, so that a limit on the tag holds for all runs on a server."""

PARTLY_REJECTED, SKIPPED = "PartlyRejected", "Skipped"
"""Names of final states: done without the images that are broken; not done, since another run of the name is under way."""


class ServerUnreachable(ActlasError):
    """Prefect's server does not answer."""


def gpu_tags(config: RunConfig) -> list[str]:
    """Return the tag that a limit on GPUs counts, if the run uses one."""
    return [GPU_TAG] if prepared.device_of(config).type == "cuda" else []
