"""The two questions of one unit that need the model, links and facets: each answer is kept, and leaving ends the long one."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response

from flows.viewer import schemas, units
from flows.viewer.desk import Desk
from flows.viewer.shelf import Edition, Shelf
from flows.viewer.uploads import Layer, Name, VersionOf, told

NAMES = ("/links", "/facets")
OFF = "the viewer was started with --no-uploads: the model is not asked"
LOOKS = 0.2
"""Seconds after which it is looked whether somebody still waits."""

Unit = Annotated[int, Query(ge=0, le=2**31 - 1)]


def add_to(app: FastAPI, root: str, shelf: Shelf, desk: Desk | None) -> None:
    """Add both questions. Facets have threads of their own, so that all who wait for them keep nobody else waiting."""
    drawing = ThreadPoolExecutor(4, thread_name_prefix="facets")

    @app.post(
        f"{root}/links",
        responses=told(schemas.Links),
        response_model=None,
        tags=["units"],
        summary="How strongly each of a unit's strongest patches drives the later units that it drives most.",
    )
    async def links(name: Name, version: VersionOf, layer: Layer, unit: Unit) -> Response:
        edition = shelf.edition(name, version)
        units.check(edition, layer, unit)
        edition.result("influence", layer)
        if desk is None:
            return _off()
        asked = _asked(edition, layer, unit)
        return _json(
            await asyncio.to_thread(
                edition.keep, ("links", layer, unit), lambda: _encoded(desk.ask("links", asked, b""))
            )
        )

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
        if desk is None:
            return _off()
        asked, left = _asked(edition, layer, unit), threading.Event()

        def draw() -> bytes:
            return edition.keep(
                ("facets", layer, unit), lambda: _encoded(desk.drawing.ask("facets", asked, b"", left=left))
            )

        running = asyncio.get_running_loop().run_in_executor(drawing, draw)
        while not (await asyncio.wait({running}, timeout=LOOKS))[0]:
            if await request.is_disconnected():
                left.set()
        return _json(running.result())


def _asked(edition: Edition, layer: str, unit: int) -> dict[str, Any]:
    return {"run": f"{edition.run.name}@{edition.run.number}", "layer": layer, "unit": unit}


def _encoded(answer: Any) -> bytes:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _json(data: bytes) -> Response:
    return Response(data, media_type="application/json", headers={"Cache-Control": "no-store"})


def _off() -> Response:
    return JSONResponse({"error": OFF}, status_code=403)
