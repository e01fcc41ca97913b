"""The viewer's web application: the JSON interface, pictures, uploads, and the page."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Awaitable, Callable
from importlib.metadata import version as installed
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from flows.questions import runs as run_answers
from flows.viewer import page_routes
from flows.viewer.answers import about, catalogue, schemas
from flows.viewer.answers.errors import Busy, Full
from flows.viewer.answers.open_runs import OpenRuns, OpenVersion
from flows.viewer.assets import Assets
from flows.viewer.model import image_routes, unit_routes
from flows.viewer.model.requests import Requests
from flows.viewer.model.worker import ModelWorker
from flows.viewer.security import Rules, SecurityMiddleware
from storage.errors import ActlasError, ImageError, Incomplete, ModelError, NotFound, UsageError

API = "/api/1"
RUN = API + "/runs/{name}/{version}"
PICTURES = "/pictures/{name}/{version}"
FOREVER = "private, max-age=31536000, immutable"
LARGEST = 2**31 - 1

Name = Annotated[str, Path(description="A run.", max_length=64)]
VersionOf = Annotated[str, Path(description="`current`, a number, or number and hash as in 7-c902a294.", max_length=32)]


def make(runs: OpenRuns, assets: Assets, rules: Rules, worker: ModelWorker | None) -> ASGIApp:
    """Return the application over a store; without a worker, what needs the model is refused."""
    app = FastAPI(
        title="actlas viewer",
        version=installed("actlas"),
        description="The JSON behind each view of the viewer. Versions of a run never change; answers that are asked for by its "
        "`address` may be kept for ever.",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses={
            "4XX": {"model": schemas.Error, "description": "What was asked for is not there, or not understood."}
        },
    )
    _add_errors(app)
    _add_runs(app, runs)
    for kind, told in catalogue.ANSWERS.items():
        _add_answer(app, runs, kind, told)
    for kind, told in catalogue.PICTURES.items():
        _add_picture(app, runs, kind, told)
    waiting = Requests()
    image_routes.add_to(app, RUN, runs, worker, waiting)
    unit_routes.add_to(app, RUN, runs, worker, waiting)
    page_routes.add_to(app, runs, assets)
    zipped = GZipMiddleware(app, minimum_size=1000, compresslevel=5)
    return SecurityMiddleware(zipped, rules, (*image_routes.NAMES, *unit_routes.NAMES))


def _add_runs(app: FastAPI, runs: OpenRuns) -> None:
    @app.get(
        f"{API}/runs",
        name="runs",
        response_model=None,
        responses=_told(schemas.Runs),
        tags=["runs"],
        summary="The runs of the store.",
    )
    def list_runs() -> Response:
        return _json({"runs": [_without_paths(row) for row in run_answers.runs(runs.store)]})

    @app.get(
        RUN,
        response_model=None,
        responses=_told(schemas.About),
        tags=["runs"],
        summary="A version of a run: provenance, layers, commands.",
    )
    def run(name: Name, version: VersionOf, request: Request) -> Response:
        opened = runs.version(name, version)
        found = about.about(opened, runs.numbers(name)) | {"uploads": image_routes.open_for(app)}
        return _json(found, _headers(runs, opened, version, lasts=False))


def _without_paths(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: row[name]
        for name in ("name", "version", "published", "versions", "model", "images", "rejected", "layers")
    }


def _add_answer(app: FastAPI, runs: OpenRuns, kind: str, told: catalogue.Kind) -> None:
    def endpoint(name: str, version: str, request: Request, **parameters: Any) -> Response:
        opened = runs.version(name, version)

        def made() -> bytes:
            return _encoded(catalogue.answer(opened, kind, parameters))

        data = opened.keep((kind, *parameters.values()), made) if kind in catalogue.WHOLE else made()
        return _unless_known(request, data, "application/json", _headers(runs, opened, version, lasts=told.lasts))

    _sign(endpoint, told)
    app.get(
        f"{RUN}/{kind}",
        name=kind,
        response_model=None,
        responses=_told(schemas.ANSWERS[kind]),
        tags=["answers"],
        summary=told.about,
    )(endpoint)


def _add_picture(app: FastAPI, runs: OpenRuns, kind: str, told: catalogue.Kind) -> None:
    def endpoint(name: str, version: str, request: Request, **parameters: Any) -> Response:
        opened = runs.version(name, version)
        found = catalogue.picture(opened, kind, parameters)
        return _unless_known(request, found.data, found.kind, _headers(runs, opened, version, lasts=told.lasts))

    _sign(endpoint, told)
    binary = {"schema": {"type": "string", "format": "binary"}}
    content = dict.fromkeys(("image/webp", "image/jpeg", "image/png"), binary)
    app.get(
        f"{PICTURES}/{kind}",
        name=f"picture_{kind}",
        response_class=Response,
        response_model=None,
        responses={200: {"content": content, "description": told.about}},
        tags=["pictures"],
        summary=told.about,
    )(endpoint)


def _sign(endpoint: Callable[..., Any], told: catalogue.Kind) -> None:
    """Give an endpoint the parameters of its question, from which FastAPI checks and describes them."""
    known = [
        inspect.Parameter("name", inspect.Parameter.KEYWORD_ONLY, annotation=Name),
        inspect.Parameter("version", inspect.Parameter.KEYWORD_ONLY, annotation=VersionOf),
        inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request),
    ]
    asked = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=_bounded(kind))
        for name, kind in told.parameters.items()
    ]
    endpoint.__signature__ = inspect.Signature([*known, *asked])  # type: ignore[attr-defined]
    endpoint.__annotations__ = {parameter.name: parameter.annotation for parameter in (*known, *asked)}


def _bounded(kind: type) -> Any:
    return Annotated[int, Query(ge=0, le=LARGEST)] if kind is int else Annotated[str, Query(max_length=300)]


def _headers(runs: OpenRuns, opened: OpenVersion, version: str, *, lasts: bool = True) -> dict[str, str]:
    """Answers asked for by number, hash and software last for ever; what `current` or a number means is asked again."""
    return {
        "Cache-Control": FOREVER if lasts and version == opened.address else "no-cache",
        "Actlas-Version": opened.tag,
        "Actlas-Current": str(runs.numbers(opened.run.name)[-1]),
    }


def _unless_known(request: Request, data: bytes, kind: str, headers: dict[str, str]) -> Response:
    """Return an answer; without its body where the one who asks has the very same already."""
    headers["ETag"] = f'"{hashlib.blake2b(data, digest_size=16).hexdigest()}"'
    known = {word.strip().removeprefix("W/") for word in request.headers.get("if-none-match", "").split(",")}
    if headers["ETag"] in known:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=kind, headers=headers)


def _json(value: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(_encoded(value), media_type="application/json", headers=headers or {"Cache-Control": "no-cache"})


def _encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _told(model: Any) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model, "description": "The answer."}}


def _add_errors(app: FastAPI) -> None:
    Handler = Callable[[Request, Any], Awaitable[Response]]

    async def ours(request: Request, error: ActlasError) -> Response:
        headers = {"Cache-Control": "no-store"} | ({"Retry-After": "1"} if isinstance(error, Full) else {})
        return JSONResponse({"error": str(error)}, status_code=_status(error), headers=headers)

    async def misunderstood(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}"}, status_code=400)

    async def plain(request: Request, error: HTTPException) -> Response:
        return JSONResponse({"error": str(error.detail)}, status_code=error.status_code, headers=error.headers)

    handlers: dict[Any, Handler] = {ActlasError: ours, RequestValidationError: misunderstood, HTTPException: plain}
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _status(error: ActlasError) -> int:
    return next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)


STATUSES: dict[type[ActlasError], int] = {
    Busy: 429,
    NotFound: 404,
    Incomplete: 404,
    ImageError: 404,
    UsageError: 400,
    ModelError: 409,
}
