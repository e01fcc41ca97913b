"""Report a run on Prefect's page: its progress, and afterwards pictures, tables and a link.

Reports are best effort. After one failure nothing more is sent to the server, so that it costs the run one time-out and
not one per step; what is published does not depend on it.
"""

from __future__ import annotations

import base64
import logging
import os
import re
import shlex
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from uuid import UUID

import numpy as np
from PIL import Image
from prefect import get_run_logger
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.events import emit_event
from prefect.runtime import flow_run
from prefect.settings import PREFECT_UI_URL

from flows import progress
from flows.pipeline.answers import Overview, RunSummary
from storage import addresses, masking
from storage.artefacts import pictures
from storage.errors import first_line
from storage.images import left_out
from storage.run import open_run

PICTURE = 512
"""Side of the overview in its artifact, in pixels: small, as it is stored in Prefect's database."""

EVERY = 5.0
"""Seconds between two updates of a progress artifact."""

VIEWER = "ACTLAS_VIEWER_URL"
"""The environment variable with the public address of `actlas view`."""

TAG = "actlas"
"""The tag of our deployments and of their flow runs."""

ENDED = "actlas.flow-run.ended"
"""The last event of a flow run. Prefect's own event of its end reaches automations a quarter of an hour late, as the server
waits for a preceding event that was never sent (prefect/server/events/ordering)."""

UNSENT = "prefect._internal.concurrency"
"""The logger to which Prefect writes each event that it could not send, at length: once it is said, that is enough."""


class RunReport:
    """The report of one flow run on Prefect's page; it sends nothing more after the server has failed once."""

    def __init__(self) -> None:
        self._lost = False
        self._shown = 0.0

    def __enter__(self) -> RunReport:
        return self

    def __exit__(self, *_: object) -> None:
        """Send the event that the run has ended, in whatever way."""
        resource = {"prefect.resource.id": f"prefect.flow-run.{flow_run.id}"}
        ours = [{"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"}]
        self._send(lambda: emit_event(ENDED, resource=resource, related=ours))

    def start(self, title: str) -> UUID | None:
        """Create the progress artifact of a stage; None if the server is lost."""
        artifact: UUID | None = self._send(lambda: create_progress_artifact(progress=0.0, description=title))
        return artifact

    def advance(self, artifact: UUID | None, done: int, total: int) -> None:
        """Update the progress of a stage, every few seconds and at its end."""
        now = time.monotonic()
        if artifact is None or (done < total and now - self._shown < EVERY):
            return
        self._shown = now
        self._send(lambda: update_progress_artifact(artifact_id=artifact, progress=100 * done / total))

    def show(self, summary: RunSummary) -> None:
        """Create the report, the counts as tables, the last overview as a picture, and a link to the viewer."""
        key = key_of(summary)
        counts = [{"what": "used", "images": summary["used"]}]
        for what, reasons in (("rejected", summary["reasons"]), *_left_out_by_kind(summary)):
            counts += [{"what": f"{what}: {reason}", "images": n} for reason, n in reasons.items()]
        self._send(lambda: create_markdown_artifact(key=f"{key}-report", markdown=report(summary)))
        self._send(lambda: create_table_artifact(key=f"{key}-images", table=counts, description="Images"))
        stages = [{**row} for row in summary["stages"]]
        self._send(lambda: create_table_artifact(key=f"{key}-stages", table=stages, description="Stages"))
        if summary["overviews"]:
            last = summary["overviews"][-1]["path"]
            self._send(
                lambda: create_image_artifact(key=f"{key}-atlas", image_url=_data_url(summary), description=last)
            )
        if address := viewer(summary):
            self._send(lambda: create_link_artifact(key=f"{key}-viewer", link=address, link_text="Open the viewer"))

    def _send(self, call: Callable[[], Any]) -> Any:
        """Call Prefect's client, unless it has failed before."""
        if self._lost:
            return None
        try:
            return call()
        except Exception as error:  # whatever Prefect's client raises: a missing report harms no result
            self._lost = True
            reason = first_line(error)
            progress.current().say(f"Prefect's page is no longer updated: {reason}")
            logging.getLogger(UNSENT).addFilter(_leave_out)
            return None


def _leave_out(record: logging.LogRecord) -> bool:
    return False


class Logged(progress.Reporter):
    """Send progress to the log of the flow run, less often than to a terminal, as the lines are stored in a database."""

    every = 30.0

    def say(self, text: str) -> None:
        get_run_logger().info(masking.masked(text))


