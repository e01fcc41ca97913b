"""The place of the flows before 0.2.0, which older deployments and copies of `prefect.yaml` still name."""

from __future__ import annotations

from typing import Any

MOVED = ("activation_atlas", "regenerate")


def __getattr__(name: str) -> Any:
    """Say in one line where an entry point is now, and what to do with the deployment: in a run, by a flow that fails."""
    if name in MOVED:
        from flows.scheduling import moved_entry_points

        message = (
            f"the entry point flows.prefect_flow.{name} is now flows.scheduling.prefect_flow.{name}: change it in prefect.yaml "
            "and run `prefect deploy` again, or restart `actlas serve`"
        )
        if moved_entry_points.in_a_run():
            return moved_entry_points.failing(name, message)
        raise ImportError(message)
    raise AttributeError(f"module 'flows.prefect_flow' has no attribute {name!r}")
