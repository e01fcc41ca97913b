"""The routes that take an uploaded picture, locate and explain, with limits on size, number and time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from flows.viewer.answers import pictures
from flows.viewer.answers.encoding import RefusedRequest, encode
from flows.viewer.answers.errors import Busy, Full
from flows.viewer.answers.open_runs import OpenRuns, OpenVersion
from flows.viewer.model import limits
from flows.viewer.model.answers import Explained, Linked, Loaded, Located, Salient
from flows.viewer.model.requests import Requests
from flows.viewer.model.worker import ModelWorker
from storage.errors import NotFound, Rejected, UsageError
from storage.images import formats

NAMES = ("/locate", "/explain", "/load")

OFF = "the viewer was started with --no-uploads: pictures are not taken"

Name = Annotated[str, Path(max_length=64)]
VersionOf = Annotated[str, Path(max_length=32)]
Layer = Annotated[str, Query(max_length=300)]
ImageId = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="An image of the run, instead of an upload.")]
ClassName = Annotated[str | None, Query(max_length=200, description="A class by its name or number.")]
Method = Annotated[str | None, Query(max_length=40, description="A method of `actlas saliency`, for the pixels.")]
BODY = {
    "requestBody": {
        "required": False,
        "description": "The bytes of a JPEG, PNG, WebP or other image, at most 16 MiB and 40 million pixels.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def takes_uploads(app: FastAPI) -> bool:
    """Tell whether the application accepts uploads."""
    return getattr(app.state, "worker", None) is not None


Ask = Callable[[str, OpenVersion, dict[str, Any], Request], Awaitable[Response]]
"""Asks the worker a question of a kind about a version."""


def add_to(app: FastAPI, root: str, runs: OpenRuns, worker: ModelWorker | None, requests: Requests) -> None:
    """Add the routes that take pictures, and the one that loads the model for them."""
    app.state.worker = worker
    reading = asyncio.Semaphore(limits.READ_AT_ONCE)

    async def ask(kind: str, opened: OpenVersion, question: dict[str, Any], request: Request) -> Response:
        if worker is None:
            return JSONResponse({"error": OFF}, status_code=403)
        data = await _picture(question, request, reading)
        if question["id"] is not None:  # one that is gone needs no model
            await run_in_threadpool(pictures.source_bytes, opened, question["id"])
        return uncached(
            await requests.ask(object(), lambda left: encode(worker.ask(kind, question, data, left)), request)
        )

    _add_locate(app, root, runs, ask)
    _add_explain(app, root, runs, ask)
    _add_load(app, root, runs, worker, requests)


def _add_locate(app: FastAPI, root: str, runs: OpenRuns, ask: Ask) -> None:
    @app.post(
        f"{root}/locate",
        responses=responses(Located),
        response_model=None,
        openapi_extra=BODY,
        tags=["uploads"],
        summary="The cells that the positions of an image fall in.",
    )
    async def locate(
        name: Name,
        version: VersionOf,
        layer: Layer,
        grid: Annotated[int, Query(ge=1, le=512)],
        request: Request,
        id: ImageId = None,
    ) -> Response:
        opened = runs.version(name, version)
        opened.layer(layer)
        if grid not in opened.run.grids:
            raise NotFound(f"{name} has no grid {grid}; it has {', '.join(map(str, opened.run.grids))}")
        question = {"run": f"{name}@{opened.run.number}", "layer": layer, "grid": grid, "id": id}
        return await ask("locate", opened, question, request)


def _add_explain(app: FastAPI, root: str, runs: OpenRuns, ask: Ask) -> None:
    @app.post(
        f"{root}/explain",
        responses=responses(Explained | Salient | Linked),
        response_model=None,
        openapi_extra=BODY,
        tags=["uploads"],
        summary="What a layer sees in an image, and what speaks for a class; the saliency of its pixels; links to a later layer.",
    )
    async def explain(
        name: Name,
        version: VersionOf,
        layer: Layer,
        request: Request,
        of: ClassName = None,
        against: ClassName = None,
        method: Method = None,
        to: Annotated[str | None, Query(max_length=300, description="A later layer: return the links to it.")] = None,
        draft: Annotated[bool, Query(description="With a method: a first map, of few passes.")] = False,
        id: ImageId = None,
    ) -> Response:
        opened = runs.version(name, version)
        for named in (layer, to):
            if named is not None:
                opened.layer(named)
        options = {"of": of, "against": against, "method": method, "to": to, "draft": draft, "id": id}
        question = {"run": f"{name}@{opened.run.number}", "layer": layer} | options
        return await ask("explain", opened, question, request)


def _add_load(app: FastAPI, root: str, runs: OpenRuns, worker: ModelWorker | None, requests: Requests) -> None:
    @app.post(
        f"{root}/load",
        responses=responses(Loaded),
        response_model=None,
        tags=["uploads"],
        summary="Load the model that explains images; answered once it is loaded.",
    )
    async def load(name: Name, version: VersionOf, request: Request) -> Response:
        run = f"{name}@{runs.version(name, version).run.number}"
        if worker is None:
            return JSONResponse({"error": OFF}, status_code=403)
        return uncached(
            await requests.ask(("load", run), lambda left: encode(worker.ask("load", {"run": run}, b"", left)), request)
        )


async def _picture(question: dict[str, Any], request: Request, reading: asyncio.Semaphore) -> bytes:
    """Read the uploaded picture; it is empty where the question names an image of the run.

    Such a question brings no picture, so slow uploads do not hold it up.
    """
    if question.get("id") is not None:
        if _has_body(request):
            raise UsageError("send a picture, or name an image of the run by its id, not both")
        return b""
    if reading.locked():
        raise Full("too many pictures at once; try again in a moment")
    try:
        async with reading:
            data = await asyncio.wait_for(_body(request), limits.ARRIVES)
    except TimeoutError:
        raise UsageError(f"the picture did not arrive within {limits.ARRIVES:g} s; send a smaller one") from None
    except ClientDisconnect:
        raise Busy("the client has disconnected") from None
    check(data)
    return data


def _has_body(request: Request) -> bool:
    """Tell whether a request announces a body, so that it need not arrive."""
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


async def _body(request: Request) -> bytes:
    """Read the body up to the size limit. Raises UsageError beyond it."""
    if int(request.headers.get("content-length") or 0) > limits.LARGEST:
        raise UsageError(limits.TOO_LARGE)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limits.LARGEST:
            raise UsageError(limits.TOO_LARGE)
        parts.append(part)
    return b"".join(parts)


def check(data: bytes) -> None:
    """Raise UsageError unless the bytes start as an image does; names and headers prove nothing."""
    try:
        formats.sniff(data)
    except Exception as error:
        why = error.detail if isinstance(error, Rejected) else error
        raise UsageError(f"this is not an image that can be read ({why}); send a JPEG, PNG or WebP") from None


def uncached(data: bytes) -> Response:
    """Return a model answer, which clients must not cache."""
    return Response(data, media_type="application/json", headers={"Cache-Control": "no-store"})


def responses(shape: Any) -> dict[int | str, dict[str, Any]]:
    """Return the responses of a model route, for the OpenAPI description."""
    return {
        200: {"model": shape, "description": "The answer."},
        429: {"model": RefusedRequest, "description": "Too busy."},
    }
