"""The page's addresses: every state of the page has one, and all return the same document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from flows.viewer.answers.open_runs import OpenRuns
from flows.viewer.assets import Assets
from storage.errors import NotFound, StoreError, UsageError

RUN = r"(?P<name>[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63})(?:@(?P<version>[1-9][0-9]{0,8}))?"
OF_A_RUN = re.compile(rf"/{RUN}(?:/(?P<place>[a-z]+)(?:/(?P<what>[^/]+))?)?/?", re.ASCII)
ONE = re.compile(RUN, re.ASCII)
COMPARE = re.compile(r"/compare/(?P<both>[^/]+)(?:/[^/]+)?/?", re.ASCII)
ASSET = re.compile(r"[A-Za-z0-9_.-]{1,100}", re.ASCII)
DATA = ("/api/", "/pictures/", "/assets/")
"""Prefixes under which a missing address is reported as JSON, not as a page."""

OURS = ("", "/", "/api", "/help")


def add_to(app: FastAPI, runs: OpenRuns, assets: Assets) -> None:
    """Add the page and its files. Missing addresses get the page with status 404, and the page says so."""
    page = assets.page()

    @app.get("/assets/{name}", include_in_schema=False)
    def asset(name: str) -> Response:
        if not ASSET.fullmatch(name) or name not in assets.files:
            raise NotFound("the page has no such file")
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(assets.files[name], media_type=assets.kind(name), headers=headers)

    @app.get("/favicon.ico", include_in_schema=False)
    def favicon() -> Response:
        return Response(assets.files["icon.svg"], media_type="image/svg+xml")

    @app.get("/{path:path}", include_in_schema=False)
    def document(request: Request) -> Response:
        raw = request.scope.get("raw_path", b"").decode("latin-1").partition("?")[0]
        status = 200 if _may_exist(runs, assets.places, raw) else 404
        if status == 404 and raw.startswith(DATA):
            raise NotFound(f"there is nothing at {unquote(raw)[:200]}; /api lists what there is")
        return HTMLResponse(page, status_code=status, headers={"Cache-Control": "no-cache"})


def _may_exist(runs: OpenRuns, places: Mapping[str, str], path: str) -> bool:
    """Tell whether an address exists, or cannot be told about: then what the page asks for next says what is wrong."""
    try:
        return exists(runs, places, path)
    except StoreError:
        return True


def exists(runs: OpenRuns, places: Mapping[str, str], path: str) -> bool:
    """Tell whether an address of the page exists; `places` are those of a run, with what their addresses name."""
    if path in OURS:
        return True
    compared = COMPARE.fullmatch(path)
    both = _split(compared["both"]) if compared else None
    if both:
        return all(_has_run(runs, one["name"], one["version"]) for one in both)
    match = OF_A_RUN.fullmatch(path)
    if not match or not _has_run(runs, match["name"], match["version"]):
        return False
    if match["place"] is None:
        return True
    return match["place"] in places and (match["what"] is None or _has(runs, match, places[match["place"]]))


def _split(both: str) -> tuple[re.Match[str], re.Match[str]] | None:
    """Return the two runs of a comparison, split as the page does at the first `..` with a run's name on both sides."""
    for at in (dots.start() for dots in re.finditer(r"(?=\.\.)", both)):
        one, other = ONE.fullmatch(unquote(both[:at])), ONE.fullmatch(unquote(both[at + 2 :]))
        if one and other:
            return one, other
    return None


def _has_run(runs: OpenRuns, name: str, version: str | None) -> bool:
    try:
        runs.version(name, version or "current")
    except (NotFound, UsageError):
        return False
    return True


def _has(runs: OpenRuns, match: re.Match[str], subject: str) -> bool:
    """Tell whether a run has the image, unit or layer that an address names."""
    version, what = runs.version(match["name"], match["version"] or "current"), unquote(match["what"])
    if subject == "image":
        return what.isascii() and what.isdigit() and len(what) < 12 and int(what) < version.run.version.about["ids"]
    if subject == "unit":
        layer, _, unit = what.rpartition(":")
        valid = layer in version.run.layers and unit.isascii() and unit.isdigit() and len(unit) < 10
        return valid and int(unit) < version.units(layer)
    return subject == "layer" and what in version.run.layers
