"""A server that is slow: a proxy before it that holds back all that it answers for some seconds."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Proxy:
    """Hand on connections to a port of this machine; `chunks` counts what was held back."""

    def __init__(self, upstream: int, seconds: float) -> None:
        self.upstream, self.seconds, self.chunks, self.port = upstream, seconds, 0, 0
        self.loop = asyncio.new_event_loop()

    def run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._connect, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            writer.close()
            return
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        await asyncio.gather(self._ask(reader, back), self._hold(there, held), self._answer(held, writer))

    async def _ask(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                back.write(data)
                await back.drain()
        back.close()

    async def _hold(self, there: asyncio.StreamReader, held: asyncio.Queue[tuple[float, bytes]]) -> None:
        """Take what the server answers as it comes, so that an answer is late as a whole and not piece by piece."""
        data = b"first"
        while data:
            try:
                data = await there.read(1 << 16)
            except OSError:
                data = b""
            held.put_nowait((time.monotonic() + self.seconds, data))

    async def _answer(self, held: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while True:
                due, data = await held.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    break
                self.chunks += 1
                writer.write(data)
                await writer.drain()
        writer.close()


@contextmanager
def slowed(upstream: int, seconds: float) -> Iterator[Proxy]:
    """Stand before a server for the length of the block."""
    proxy, ready = Proxy(upstream, seconds), threading.Event()
    thread = threading.Thread(target=proxy.run, args=[ready], name="slow-server", daemon=True)
    thread.start()
    ready.wait()
    try:
        yield proxy
    finally:
        proxy.loop.call_soon_threadsafe(proxy.loop.stop)
        thread.join(timeout=10)