def report(summary: RunSummary) -> str:
    """Return the report in Markdown: what the run computed, reused and left out, with links to more of it."""
    lines = [f"## {summary['name']}@{summary['version']}", "", headline(summary) + ".", "", *links(summary)]
    lines += ["", "| stage | computed | reused | seconds | MB written |", "|---|---:|---:|---:|---:|"]
    for stage in dict.fromkeys(row["stage"] for row in summary["stages"]):
        rows = [row for row in summary["stages"] if row["stage"] == stage]
        computed, reused = sum(row["computed"] for row in rows), sum(row["reused"] for row in rows)
        seconds, size = sum(row["seconds"] for row in rows), sum(row["bytes"] for row in rows)
        lines.append(f"| {stage} | {computed} | {reused} | {seconds:.1f} | {size / 1e6:.1f} |")
    return "\n".join(lines)


def links(summary: RunSummary) -> list[str]:
    """Return where atlas, version, rejected images and cost of a run are: on its viewer's pages, on Prefect's, in the store."""
    name, page, pictures = f"{summary['name']}@{summary['version']}", viewer(summary), summary["overviews"]
    atlases = [_link(f"{p['layer']}, {p['grid']} × {p['grid']}", _atlas(page, p), str(p["path"])) for p in pictures]
    reasons = ", ".join(f"{number} {reason}" for reason, number in summary["reasons"].items())
    question = f'actlas sql {name} "select * from rejects" --store {shlex.quote(summary["store"])}'
    size = sum(row["bytes"] for row in summary["stages"]) / 1e6
    return [
        f"- atlas: {'; '.join(atlases) or 'none, as the run stopped before'}",
        f"- version: {_link(name, page, summary['store'])}",
        f"- rejected: {reasons or 'none'}; {_artifact(summary, 'images')}" + (f"; `{question}`" if reasons else ""),
        *_left_out(summary),
        f"- cost: {summary['seconds']:.1f} s, {size:.1f} MB written; {_artifact(summary, 'stages')}",
    ]


def _left_out(summary: RunSummary) -> list[str]:
    """Return a line on what was not listed and one on what was not labelled, with the remedies."""
    return [f"- {kind}: {'; '.join(left_out.words(counts))}" for kind, counts in _left_out_by_kind(summary) if counts]


def _left_out_by_kind(summary: RunSummary) -> tuple[tuple[str, dict[str, int]], ...]:
    return ("not listed", summary["not_listed"]), ("not labelled", summary["not_labelled"])


def _link(text: str, address: str | None, place: str) -> str:
    return f"[{text}]({address})" if address else f"{text} in `{place}`"


def _atlas(page: str | None, picture: Overview) -> str | None:
    """Return the address of a map in the viewer, from that of the run's page."""
    layer = quote(picture["layer"], safe="")
    return page and f"{page.removesuffix('/run')}/atlas/{layer}?grid={picture['grid']}"


def _artifact(summary: RunSummary, kind: str) -> str:
    """Return a link to another artifact of the run, by the address of Prefect's page if that is known."""
    return f"[{kind}]({masking.masked(PREFECT_UI_URL.value() or '')}/artifacts/key/{key_of(summary)}-{kind})"


def key_of(summary: RunSummary) -> str:
    """Return the start of the keys of a run's artifacts, which have lower-case letters, digits and dashes only."""
    return re.sub(r"[^a-z0-9]+", "-", summary["name"].lower()).strip("-") or "run"


def headline(summary: RunSummary) -> str:
    """Return the outcome of a run in one sentence."""
    broken = f", {summary['rejected']:,} rejected" if summary["rejected"] else ""
    return (
        f"{summary['used']:,} of {summary['images']:,} images used{broken}; {summary['computed']:,} results computed, "
        f"{summary['reused']:,} reused, in {summary['seconds']:.0f} s"
    )


def viewer(summary: RunSummary) -> str | None:
    """Return the address of a run's version in the viewer, if the environment has that of the viewer."""
    base = os.environ.get(VIEWER, "").rstrip("/")
    if masking.has_secret(base):
        progress.current().say(f"no link to the viewer: {VIEWER} {addresses.REFUSED}")
        return None
    return f"{base}/{quote(summary['name'])}@{summary['version']}/run" if base else None


def _data_url(summary: RunSummary) -> str:
    """Return the last overview of a run as an address that holds it."""
    last, run = summary["overviews"][-1], open_run(summary["store"], f"{summary['name']}@{summary['version']}")
    overview = pictures.read(run.result("tiles", last["layer"], last["grid"]), "overview.png")
    small = Image.fromarray(overview).resize((PICTURE, PICTURE), Image.Resampling.LANCZOS)
    return "data:image/jpeg;base64," + base64.b64encode(pictures.encode(np.asarray(small), ".jpg")).decode()
