"""What Prefect's page shows of a run: progress while it goes on, and afterwards pictures, tables and a link.

All of it is best effort. A server that does not answer is told nothing more for the rest of the run, so that it costs the
run one time-out and not one per step; what is published does not depend on it.
"""

from __future__ import annotations

import base64
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
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

from flows import progress
from storage.artefacts import pictures
from storage.errors import first_line

PICTURE = 512
"""Side of the overview in the artifact: it lives in Prefect's database, so it is small."""

EVERY = 5.0
"""Seconds between two steps of a progress artifact."""

COLUMNS = ("computed", "reused", "seconds", "bytes")
"""Of the report, each added up over a stage's layers."""

VIEWER = "ACTLAS_VIEWER_URL"
"""The environment variable with the address of `actlas view`, as people reach it."""


TAG = "actlas"
"""Every deployment of ours carries it, and so do its flow runs."""

ENDED = "actlas.flow-run.ended"
"""The last sign of life of a flow run. Prefect's own word for its end reaches automations a quarter of an hour late: it is
said to follow an event that was never sent, and is waited with (prefect/server/events/ordering)."""


class RunReport:
    """Prefect's page of one flow run; it stops talking to a server that has failed it once."""

    def __init__(self) -> None:
        self._lost = False
        self._shown = 0.0

    def __enter__(self) -> RunReport:
        return self

    def __exit__(self, *_: object) -> None:
        """Say that the run has ended, however it did."""
        resource = {"prefect.resource.id": f"prefect.flow-run.{flow_run.id}"}
        ours = [{"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"}]
        self._tell(lambda: emit_event(ENDED, resource=resource, related=ours))

    def start(self, title: str) -> UUID | None:
        """Begin the progress of a stage."""
        made: UUID | None = self._tell(lambda: create_progress_artifact(progress=0.0, description=title))
        return made

    def advance(self, artifact: UUID | None, done: int, total: int) -> None:
        """Say how far a stage is, now and then and at its end."""
        now = time.monotonic()
        if artifact is None or (done < total and now - self._shown < EVERY):
            return
        self._shown = now
        self._tell(lambda: update_progress_artifact(artifact_id=artifact, progress=100 * done / total))

    def show(self, summary: dict[str, Any]) -> None:
        """Leave the report, the counts as tables, the last overview as a picture, and the viewer's address."""
        key = re.sub(r"[^a-z0-9]+", "-", summary["name"].lower()).strip("-") or "run"
        counts = [{"what": "used", "images": summary["used"]}]
        counts += [{"what": f"rejected: {reason}", "images": n} for reason, n in summary["reasons"].items()]
        self._tell(lambda: create_markdown_artifact(key=f"{key}-report", markdown=report(summary)))
        self._tell(lambda: create_table_artifact(key=f"{key}-images", table=counts, description="Images"))
        self._tell(lambda: create_table_artifact(key=f"{key}-stages", table=summary["stages"], description="Stages"))
        if summary["overviews"]:
            last = summary["overviews"][-1]["path"]
            self._tell(lambda: create_image_artifact(key=f"{key}-atlas", image_url=_data_url(last), description=last))
        if address := viewer(summary):
            self._tell(lambda: create_link_artifact(key=f"{key}-viewer", link=address, link_text="Open the viewer"))

    def _tell(self, say: Callable[[], Any]) -> Any:
        if self._lost:
            return None
        try:
            return say()
        except Exception as error:  # whatever Prefect's client raises: a page that is not drawn undoes nothing
            self._lost = True
            what = first_line(error)
            progress.current().say(f"Prefect's page is not told any more: {what}")
            return None


class Logged(progress.Reporter):
    """Send progress to the log of the flow run, more seldom than to a terminal: the lines live in a database."""

    every = 30.0

    def say(self, text: str) -> None:
        get_run_logger().info(text)


def report(summary: dict[str, Any]) -> str:
    """Say in a few sentences what the run made, what it took over, and what it left out."""
    lines = [f"## {summary['name']}@{summary['version']}", "", headline(summary) + "."]
    lines += [f"- rejected: {number} {reason}" for reason, number in summary["reasons"].items()]
    lines += ["", "| stage | computed | reused | seconds | MB written |", "|---|---:|---:|---:|---:|"]
    for stage in dict.fromkeys(row["stage"] for row in summary["stages"]):
        rows = [row for row in summary["stages"] if row["stage"] == stage]
        computed, reused, seconds, size = (sum(row[name] for row in rows) for name in COLUMNS)
        lines.append(f"| {stage} | {computed} | {reused} | {seconds:.1f} | {size / 1e6:.1f} |")
    return "\n".join(lines)


def headline(summary: dict[str, Any]) -> str:
    """Say in one sentence what became of a run."""
    broken = f", {summary['rejected']:,} rejected" if summary["rejected"] else ""
    return (
        f"{summary['used']:,} of {summary['images']:,} images used{broken}; {summary['computed']:,} results computed, "
        f"{summary['reused']:,} reused, in {summary['seconds']:.0f} s"
    )


def viewer(summary: dict[str, Any]) -> str | None:
    """Return the viewer's address of a run's version, if the environment says where the viewer is."""
    base = os.environ.get(VIEWER, "").rstrip("/")
    return f"{base}/{quote(summary['name'])}@{summary['version']}/run" if base else None


def _data_url(path: str) -> str:
    small = Image.fromarray(pictures.read(Path(path))).resize((PICTURE, PICTURE), Image.Resampling.LANCZOS)
    return "data:image/jpeg;base64," + base64.b64encode(pictures.encode(np.asarray(small), ".jpg")).decode()
