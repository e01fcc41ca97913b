"""The two questions that bring a picture along, locate and explain: bounded in size, in number and in time."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from flows.viewer.answers import schemas
from flows.viewer.answers.errors import Busy, Full
from flows.viewer.answers.open_runs import OpenRuns
from flows.viewer.model.limits import ARRIVES, LARGEST, READ_AT_ONCE, TOO_LARGE
from flows.viewer.model.requests import Requests
from flows.viewer.model.worker import ModelWorker
from storage.errors import NotFound, Rejected, UsageError
from storage.images import formats

NAMES = ("/locate", "/explain")

OFF = "the viewer was started with --no-uploads: pictures are not taken"

Name = Annotated[str, Path(max_length=64)]
VersionOf = Annotated[str, Path(max_length=32)]
Layer = Annotated[str, Query(max_length=300)]
ImageId = Annotated[
    int | None, Query(ge=0, le=2**31 - 1, description="An image of the run, instead of one that is sent.")
]
ClassName = Annotated[str | None, Query(max_length=200, description="A class by its name or number.")]
Method = Annotated[str | None, Query(max_length=40, description="A method of `actlas saliency`: the pixels' part.")]
BODY = {
    "requestBody": {
        "required": False,
        "description": "The bytes of a JPEG, PNG, WebP or other image, at most 16 MiB and 40 million pixels.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def open_for(app: FastAPI) -> bool:
    """Tell whether pictures are taken."""
    return getattr(app.state, "worker", None) is not None


def add_to(app: FastAPI, root: str, runs: OpenRuns, worker: ModelWorker | None, waiting: Requests) -> None:
    """Add the two questions."""
    app.state.worker = worker
    reading = asyncio.Semaphore(READ_AT_ONCE)

    async def ask(question: str, asked: dict[str, Any], request: Request) -> Response:
        if worker is None:
            return JSONResponse({"error": OFF}, status_code=403)
        data = await _picture(asked, request, reading)
        return answered(
            await waiting.ask(object(), lambda left: encoded(worker.ask(question, asked, data, left)), request)
        )

    @app.post(
        f"{root}/locate",
        responses=told(schemas.Located),
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
        asked = {"run": f"{name}@{opened.run.number}", "layer": layer, "grid": grid, "id": id}
        return await ask("locate", asked, request)

    @app.post(
        f"{root}/explain",
        responses=told(schemas.Explained | schemas.Salient | schemas.Linked),
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
        to: Annotated[str | None, Query(max_length=300, description="A later layer: what moves what is there.")] = None,
        id: ImageId = None,
    ) -> Response:
        opened = runs.version(name, version)
        for named in (layer, to):
            if named is not None:
                opened.layer(named)
        words = {"of": of, "against": against, "method": method, "to": to, "id": id}
        asked = {"run": f"{name}@{opened.run.number}", "layer": layer} | words
        return await ask("explain", asked, request)


async def _picture(asked: dict[str, Any], request: Request, reading: asyncio.Semaphore) -> bytes:
    """Read the picture that a question brings along; there is none where it names an image of the run."""
    if reading.locked():
        raise Full("too many pictures at once; try again in a moment")
    try:
        async with reading:
            data = await asyncio.wait_for(_body(request), ARRIVES)
    except TimeoutError:
        raise UsageError(f"the picture did not arrive within {ARRIVES:g} s; send a smaller one") from None
    except ClientDisconnect:
        raise Busy("nobody waits for this any more") from None
    if asked.get("id") is None:
        check(data)
    elif data:
        raise UsageError("send a picture, or name an image of the run by its id, not both")
    return data


async def _body(request: Request) -> bytes:
    """Read the body, and no more than is allowed of it."""
    if int(request.headers.get("content-length") or 0) > LARGEST:
        raise UsageError(TOO_LARGE)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST:
            raise UsageError(TOO_LARGE)
        parts.append(part)
    return b"".join(parts)


def check(data: bytes) -> None:
    """Raise UsageError unless these bytes begin as an image does: what a name or a header says counts for nothing."""
    try:
        formats.sniff(data)
    except Exception as error:
        why = error.detail if isinstance(error, Rejected) else error
        raise UsageError(f"this is not an image that can be read ({why}); send a JPEG, PNG or WebP") from None


def encoded(answer: Any) -> bytes:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def answered(data: bytes) -> Response:
    """Return what was asked of the model: nobody keeps it."""
    return Response(data, media_type="application/json", headers={"Cache-Control": "no-store"})


def told(model: Any) -> dict[int | str, dict[str, Any]]:
    return {
        200: {"model": model, "description": "The answer."},
        429: {"model": schemas.Error, "description": "Too busy."},
    }
