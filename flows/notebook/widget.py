"""The viewer as a widget: the page in a frame, which sends its requests to the kernel instead of a server."""

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
    """The viewer at a layer of a run. `address` is the page's, as after `#` in an export; setting it navigates."""

    _esm = traitlets.Unicode().tag(sync=True)
    page = traitlets.Unicode().tag(sync=True)
    address = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int(720).tag(sync=True)

    # Python finalises a widget even when its constructor failed.
    _workers: ThreadPoolExecutor | None = None
    _viewer: in_process.InProcessViewer | None = None

    def __init__(self, store: str, name: str, layer: str, *, height: int, query: dict[str, Any]) -> None:
        words = f"?{urlencode(query, safe=',:@')}" if query else ""
        super().__init__(
            _esm=in_process.widget(),
            page=in_process.document(),
            address=f"/{name}/atlas/{quote(layer, safe='')}{words}",
            height=height,
        )
        self._viewer = in_process.InProcessViewer(store)
        self._workers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="actlas")
        self.on_msg(self._receive)

    def _receive(self, _: Any, request: Any, buffers: list[Any]) -> None:
        """Answer a request of the page in a thread, so that a thousand tiles do not block the notebook's cells."""
        if self._workers is not None:
            self._workers.submit(self._answer, request, bytes(buffers[0]) if buffers else b"")

    def _answer(self, request: dict[str, Any], body: bytes) -> None:
        method = request["method"] if request["method"] in METHODS else "GET"
        if self._viewer is None:
            return
        answer = self._viewer.ask(str(request["address"]), method, body)
        response = {"status": answer.status, "headers": answer.headers}
        self.send({"line": request["line"], "number": request["number"]} | response, [answer.body])

    def close(self) -> None:
        """Close the widget and end its model worker."""
        if self._workers is not None:
            self._workers.shutdown(wait=False, cancel_futures=True)
        if self._viewer is not None:
            self._viewer.close()
        super().close()
