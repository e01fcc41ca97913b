"""Model updates as Prefect events: who is told of one, what it sets off, and what follows when a run falls silent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events import DeploymentEventTrigger, Event, Resource, ResourceSpecification
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture

from flows.prefect_flow import PARTLY_REJECTED, SKIPPED, ServerUnreachable
from flows.updates import EVENT, RESOURCE, Update

TAG = "actlas"
"""Every deployment of ours carries it."""

SHORTEST = timedelta(seconds=10)
"""Prefect waits at least this long for what does not come."""

HEARTBEAT = 30
"""Seconds between two signs of life of a flow run, the least that Prefect takes."""

SILENCE = "actlas: runs that fell silent"
FINAL = ("Completed", PARTLY_REJECTED, "Failed", "Cancelled", SKIPPED, "Crashed")
"""How our flow runs end, by the names of their states: Prefect's own, and those of prefect_flow."""


def emit(update: Update) -> list[str]:
    """Tell the server of an update and return the names of the automations that wait for it.

    Posted rather than sent through `emit_event`, whose queue drops what it cannot deliver without a word. Raises
    ServerUnreachable.
    """
    event = Event(
        event=EVENT,
        resource=Resource({"prefect.resource.id": update.resource, "prefect.resource.name": update.name}),
        payload=update.payload(),
    )
    try:
        with get_client(sync_client=True) as client:
            waiting = [automation.name for automation in client.read_automations() if _waits(automation, event)]
            client.request("POST", "/events", json=[event.model_dump(mode="json")])
            return sorted(waiting)
    except httpx.HTTPError as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ServerUnreachable(
            f"nobody was told: Prefect's server did not answer ({what}); start `actlas serve`, or check PREFECT_API_URL"
        ) from None


def trigger(name: str, debounce: timedelta) -> DeploymentEventTrigger:
    """Return what starts a regeneration with the weights of the last update, once none has followed for `debounce`.

    `name` is a run, or `*` for any. Prefect's way to say so: after such an event, expect another one, and act on its
    absence. Without a debounce every event acts at once.
    """
    patient = debounce > timedelta(0)
    return DeploymentEventTrigger(
        name=f"actlas: regenerate {name}",
        match=ResourceSpecification({"prefect.resource.id": RESOURCE + name}),
        after={EVENT} if patient else set(),
        expect={EVENT},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive if patient else Posture.Reactive,
        threshold=1,
        within=max(debounce, SHORTEST) if patient else timedelta(0),
        parameters={key: f"{{{{ event.payload.{key} }}}}" for key in ("name", "weights", "sha256")},
    )


def crash_the_silent(client: SyncPrefectClient) -> None:
    """Have the server call runs crashed whose process was killed: nobody else would say so, and they'd hold their slot."""
    related: dict[str, Any] = {"prefect.resource.id": f"prefect.tag.{TAG}"}
    heartbeat = "prefect.flow-run.heartbeat"
    silence = AutomationCore(
        name=SILENCE,
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification(related),
            after={heartbeat},
            expect={heartbeat, *(f"prefect.flow-run.{name}" for name in FINAL)},
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


def _waits(automation: Automation, event: Event) -> bool:
    found = automation.trigger
    if not (automation.enabled and isinstance(found, EventTrigger) and EVENT in found.expect):
        return False
    return ResourceSpecification.model_validate(found.match).matches(event.resource)
