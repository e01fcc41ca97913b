"""The viewer without a socket, for notebooks: its application called in this process, its page as one document."""

from __future__ import annotations

import asyncio
import base64
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message

from flows.viewer import app, assets
from flows.viewer.answers.open_runs import OpenRuns
from flows.viewer.model.worker import ModelWorker
from flows.viewer.security import Rules

HOST = "localhost"
WIDGET = "notebook.js"
ASSET = re.compile(r"url\([\"']?(?:\./)?([A-Za-z0-9_.-]+\.woff2)[\"']?\)")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of the application."""

    status: int
    headers: dict[str, str]
    body: bytes


class InProcessViewer:
    """The application over a store. The model worker starts with the first request that needs it."""

    def __init__(self, store: str, *, uploads: bool = True) -> None:
        self.worker = ModelWorker(store) if uploads else None
        self.app: ASGIApp = app.make(OpenRuns(store), assets.load(), Rules(hosts=(HOST,)), self.worker)

    def ask(self, address: str, method: str = "GET", body: bytes = b"") -> Answer:
        """Return the response to a request, by the path and query of its address."""
        return asyncio.run(_call(self.app, address, method, body))

    def close(self) -> None:
        """End the model worker."""
        if self.worker is not None:
            self.worker.close()


async def _call(application: ASGIApp, address: str, method: str, body: bytes) -> Answer:
    parts = urlsplit(address)
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(b"host", HOST.encode())],
        "client": None,
        "server": (HOST, 80),
    }
    status, headers = 500, dict[str, str]()
    chunks: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        else:
            chunks.append(message.get("body", b""))

    await application(scope, receive, send)
    return Answer(status, headers, b"".join(chunks))


def document(page: assets.Assets | None = None) -> str:
    """Return the page with its scripts, styles and fonts inlined, for a frame that can load nothing."""
    page = page or assets.load()
    styles = "".join(f"<style>{_with_fonts(page, page.files[name].decode())}</style>" for name in page.styles)
    scripts = "".join(f"<script>{_escape(page.files[name].decode())}</script>" for name in page.scripts)
    head, tail = assets.PAGE.format(rules="", icon="data:,", styles=styles, scripts="").split("</body>")
    return f"{head}{scripts}</body>{tail}"


def widget(page: assets.Assets | None = None) -> str:
    """Return the JavaScript module that shows the document in a notebook."""
    return (page or assets.load()).files[WIDGET].decode()


def _with_fonts(page: assets.Assets, css: str) -> str:
    """Return a style sheet with its fonts as data URLs."""

    def data_url(match: re.Match[str]) -> str:
        return f"url(data:font/woff2;base64,{base64.b64encode(page.files[match[1]]).decode()})"

    return ASSET.sub(data_url, css)


def _escape(script: str) -> str:
    """Return a script that can be inlined: nothing in it ends its element or begins a comment of the page."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")
