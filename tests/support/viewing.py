"""A viewer to look at: a small run with everything in it, served by a thread, and a browser where there is one."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import torch
import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from atlas import enrichment
from flows import registry
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.viewer import app, assets, serve
from flows.viewer.answers.open_runs import OpenRuns
from flows.viewer.model import child
from flows.viewer.model.worker import ModelWorker
from storage.run import Run, open_run
from storage.store.store import Contents, Store
from support import corpus

EXTRAS = tuple(registry.everything())
CLASSES = ("tiger cat", "picket fence, paling", "honeycomb", "crossword puzzle, crossword")


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


def shared_run(factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return images and store of one small run that all tests of the viewer look at: made once, by whoever is first."""
    base = factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "viewed"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            corpus.write_images(folder / "images", 40)
            (folder / "classes.txt").write_text("\n".join(CLASSES))
            make_run(folder / "images", folder / "store", classes=str(folder / "classes.txt"))
            (folder / "made").touch()
    return folder / "images", folder / "store"


def two_versions(factory: pytest.TempPathFactory, **changes: Any) -> tuple[Path, Path]:
    """Return images and a store of one's own: that run with a second version, of which one layer was trained on."""
    images, first = shared_run(factory)
    folder = factory.mktemp("two")
    store = copied(first, folder)
    weights = corpus.net().state_dict()
    noise = torch.randn(weights["features.3.weight"].shape, generator=torch.Generator().manual_seed(1))
    weights["features.3.weight"] = weights["features.3.weight"] + 0.1 * noise
    torch.save(weights, folder / "trained.pt")
    make_run(images, store, **{"weights": str(folder / "trained.pt"), "extras": ()} | changes)
    return images, store


BOUND = enrichment.bound_of


