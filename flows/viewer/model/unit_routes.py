"""The model's routes for one unit, links, gradients and facets; their answers are cached."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response

from flows.viewer.answers import unit_details, units
from flows.viewer.answers.encoding import encode
from flows.viewer.answers.open_runs import OpenRuns, OpenVersion
from flows.viewer.model.answers import DrawnGradients, Facets, Links
from flows.viewer.model.image_routes import Layer, Name, VersionOf, responses, uncached
from flows.viewer.model.requests import Requests
from flows.viewer.model.worker import ModelWorker

NAMES = ("/links", "/facets", "/gradients")
OFF = "the viewer was started with --no-uploads: the model is not asked"
Side = Annotated[Literal["positive", "negative", "range"], Query(description="Which of its patches.")]
Unit = Annotated[int, Query(ge=0, le=2**31 - 1)]


def add_to(app: FastAPI, root: str, runs: OpenRuns, worker: ModelWorker | None, requests: Requests) -> None:
    """Add the three routes."""

    @app.post(
        f"{root}/links",
        responses=responses(Links),
        response_model=None,
        tags=["units"],
        summary="How strongly each of a unit's strongest patches drives the later units that it drives most.",
    )
    async def links(name: Name, version: VersionOf, layer: Layer, unit: Unit, request: Request) -> Response:
        opened = runs.version(name, version)
        units.check(opened, layer, unit)
        opened.result("influence", layer)
        return await ask(opened, ("links", layer, unit), lambda: _question(opened, layer, unit), request, worker)

    @app.post(
        f"{root}/facets",
        responses=responses(Facets),
        response_model=None,
        tags=["units"],
        summary="Four different pictures, each optimised to excite a unit; disconnecting cancels it.",
    )
    async def facets(name: Name, version: VersionOf, layer: Layer, unit: Unit, request: Request) -> Response:
        opened = runs.version(name, version)
        units.check(opened, layer, unit)
        drawing = worker and worker.drawing
        return await ask(opened, ("facets", layer, unit), lambda: _question(opened, layer, unit), request, drawing)

    @app.post(
        f"{root}/gradients",
        responses=responses(DrawnGradients),
        response_model=None,
        tags=["units"],
        summary="What drives a unit in each of its strongest or most negative patches, or of those over its range.",
    )
    async def gradients_of(
        name: Name, version: VersionOf, layer: Layer, unit: Unit, side: Side, request: Request
    ) -> Response:
        opened = runs.version(name, version)
        units.check(opened, layer, unit)

        def question() -> dict[str, Any]:
            positions = unit_details.positions(opened, layer, unit, side)
            return _question(opened, layer, unit) | {"side": side, "places": positions}

        return await ask(opened, ("gradients", layer, unit, side), question, request, worker)

    async def ask(
        opened: OpenVersion,
        key: tuple[Any, ...],
        question: Callable[[], dict[str, Any]],
        request: Request,
        worker: ModelWorker | None,
    ) -> Response:
        if worker is None:
            return JSONResponse({"error": OFF}, status_code=403)

        def job(left: threading.Event) -> bytes:
            return opened.keep(key, lambda: encode(worker.ask(key[0], question(), b"", left)))

        return uncached(await requests.ask((opened.run.name, opened.tag, *key), job, request))


def _question(opened: OpenVersion, layer: str, unit: int) -> dict[str, Any]:
    return {"run": f"{opened.run.name}@{opened.run.number}", "layer": layer, "unit": unit}
