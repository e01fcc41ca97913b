"""A viewer to look at: a small run with everything in it, served by a thread, and a browser where there is one."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image
from torch import nn

from flows import pipeline
from flows.engines import Inline
from flows.viewer import app, assets, serve
from flows.viewer.desk import Desk
from flows.viewer.shelf import Shelf
from support import corpus

EXTRAS = ("attribution", "influence", "gradients", "gallery")
HOSTILE = "<img src=x onerror=hacked()>"
"""A name that runs a script where it is taken for markup."""

PAYLOADS = (
    "<script>hacked()</script>",
    "<img src=x onerror=hacked()>",
    "<svg onload=hacked()>",
    '"><script>hacked()</script>',
    "'-hacked()-'",
    "javascript:hacked()",
    "</title><script>hacked()</script>",
    "{{constructor.constructor('hacked()')()}}",
    "<iframe srcdoc='<script>parent.hacked()</script>'>",
    "<a href=javascript:hacked()>x</a>",
    "<details open ontoggle=hacked()>",
    "<input autofocus onfocus=hacked()>",
    "<math><mi xlink:href=javascript:hacked()>",
    "${hacked()}",
    "<body onload=hacked()>",
)


def hostile_net() -> nn.Module:
    """Return the corpus's net with a layer whose name is a payload."""
    module = corpus.net()
    layers = list(module.features.children())
    module.features = nn.Sequential()
    names = ("0", "1", "<img src=x onerror=hacked()>", "3", "4", "\"'><svg onload=hacked()>")
    for name, layer in zip(names, layers, strict=True):
        module.features.add_module(name, layer)
    return module


HOSTILE_LAYERS = ("features.<img src=x onerror=hacked()>", "features.\"'><svg onload=hacked()>")


def write_hostile(folder: Path) -> Path:
    """Write images under folders and names that are payloads: those that a file system takes."""
    rng = np.random.default_rng(0)
    for number in range(48):
        payload = PAYLOADS[number % len(PAYLOADS)].replace("/", "∕")
        place = folder / PAYLOADS[number % 4].replace("/", "∕")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (48, 48, 3), np.uint8)).save(place / f"{payload}{number}.png")
    return folder


@dataclass(frozen=True, slots=True)
class Served:
    """An address, and what stands behind it."""

    address: str
    store: Path
    images: Path


def make_run(images: Path, store: Path, **changes: Any) -> None:
    pipeline.run(
        corpus.config(images, store, **{"extras": EXTRAS, "grids": (2, 4), "min_count": 1} | changes), Inline()
    )


@contextmanager
def serving(store: Path, *, uploads: bool = True, seconds: float = 60.0, **options: Any) -> Iterator[str]:
    """Serve a store from a thread and give the address."""
    chosen = serve.Options(uploads=uploads, **options)
    desk = Desk(str(store), seconds) if uploads else None
    application = app.make(Shelf(str(store)), page(), serve.rules_of(chosen), desk)
    try:
        with running(application, chosen) as address:
            yield address
    finally:
        if desk is not None:
            desk.close()


@contextmanager
def running(application: Any, options: serve.Options | None = None) -> Iterator[str]:
    """Run a web application in a thread."""
    with serve.listening(options or serve.Options()) as sock:
        server = uvicorn.Server(uvicorn.Config(application, log_level="error", access_log=False, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


def page() -> assets.Assets:
    """Return the built page, or a bare one where only the interface is looked at."""
    try:
        return assets.load()
    except Exception:
        if required():
            raise
        return assets.Assets({"icon.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}, (), ())


def required() -> bool:
    return os.environ.get("ACTLAS_BROWSER") == "required"


@contextmanager
def browser() -> Iterator[Any]:
    """Start Debian's Chromium; skip where there is none, unless it is required."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found and not required():
        pytest.skip("no chromium here: apt-get install -y chromium")
    if not (assets.BUILT / "files.json").exists() and not required():
        pytest.skip(assets.HOW)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()
