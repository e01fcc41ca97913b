"""What is asked of the model about one unit, links, gradients and facets: answers are kept, and leaving ends the long one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response

from flows.viewer.answers import schemas, units
from flows.viewer.answers.open_runs import OpenRuns, OpenVersion
from flows.viewer.model.image_routes import Layer, Name, VersionOf, answered, encoded, told
from flows.viewer.model.requests import Requests
from flows.viewer.model.worker import ModelWorker

NAMES = ("/links", "/facets", "/gradients")
OFF = "the viewer was started with --no-uploads: the model is not asked"
Side = Annotated[Literal["positive", "negative", "range"], Query(description="Which of its patches.")]
Unit = Annotated[int, Query(ge=0, le=2**31 - 1)]


def add_to(app: FastAPI, root: str, runs: OpenRuns, worker: ModelWorker | None, waiting: Requests) -> None:
    """Add the three questions."""

    @app.post(
        f"{root}/links",
        responses=told(schemas.Links),
        response_model=None,
        tags=["units"],
        summary="How strongly each of a unit's strongest patches drives the later units that it drives most.",
    )
    async def links(name: Name, version: VersionOf, layer: Layer, unit: Unit, request: Request) -> Response:
        opened = runs.version(name, version)
        units.check(opened, layer, unit)
        opened.result("influence", layer)
        asked = _asked(opened, layer, unit)
        return await _kept(opened, ("links", layer, unit), lambda: asked, request, worker)

    @app.post(
        f"{root}/facets",
        responses=told(schemas.Facets),
        response_model=None,
        tags=["units"],
        summary="Four pictures, optimised to excite a unit, that differ; not waiting any longer ends it.",
    )
    async def facets(name: Name, version: VersionOf, layer: Layer, unit: Unit, request: Request) -> Response:
        opened = runs.version(name, version)
        units.check(opened, layer, unit)
        asked = _asked(opened, layer, unit)
        return await _kept(opened, ("facets", layer, unit), lambda: asked, request, worker and worker.drawing)

    @app.post(
        f"{root}/gradients",
        responses=told(schemas.DrawnGradients),
        response_model=None,
        tags=["units"],
        summary="What drives a unit in each of its strongest or most negative patches, or of those over its range.",
    )
    async def gradients_of(
        name: Name, version: VersionOf, layer: Layer, unit: Unit, side: Side, request: Request
    ) -> Response:
        opened = runs.version(name, version)
        units.check(opened, layer, unit)

        def asked() -> dict[str, Any]:
            shown = units.places(opened, layer, unit, side)
            return _asked(opened, layer, unit) | {"side": side, "places": shown}

        return await _kept(opened, ("gradients", layer, unit, side), asked, request, worker)

    async def _kept(
        opened: OpenVersion,
        key: tuple[Any, ...],
        asked: Callable[[], dict[str, Any]],
        request: Request,
        worker: ModelWorker | None,
    ) -> Response:
        if worker is None:
            return JSONResponse({"error": OFF}, status_code=403)

        def work(left: threading.Event) -> bytes:
            return opened.keep(key, lambda: encoded(worker.ask(key[0], asked(), b"", left)))

        return answered(await waiting.ask((opened.run.name, opened.tag, *key), work, request))


def _asked(opened: OpenVersion, layer: str, unit: int) -> dict[str, Any]:
    return {"run": f"{opened.run.name}@{opened.run.number}", "layer": layer, "unit": unit}
