"""The flow of deployments that name an entry point from where it has moved."""

from __future__ import annotations

import os
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.flows import Flow
from prefect.states import Failed

IN_A_RUN = "PREFECT__FLOW_RUN_ID"
"""The environment variable by which Prefect tells a process which flow run it carries out."""


def in_a_run() -> bool:
    """Tell whether this process was started to carry out a flow run."""
    return IN_A_RUN in os.environ


def failing(message: str) -> Flow[..., Any]:
    """Return a flow that takes any parameters and fails with this message.

    An error on import would end the process, and Prefect would show a crash with an exit code.
    """

    @flow(name="actlas", persist_result=False, validate_parameters=False)
    def moved(**_: Any) -> State[Any]:
        return Failed(message=message)

    return moved
