"""Names of Prefect states and tags, and errors, shared by this room."""

from __future__ import annotations

from flows.config import RunConfig
from storage.errors import ActlasError

GPU_TAG = "actlas-gpu"
"""The tag of tasks that use a GPU: a limit on it holds for all runs on a server."""

PARTLY_REJECTED, SKIPPED = "PartlyRejected", "Skipped"
"""Names of final states: done, but with broken images left out; not done, since another run of the name was active."""


class ServerUnreachable(ActlasError):
    """Prefect's server does not answer."""


def gpu_tags(config: RunConfig) -> list[str]:
    """Return the GPU tag if the run uses a GPU."""
    from flows.model import prepared  # loads torch, which a server that cannot start is said without

    return [GPU_TAG] if prepared.device_of(config).type == "cuda" else []
