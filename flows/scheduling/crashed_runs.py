"""Flow runs that nobody carries out any more: their process was killed, and Prefect still believes that they run."""

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
"""Seconds between two signs of life of a flow run, the least that Prefect takes."""

SILENCE = "actlas: runs that fell silent"
FINAL = ("Completed", PARTLY_REJECTED, "Failed", "Cancelled", SKIPPED, "Crashed")
"""How our flow runs end, by the names of their states: Prefect's own, and those of prefect_flow."""


def mark_crashed(store: Store, name: str, deployments: Sequence[UUID]) -> None:
    """Call runs of these deployments crashed that are said to be under way in this store, if nobody is writing the run.

    Only the one process that serves them may ask: whatever it has not started itself is then an earlier one's.
    """
    under_way = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    try:
        with store.lock(name), get_client(sync_client=True) as client:
            found = client.read_flow_runs(
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=list(deployments))),
                flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=under_way)),
            )
            for run in [run for run in found if store_of(run.parameters) == store.root.absolute()]:
                gone: State[None] = Crashed(message="its process is gone; the next run goes on where it stopped")
                client.set_flow_run_state(run.id, gone, force=True)
    except Locked as held:
        progress.current().say(f"{held}: it goes on without this process")


def store_of(parameters: Mapping[str, Any]) -> Path:
    """Return the store that a flow run, or a deployment, is told of."""
    said = parameters.get("store") or parameters.get("config", {}).get("store") or RunConfig(images="").store
    return Path(said).absolute()


def mark_silent_as_crashed(client: SyncPrefectClient) -> None:
    """Have the server call runs crashed whose process was killed: nobody else would say so, and they'd hold their slot."""
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
    found = client.read_automations_by_name(SILENCE)
    if not found:
        client.create_automation(silence)
