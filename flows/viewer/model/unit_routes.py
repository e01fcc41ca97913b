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


def add_to(app: FastAPI, root: str, shelf: OpenRuns, desk: ModelWorker | None, waiting: Requests) -> None:
    """Add the three questions."""

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
        asked = _asked(edition, layer, unit)
        return await _kept(edition, ("links", layer, unit), lambda: asked, request, desk)

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
        asked = _asked(edition, layer, unit)
        return await _kept(edition, ("facets", layer, unit), lambda: asked, request, desk and desk.drawing)

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
        edition = shelf.edition(name, version)
        units.check(edition, layer, unit)

        def asked() -> dict[str, Any]:
            shown = units.places(edition, layer, unit, side)
            return _asked(edition, layer, unit) | {"side": side, "places": shown}

        return await _kept(edition, ("gradients", layer, unit, side), asked, request, desk)

    async def _kept(
        edition: OpenVersion,
        key: tuple[Any, ...],
        asked: Callable[[], dict[str, Any]],
        request: Request,
        desk: ModelWorker | None,
    ) -> Response:
        if desk is None:
            return JSONResponse({"error": OFF}, status_code=403)

        def work(left: threading.Event) -> bytes:
            return edition.keep(key, lambda: encoded(desk.ask(key[0], asked(), b"", left)))

        return answered(await waiting.ask((edition.run.name, edition.tag, *key), work, request))


def _asked(edition: OpenVersion, layer: str, unit: int) -> dict[str, Any]:
    return {"run": f"{edition.run.name}@{edition.run.number}", "layer": layer, "unit": unit}
