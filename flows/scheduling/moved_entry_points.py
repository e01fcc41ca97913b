"""The flow of deployments that name an entry point from where it has moved."""

from __future__ import annotations

import functools
import os
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.flows import Flow
from prefect.states import Failed

from flows.scheduling import prefect_flow

IN_A_RUN = "PREFECT__FLOW_RUN_ID"
"""The environment variable by which Prefect tells a process which flow run it carries out."""


def in_a_run() -> bool:
    """Tell whether this process was started to carry out a flow run."""
    return IN_A_RUN in os.environ


def failing(name: str, message: str) -> Flow[..., Any]:
    """Return a flow that takes the parameters of one of ours and fails with this message.

    An error on import would end the process, and Prefect would show a crash with an exit code.
    """
    now: Flow[..., Any] = getattr(prefect_flow, name)

    @flow(name=now.name, persist_result=False, validate_parameters=False)
    @functools.wraps(now.fn)
    def moved(*_: Any, **parameters: Any) -> State[Any]:
        return Failed(message=message)

    return moved
