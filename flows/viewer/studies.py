"""The two questions of one unit that need the model, links and facets: each answer is kept, and leaving ends the long one."""

from __future__ import annotations

import threading
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response

from flows.viewer import schemas, units
from flows.viewer.desk import Desk
from flows.viewer.shelf import Edition, Shelf
from flows.viewer.uploads import Layer, Name, VersionOf, answered, encoded, told
from flows.viewer.waiting import Waiting

NAMES = ("/links", "/facets")
OFF = "the viewer was started with --no-uploads: the model is not asked"
Unit = Annotated[int, Query(ge=0, le=2**31 - 1)]


def add_to(app: FastAPI, root: str, shelf: Shelf, desk: Desk | None, waiting: Waiting) -> None:
    """Add both questions."""

    @app.post(
        f"{root}/links",
        responses=told(schemas.Links),
        response_model=None,
        tags=["units"],
        summary="How strongly each of a unit's strongest patches drives the later units that it drives most.",
    )
    async def links(name: Name, version: VersionOf, layer: Layer, unit: Unit, request: Request) -> Response:
        edition = shelf.edition(name, version)
        units.check(edition, layer, unit)
        edition.result("influence", layer)
        return await _kept("links", edition, layer, unit, request, desk)

    @app.post(
        f"{root}/facets",
        responses=told(schemas.Facets),
        response_model=None,
        tags=["units"],
        summary="Four pictures, optimised to excite a unit, that differ; not waiting any longer ends it.",
    )
    async def facets(name: Name, version: VersionOf, layer: Layer, unit: Unit, request: Request) -> Response:
        edition = shelf.edition(name, version)
        units.check(edition, layer, unit)
        return await _kept("facets", edition, layer, unit, request, desk and desk.drawing)

    async def _kept(
        question: str, edition: Edition, layer: str, unit: int, request: Request, desk: Desk | None
    ) -> Response:
        if desk is None:
            return JSONResponse({"error": OFF}, status_code=403)
        asked = {"run": f"{edition.run.name}@{edition.run.number}", "layer": layer, "unit": unit}

        def work(left: threading.Event) -> bytes:
            return edition.keep((question, layer, unit), lambda: encoded(desk.ask(question, asked, b"", left)))

        key = (question, edition.run.name, edition.tag, layer, unit)
        return answered(await waiting.ask(key, work, request))
