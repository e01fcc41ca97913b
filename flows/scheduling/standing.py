"""The standing Prefect server that the environment or a profile names, found without loading Prefect's client."""

from __future__ import annotations

from prefect.settings import PREFECT_API_URL


def address() -> str | None:
    """Return the address of the configured server, None if a run has to start one."""
    return PREFECT_API_URL.value() or None
