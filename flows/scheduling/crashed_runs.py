"""Crashed flow runs: the process is gone, but Prefect still shows them as running."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.events import EventTrigger, Posture, ResourceSpecification
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore
from prefect.states import Crashed

from flows import progress
from flows.config import RunConfig
from flows.scheduling.run_report import ENDED, TAG
from flows.scheduling.states import PARTLY_REJECTED, SKIPPED
from storage.errors import Locked
from storage.store.store import Store

HEARTBEAT = 30
"""Seconds between two heartbeats of a flow run, the shortest that Prefect takes."""

SILENCE = "actlas: runs that fell silent"
FINAL = ("Completed", PARTLY_REJECTED, "Failed", "Cancelled", SKIPPED, "Crashed")
"""Names of the final states of our flow runs: Prefect's own and ours."""


def mark_crashed(store: Store, name: str, deployments: Sequence[UUID]) -> None:
    """Mark runs of these deployments in this store as crashed that Prefect shows as running, if no process writes the run.

    Only the one process that serves them may call this: runs that it has not started are then those of an earlier process.
    """
    under_way = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    try:
        with store.lock(name), get_client(sync_client=True) as client:
            shown = client.read_flow_runs(
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=list(deployments))),
                flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=under_way)),
            )
            for run in [run for run in shown if store_of(run.parameters) == store.root.absolute()]:
                crashed: State[None] = Crashed(message="its process is gone; the next run resumes it")
                client.set_flow_run_state(run.id, crashed, force=True)
    except Locked as held:
        progress.current().say(f"{held}: it goes on without this process")


def store_of(parameters: Mapping[str, Any]) -> Path:
    """Return the store in the parameters of a flow run or a deployment."""
    store = parameters.get("store") or parameters.get("config", {}).get("store") or RunConfig(images="").store
    return Path(store).absolute()


def mark_silent_as_crashed(client: SyncPrefectClient) -> None:
    """Have the server mark runs without a heartbeat as crashed: a killed process cannot, and its run would hold a slot."""
    heartbeat = "prefect.flow-run.heartbeat"
    silence = AutomationCore(
        name=SILENCE,
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification({"prefect.resource.id": f"prefect.tag.{TAG}"}),
            after={heartbeat},
            expect={heartbeat, ENDED, *(f"prefect.flow-run.{name}" for name in FINAL)},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=4 * HEARTBEAT),
        ),
        actions=[
            ChangeFlowRunState(
                name="Crashed", state=StateType.CRASHED, message="no sign of life from its process", force=False
            )
        ],
    )
    if not client.read_automations_by_name(SILENCE):
        client.create_automation(silence)
