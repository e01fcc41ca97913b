"""The viewer's web application: the JSON interface, pictures, uploads, and the page."""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
from collections.abc import Awaitable, Callable
from importlib.metadata import version as installed
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp
from typing_extensions import TypedDict

from flows.questions import runs as run_answers
from flows.viewer import page_routes
from flows.viewer.answers import about, catalogue
from flows.viewer.answers.encoding import RefusedRequest, encode
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


class Runs(TypedDict):
    """The runs of the store, each with its current version, and the store's absolute path."""

    store: str
    runs: list[run_answers.RunRow]


def make(runs: OpenRuns, assets: Assets, rules: Rules, worker: ModelWorker | None) -> ASGIApp:
    """Return the application over a store; without a worker, requests that need the model are refused."""
    app = _interface(runs, worker, Undescribed)
    app.get(f"{API}/openapi.json", include_in_schema=False)(_described)
    page_routes.add_to(app, runs, assets)
    zipped = GZipMiddleware(app, minimum_size=1000, compresslevel=5)
    return SecurityMiddleware(zipped, rules, (*image_routes.NAMES, *unit_routes.NAMES))


def description() -> dict[str, Any]:
    """Return the OpenAPI description of the interface, which is the same over every store."""
    return _interface(OpenRuns(""), None, APIRoute).openapi()


def _described() -> Response:
    return Response(_description(), media_type="application/json")


@functools.cache
def _description() -> bytes:
    return encode(description())


class Undescribed(APIRoute):
    """A route without the types of its answers: the description alone needs them, and most of the time goes into them."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **(options | {"responses": None}))


def _interface(runs: OpenRuns, worker: ModelWorker | None, route: type[APIRoute]) -> FastAPI:
    app = FastAPI(
        title="actlas viewer",
        version=installed("actlas"),
        description="The JSON behind each view of the viewer. Versions of a run never change; answers requested by a version's "
        "`address` may be cached for ever.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        responses={
            "4XX": {
                "model": RefusedRequest,
                "description": "The request names something that does not exist, or is invalid.",
            }
        },
    )
    app.router.route_class = route
    _add_errors(app)
    _add_runs(app, runs)
    for name, kind in catalogue.ANSWERS.items():
        _add_answer(app, runs, name, kind)
    for name, kind in catalogue.PICTURES.items():
        _add_picture(app, runs, name, kind)
    requests = Requests()
    image_routes.add_to(app, RUN, runs, worker, requests)
    unit_routes.add_to(app, RUN, runs, worker, requests)
    return app


def _add_runs(app: FastAPI, runs: OpenRuns) -> None:
    @app.get(
        f"{API}/runs",
        name="runs",
        response_model=None,
        responses=_responses(Runs),
        tags=["runs"],
        summary="The runs of the store.",
    )
    def list_runs() -> Response:
        return _json(Runs(store=os.path.abspath(runs.store), runs=run_answers.runs(runs.store)))

    @app.get(
        RUN,
        response_model=None,
        responses=_responses(about.About),
        tags=["runs"],
        summary="A version of a run: provenance, layers, commands.",
    )
    def run(name: Name, version: VersionOf, request: Request) -> Response:
        opened = runs.version(name, version)
        answer: about.About = {
            **about.about(opened, runs.numbers(name)),
            "uploads": image_routes.takes_uploads(app),
        }
        return _json(answer, _headers(runs, opened, version, lasts=False))


def _add_answer(app: FastAPI, runs: OpenRuns, name_of_kind: str, kind: catalogue.Kind) -> None:
    def endpoint(name: str, version: str, request: Request, **parameters: Any) -> Response:
        opened = runs.version(name, version)

        def answer() -> bytes:
            return encode(catalogue.answer(opened, name_of_kind, parameters))

        whole = name_of_kind in catalogue.WHOLE
        data = opened.keep((name_of_kind, *parameters.values()), answer) if whole else answer()
        return _unless_cached(request, data, "application/json", _headers(runs, opened, version, lasts=kind.lasts))

    _sign(endpoint, kind)
    app.get(
        f"{RUN}/{name_of_kind}",
        name=name_of_kind,
        response_model=None,
        responses=_responses(catalogue.shape(name_of_kind)),
        tags=["answers"],
        summary=kind.about,
    )(endpoint)


def _add_picture(app: FastAPI, runs: OpenRuns, name_of_kind: str, kind: catalogue.Kind) -> None:
    def endpoint(name: str, version: str, request: Request, **parameters: Any) -> Response:
        opened = runs.version(name, version)
        picture = catalogue.picture(opened, name_of_kind, parameters)
        return _unless_cached(request, picture.data, picture.kind, _headers(runs, opened, version, lasts=kind.lasts))

    _sign(endpoint, kind)
    binary = {"schema": {"type": "string", "format": "binary"}}
    content = dict.fromkeys(("image/webp", "image/jpeg", "image/png"), binary)
    app.get(
        f"{PICTURES}/{name_of_kind}",
        name=f"picture_{name_of_kind}",
        response_class=Response,
        response_model=None,
        responses={200: {"content": content, "description": kind.about}},
        tags=["pictures"],
        summary=kind.about,
    )(endpoint)


def _sign(endpoint: Callable[..., Any], kind: catalogue.Kind) -> None:
    """Give an endpoint a signature of the kind's parameters, from which FastAPI validates and describes them."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("name", keyword, annotation=Name),
        inspect.Parameter("version", keyword, annotation=VersionOf),
        inspect.Parameter("request", keyword, annotation=Request),
        *(inspect.Parameter(name, keyword, annotation=_bounded(type_)) for name, type_ in kind.parameters.items()),
    ]
    endpoint.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    endpoint.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}


def _bounded(kind: type) -> Any:
    return Annotated[int, Query(ge=0, le=LARGEST)] if kind is int else Annotated[str, Query(max_length=300)]


def _headers(runs: OpenRuns, opened: OpenVersion, version: str, *, lasts: bool = True) -> dict[str, str]:
    """Let answers by full address be cached for ever; those by `current` or a number must be revalidated."""
    return {
        "Cache-Control": FOREVER if lasts and version == opened.address else "no-cache",
        "Actlas-Version": opened.tag,
        "Actlas-Current": str(runs.numbers(opened.run.name)[-1]),
    }


def _unless_cached(request: Request, data: bytes, kind: str, headers: dict[str, str]) -> Response:
    """Return an answer, or 304 if the client has it cached."""
    headers["ETag"] = f'"{hashlib.blake2b(data, digest_size=16).hexdigest()}"'
    cached = {word.strip().removeprefix("W/") for word in request.headers.get("if-none-match", "").split(",")}
    if headers["ETag"] in cached:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=kind, headers=headers)


def _json(value: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(encode(value), media_type="application/json", headers=headers or {"Cache-Control": "no-cache"})


def _responses(shape: Any) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": shape, "description": "The answer."}}


def _add_errors(app: FastAPI) -> None:
    Handler = Callable[[Request, Any], Awaitable[Response]]

    async def refuse(request: Request, error: ActlasError) -> Response:
        headers = {"Cache-Control": "no-store"} | ({"Retry-After": "1"} if isinstance(error, Full) else {})
        return JSONResponse({"error": str(error)}, status_code=_status(error), headers=headers)

    async def reject_parameters(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}"}, status_code=400)

    async def http_error(request: Request, error: HTTPException) -> Response:
        return JSONResponse({"error": str(error.detail)}, status_code=error.status_code, headers=error.headers)

    handlers: dict[Any, Handler] = {
        ActlasError: refuse,
        RequestValidationError: reject_parameters,
        HTTPException: http_error,
    }
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
