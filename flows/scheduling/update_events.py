"""Model updates as Prefect events: send them, and define what they trigger."""

from __future__ import annotations

from datetime import timedelta

import httpx
from prefect.client.orchestration import get_client
from prefect.events import DeploymentEventTrigger, Event, Resource, ResourceSpecification
from prefect.events.schemas.automations import Automation, EventTrigger, Posture

from flows.pipeline.model_updates import EVENT, RESOURCE, Update
from flows.scheduling.states import ServerUnreachable
from storage.errors import first_line

SHORTEST = timedelta(seconds=10)
"""The shortest time in which Prefect expects an event."""


def emit(update: Update) -> list[str]:
    """Send an update to the server; return the names of the automations that wait for it.

    It is posted rather than sent by `emit_event`, whose queue silently drops what it cannot deliver. Raises
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
        reason = first_line(error)
        raise ServerUnreachable(
            f"the update was not sent: Prefect's server did not answer ({reason}); start `actlas serve`, or check PREFECT_API_URL"
        ) from None


def trigger(name: str, debounce: timedelta) -> DeploymentEventTrigger:
    """Return the trigger of a regeneration with the weights of the last update, once none has followed for `debounce`.

    `name` is a run, or `*` for any. In Prefect's terms: after such an event, expect another one, and act on its absence.
    Without a debounce every event acts at once.
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
        parameters={key: f"{{{{ event.payload.{key} }}}}" for key in ("name", "weights", "sha256", "announced")},
    )


def _waits(automation: Automation, event: Event) -> bool:
    trigger = automation.trigger
    if not (automation.enabled and isinstance(trigger, EventTrigger) and EVENT in trigger.expect):
        return False
    return ResourceSpecification.model_validate(trigger.match).matches(event.resource)