@contextmanager
def serving_without_bound(factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve the small run without a bound on names, so that labels and classes stand out in many cells."""
    images, store = shared_run(factory)
    with pytest.MonkeyPatch.context() as patch, serving(store, uploads=False) as address:
        patch.setattr(enrichment, "bound_of", lambda largest: 0.0)
        yield Served(address, store, images)


def run_with_bound(factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Run:
    """Open the small run with the bound on names, also while a viewer is served without."""
    patch.setattr(enrichment, "bound_of", BOUND)
    return open_run(shared_run(factory)[1], "small")


def copied(store: Path, folder: Path) -> Path:
    """Copy a store into a folder, to publish into it."""
    return Path(shutil.copytree(store, folder / "store"))


def another_run(store: Path, name: str = "again") -> int:
    """Publish the first version once more, under another name."""
    opened = Store(store)
    first = opened.version("small", 1)
    return opened.publish(name, Contents(dict(first.about), list(first.stages)))


def another_version(store: Path, name: str = "small") -> int:
    """Publish a version beside the first that has one grid less, and return its number."""
    opened = Store(store)
    first = opened.version("small", 1)
    about = dict(first.about) | {"grids": first.about["grids"][:1]}
    kept = [entry for entry in first.stages if entry.grid in (None, *about["grids"])]
    return opened.publish(name, Contents(about, kept))


@contextmanager
def serving(store: Path, *, uploads: bool = True, seconds: float = 60.0, **options: Any) -> Iterator[str]:
    """Serve a store from a thread and give the address."""
    chosen = serve.Options(uploads=uploads, **{"asks_token": "token" in options} | options)
    worker = ModelWorker(str(store), seconds) if uploads else None
    application = app.make(OpenRuns(str(store)), page(), serve.rules_of(chosen), worker)
    try:
        with running(application, chosen) as address:
            yield address
    finally:
        if worker is not None:
            worker.close()


@contextmanager
def running(application: Any, options: serve.Options | None = None) -> Iterator[str]:
    """Run a web application in a thread."""
    with serve.listening(options or serve.Options()) as sock:
        server = uvicorn.Server(serve.config_of(application, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


def client(store: Path) -> TestClient:
    """Return a client of the viewer's application over a store, without a socket and without a model."""
    options = serve.Options(uploads=False, asks_token=False)
    return TestClient(app.make(OpenRuns(str(store)), page(), serve.rules_of(options), None), f"http://{options.host}")


def serve_never(store: str, pipe: Any) -> None:
    """Stand in for a process with a model, and never answer."""
    pipe.recv()
    pipe.send((child.ANSWERING, None))
    time.sleep(600)


def page() -> assets.Assets:
    """Return the built page, or a bare one where only the interface is looked at."""
    try:
        return assets.load()
    except Exception:
        if required():
            raise
        places = {"atlas": "layer", "units": "layer", "unit": "unit", "image": "image", "run": ""}
        return assets.Assets({"icon.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}, (), (), places)


def required() -> bool:
    return os.environ.get("ACTLAS_BROWSER") == "required"


FEATURES = (
    # Every window loads two pages for the list below the address bar, which nobody sees: most of a window's cost.
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup"),
    "SpareRendererForSitePerProcess",  # a process that waits for a page that never comes
    # What playwright switches off by the same flag, of which a browser reads the last one only.
    *("AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades", "MediaRouter"),
    *("HttpsFirstBalancedModeAutoEnable", "LensOverlay", "PaintHolding", "ThirdPartyStoragePartitioning"),
    *("AvoidCorsURLLoaderRestartOnRedirect", "OptimizationHints", "NetworkTimeServiceQuerying", "AimEnabled"),
    "PreconnectToSearch",
)


CHROMIUM = ("chromium-headless-shell", "chromium", "chromium-browser")
"""Names of the program; the first has no windows, and opens a page in half of the time."""


@contextmanager
def browser() -> Iterator[Any]:
    """Start Debian's Chromium; skip where there is none, unless it is required."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if not found and not required():
        pytest.skip(f"no chromium here: apt-get install -y {CHROMIUM[0]}")
    if not (assets.BUILT / "files.json").exists() and not required():
        pytest.skip(assets.HOW)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", f"--disable-features={','.join(FEATURES)}"]
        running = playwright.chromium.launch(executable_path=found, args=flags)
        yield running
        running.close()


WIDE = {"width": 1280, "height": 800}
LASTING = ("add_init_script", "expose_function", "context")
"""What a page can't be rid of: after it, the next test gets another."""
BUSY = "() => document.readyState !== 'complete' || !!document.querySelector('.waiting')"


class Page:
    """A page of the browser, with what tests of the viewer ask of it; anything else is playwright's."""

    def __init__(self, page: Any, address: str) -> None:
        self._page, self.address = page, address
        self._begin()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self._complaints.append(str(error)))
        page.on("request", self._watch)
        for event in ("requestfinished", "requestfailed"):
            page.on(event, self._landed)

    def _begin(self) -> None:
        self._complaints: list[str] = []
        self._foreign: list[str] = []
        self._called = self._flying = 0
        self.version, self.spoilt = "current", False

    def __getattr__(self, name: str) -> Any:
        self.spoilt |= name in LASTING
        return getattr(self._page, name)

    def renew(self) -> None:
        """Forget what a test did: what was kept, what stood in for the server, the window and the theme."""
        self._page.unroute_all(behavior="ignoreErrors")  # a stand-in may still be at work on a late request
        self.script("() => localStorage.clear()")
        self._page.set_viewport_size(WIDE)
        self._page.emulate_media(color_scheme="null", reduced_motion="null", forced_colors="null")
        self._begin()

    def _hear(self, message: Any) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self._complaints.append(message.text)

    def _landed(self, request: Any) -> None:
        self._flying -= 1

    def _watch(self, request: Any) -> None:
        self._flying += 1
        if not request.url.startswith((self.address, "blob:", "data:")):
            self._foreign.append(request.url)

    def complaints(self) -> list[str]:
        """Return errors of scripts, and what the page's policy forbade."""
        return self._complaints

    def foreign(self) -> list[str]:
        """Return requests that left the origin."""
        return self._foreign

    def goto(self, path: str) -> None:
        self._flying = 0
        self._page.goto(self.address + path)

    def settle(self) -> None:
        """Wait until nothing is loading and nothing is to come, twice in a row."""
        last, quiet = time.monotonic() + 200, 0
        while quiet < 2:
            self._page.wait_for_timeout(50)
            busy = self._flying > 0 or self._poll(BUSY) is not False
            quiet = 0 if busy else quiet + 1
            if time.monotonic() > last:
                raise AssertionError(f"still loading after 200 s: {self._flying} requests")

    def until(self, source: str, seconds: float = 20) -> None:
        """Wait until a function of the page says yes; playwright's own way is stopped by the page's policy."""
        last = time.monotonic() + seconds
        while not self._poll(source):
            if time.monotonic() > last:
                raise AssertionError(f"not within {seconds} s: {source}")
            self._page.wait_for_timeout(30)

    def _poll(self, source: str) -> Any:
        """Return what a function of the page says, None while the page is being replaced by the one it leads to."""
        try:
            return self.script(source)
        except Exception as error:
            if "Execution context was destroyed" not in str(error):
                raise
            return None

    def see(self, what: str) -> Any:
        return self._page.locator(what)

    def script(self, source: str, *values: Any) -> Any:
        return self._page.evaluate(source, *values)

    def path(self) -> str:
        return str(self.script("() => location.pathname"))

    def spoken(self) -> str:
        return str(self.see(".unseen[role=status]").inner_text())

    def shot(self, what: str) -> bytes:
        made: bytes = self.see(what).screenshot()
        return made

    def pixels(self, what: str) -> int:
        """Return how many different colours an element shows."""
        import io

        with Image.open(io.BytesIO(self.shot(what))) as shot:
            return len(shot.convert("RGB").getcolors(1 << 24) or [])

    def loaded(self, what: str) -> bool:
        """Tell whether there are such pictures and all of those in sight have arrived."""
        self.settle()
        found = f"[...document.querySelectorAll({what!r})].filter(i => i.loading !== 'lazy' || i.complete)"
        return bool(self.script(f"() => {found}.length > 0 && {found}.every(i => i.naturalWidth > 0)"))

    def cell_on_screen(self) -> tuple[float, float]:
        """Return where the fullest cell's middle is on the screen."""
        layer = str(self.script("() => decodeURIComponent(location.pathname.split('/').at(-1))"))
        grid = int(str(self.see("#grid option").first.inner_text()).strip(")").split("(")[-1].split()[0])
        cells = self.get(f"/api/1/runs/small/{self.version}/cells", layer=layer, grid=str(grid))
        best = max(range(len(cells["count"])), key=lambda i: cells["count"][i])
        left, top, right, bottom = self._extent(cells, grid)
        box = self.see(".stage").bounding_box()
        side = min(box["width"] / (right - left), box["height"] / (bottom - top)) / 1.06
        x = box["x"] + box["width"] / 2 + side * ((cells["col"][best] + 0.5) / grid - (left + right) / 2)
        y = box["y"] + box["height"] / 2 + side * ((cells["row"][best] + 0.5) / grid - (top + bottom) / 2)
        return x, y

    def _extent(self, cells: dict[str, Any], grid: int) -> tuple[float, float, float, float]:
        """Return the box of all cells of the coarsest grid, which the first view shows whole."""
        about = self.get(f"/api/1/runs/small/{self.version}")
        layer = next(known for known in about["layers"] if known["name"] == cells["layer"])
        coarse = layer["grids"][0]["grid"]
        first = self.get(f"/api/1/runs/small/{self.version}/cells", layer=cells["layer"], grid=str(coarse))
        return (
            min(first["col"]) / coarse,
            min(first["row"]) / coarse,
            (max(first["col"]) + 1) / coarse,
            (max(first["row"]) + 1) / coarse,
        )

    def hover_cell(self) -> None:
        x, y = self.cell_on_screen()
        self._page.mouse.move(x - 3, y)
        self._page.mouse.move(x, y)
        self._page.wait_for_timeout(50)

    def click_cell(self) -> None:
        self._page.mouse.click(*self.cell_on_screen())

    def get(self, path: str, **parameters: str) -> Any:
        return httpx.get(self.address + path, params=parameters or None).raise_for_status().json()

    def quoted(self, text: str) -> str:
        return quote(text, safe="")

    def expose(self, name: str) -> None:
        def count() -> None:
            self._called += 1

        self.expose_function(name, count)

    def called(self) -> int:
        return self._called

    def until_called(self, seconds: float = 60) -> None:
        """Wait until what was exposed is called."""
        last = time.monotonic() + seconds
        while not self._called and time.monotonic() < last:
            self._page.wait_for_timeout(30)
        assert self._called, f"not called within {seconds} s"


class Kept:
    """A page for one test after the other, since another one costs as much as most tests, and a script that it begins with."""

    def __init__(self, chromium: Any, address: str, script: str = "") -> None:
        self._chromium, self._address, self._script = chromium, address, script
        self._last = ExitStack()
        self._page: Page | None = None

    def page(self) -> Page:
        """Return the page as if it were new, but for what the browser has in its cache."""
        if self._page is None or self._page.spoilt:
            self.close()
            self._page = self._last.enter_context(opened(self._chromium, self._address))
            self._page.add_init_script(self._script)
            self._page.spoilt = False
        else:
            self._page.renew()
        return self._page

    def close(self) -> None:
        self._last.close()


@contextmanager
def opened(chromium: Any, address: str, **options: Any) -> Iterator[Page]:
    """Open a page in a context of its own."""
    context = chromium.new_context(**{"viewport": WIDE} | options)
    context.set_default_timeout(20_000)
    try:
        yield Page(context.new_page(), address)
    finally:
        context.close()
