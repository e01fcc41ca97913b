"""The viewer as a widget: the same page in a frame, which asks the kernel what it asks a server elsewhere."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlencode

import anywidget
import traitlets

from flows.viewer import in_process

AT_ONCE = 4
METHODS = ("GET", "POST")


class Viewer(anywidget.AnyWidget):
    """The viewer at a layer of a run. `address` is where it is, as after `#` in an export; setting it goes there."""

    _esm = traitlets.Unicode().tag(sync=True)
    page = traitlets.Unicode().tag(sync=True)
    address = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int(720).tag(sync=True)

    # Python ends a widget that was never made whole, too.
    _workers: ThreadPoolExecutor | None = None
    _inside: in_process.InProcessViewer | None = None

    def __init__(self, store: str, name: str, layer: str, *, height: int, query: dict[str, Any]) -> None:
        words = f"?{urlencode(query, safe=',:@')}" if query else ""
        super().__init__(
            _esm=in_process.widget(),
            page=in_process.document(),
            address=f"/{name}/atlas/{quote(layer, safe='')}{words}",
            height=height,
        )
        self._inside = in_process.InProcessViewer(store)
        self._workers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="actlas")
        self.on_msg(self._heard)

    def _heard(self, _: Any, asked: Any, buffers: list[Any]) -> None:
        """Answer what the page asks, beside the cells that run: a picture of a thousand tiles must not stop them."""
        if self._workers is not None:
            self._workers.submit(self._answer, asked, bytes(buffers[0]) if buffers else b"")

    def _answer(self, asked: dict[str, Any], body: bytes) -> None:
        method = asked["method"] if asked["method"] in METHODS else "GET"
        if self._inside is None:
            return
        answer = self._inside.ask(str(asked["address"]), method, body)
        told = {"status": answer.status, "headers": answer.headers}
        self.send({"line": asked["line"], "number": asked["number"]} | told, [answer.body])

    def close(self) -> None:
        """End the widget, and the process with the model."""
        if self._workers is not None:
            self._workers.shutdown(wait=False, cancel_futures=True)
        if self._inside is not None:
            self._inside.close()
        super().close()
