"""The runs that the viewer has open: each version once, with a cache of what its views share."""

from __future__ import annotations

import functools
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from flows.questions.units import Shared
from flows.viewer.answers import build_id, sizes
from storage.artefacts.patch_gradients import PatchGradients
from storage.errors import NotFound
from storage.run import Run, open_store
from storage.store.results import Result
from storage.store.store import Store

T = TypeVar("T")
VERSION = re.compile(r"([1-9][0-9]{0,8})(?:-([0-9a-f]{8})(?:-[0-9a-f]{8})?)?", re.ASCII)
RECENT = 24
"""Recent values cached whatever their size: the next pictures requested are of the same unit or cell."""

OPEN, CACHED = 8, 256 << 20
"""Versions kept open, and bytes cached of all together; the value in use is kept even where it alone is larger."""


class OpenVersion:
    """One version of a run, with a cache of the arrays that several views read; `grown` is called when it grows."""

    def __init__(self, run: Run, grown: Callable[[], None] = lambda: None) -> None:
        self.run, self._grown = run, grown
        self._cached: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._recent: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._sizes: dict[tuple[Any, ...], int] = {}
        self._pending: dict[tuple[Any, ...], Any] = {}
        self._lock = threading.RLock()

    @property
    def tag(self) -> str:
        """The version's name in addresses: its number and the start of its hash, so that it never means another."""
        return f"{self.run.number}-{self.run.version.sha256[:8]}"

    @property
    def address(self) -> str:
        """The tag with the hash of the software: answers by this address may be cached for ever."""
        return f"{self.tag}-{build_id.digest()}"

    @functools.cached_property
    def layers(self) -> list[str]:
        """The run's layers from shallow to deep: the order in which the model computes them."""
        ordered = [layer["name"] for layer in self.run.model["layers"]] if self.run.has("model") else []
        return [name for name in ordered if name in self.run.layers] or self.run.layers

    def layer(self, name: str) -> str:
        """Return the name of a layer of the run. Raises NotFound for any other."""
        if name not in self.run.layers:
            raise NotFound(f"{self.run.name} has no layer {name!r}; it has {', '.join(self.run.layers)}")
        return name

    def units(self, layer: str) -> int:
        """Return the number of units of a layer. Raises NotFound."""
        name = self.layer(layer)
        return next(int(record["units"]) for record in self.run.model["layers"] if record["name"] == name)

    def icon_side(self, layer: str, grid: int) -> int:
        """Return the side of a grid's icons in pixels; 0 where it has none."""
        if not self.run.has("icons", layer, grid):
            return 0
        return int(
            self.keep(("side", layer, grid), lambda: self.rows("icons", layer, grid, "pictures", slice(0, 1)).shape[1])
        )

    def keep(self, key: tuple[Any, ...], compute: Callable[[], T]) -> T:
        """Return the cached value of a key, or compute it: once for concurrent requests, without blocking other keys."""
        with self._lock:
            cached: T | None = self._get(key)
            if cached is not None:
                return cached
            own = self._pending.setdefault(key, threading.RLock())
        with own:
            with self._lock:
                cached = self._get(key)
            try:
                return self._put(self._cached, key, compute()) if cached is None else cached
            finally:
                with self._lock:
                    self._pending.pop(key, None)

    def _get(self, key: tuple[Any, ...]) -> Any:
        if key in self._cached:
            self._cached.move_to_end(key)
        return self._cached.get(key)

    def _put(self, cache: OrderedDict[tuple[Any, ...], Any], key: tuple[Any, ...], value: T) -> T:
        """Cache a value."""
        with self._lock:
            cache[key] = value
            # Shared values grow, and are counted when asked for.
            self._sizes[key] = 0 if isinstance(value, Shared) else sizes.nbytes(value)
        self._grown()
        return value

    def held(self) -> int:
        """Return the bytes cached of the version. Shared values grow as their parts are read."""
        with self._lock:
            cached = [*self._cached.items(), *self._recent.items()]
            own = sum(_shared_bytes(v) if isinstance(v, Shared) else self._sizes.get(k, 0) for k, v in cached)
        return own + self.run.cache.held()

    def evict(self, *, last: bool) -> bool:
        """Drop the least recently used value, the `last` one only if asked; return whether there was one to drop."""
        with self._lock:
            cache = self._recent if len(self._recent) > 1 else self._cached
            if len(cache) > (0 if last else 1):
                cache.popitem(last=False)
                return True
        return self.run.cache.evict()

    def recent(self, key: tuple[Any, ...], compute: Callable[[], T]) -> T:
        """Return a recent value of this key, or compute it."""
        value: T | None = self._recent.get(key)
        if value is None:
            value = self._put(self._recent, key, compute())
            with self._lock:
                while len(self._recent) > RECENT:
                    self._recent.popitem(last=False)
        return value

    def thumbnails(self, layer: str, unit: int, sign: str) -> list[bytes]:
        return self.recent(("thumbnails", layer, unit, sign), lambda: self.run.thumbnails(layer, unit, sign))

    def gradients(self, layer: str, unit: int) -> PatchGradients:
        return self.recent(("gradients", layer, unit), lambda: self.run.gradients(layer, unit))

    def members(self, layer: str, grid: int, row: int, col: int) -> pa.Table:
        return self.recent(("members", layer, grid, row, col), lambda: self.run.members(layer, grid, row, col))

    def shared(self, layer: str) -> Shared:
        """Return, and cache, the arrays that the answers of all units of a layer share."""
        return self.keep(("shared", layer), lambda: Shared(self.run, self.layer(layer)))

    def array(self, stage: str, layer: str, grid: int | None, name: str) -> np.ndarray:
        """Return, and cache, one array of a stage."""
        return self.keep((stage, layer, grid, name), lambda: self.rows(stage, layer, grid, name))

    def rows(self, stage: str, layer: str, grid: int | None, name: str, rows: Any = None) -> np.ndarray:
        """Read one array, or some of its rows, without caching it."""
        from storage.artefacts import arrays, cells

        result = self.result(stage, layer, grid)
        if stage == "cells":
            return cells.array(result, name, rows)
        return arrays.read_array(result.file(f"{stage}.zarr"), name, rows)

    def result(self, stage: str, layer: str, grid: int | None = None) -> Result:
        return self.run.result(stage, self.layer(layer), grid)


def _shared_bytes(shared: Shared) -> int:
    """Return the bytes of the arrays that the units of a layer share and that have been read so far."""
    return sum(sizes.nbytes(part) for name, part in vars(shared).items() if name not in ("run", "layer", "names"))


class OpenRuns:
    """A store's runs by name and version."""

    def __init__(self, store: str, limit: int = CACHED) -> None:
        self.store, self.limit = store, limit
        self._open: OrderedDict[tuple[str, int], OpenVersion] = OrderedDict()
        self._lock = threading.Lock()

    def numbers(self, name: str) -> list[int]:
        """Return the numbers of a run's versions, ascending. Raises NotFound where there is no such run."""
        store = open_store(self.store)
        numbers = store.versions(name) if name in store.names() else []
        if not numbers:
            raise NotFound(f"no run {name!r} here; runs here: {', '.join(store.names()) or 'none yet'}")
        return numbers

    def version(self, name: str, version: str = "current") -> OpenVersion:
        """Return a version by `current`, its number, its tag, or an address of any software. Raises NotFound."""
        numbers = self.numbers(name)
        parsed = VERSION.fullmatch(version)
        if version != "current" and not parsed:
            raise NotFound(f"{version!r} is not a version: write current, or a number as in {numbers[-1]}")
        opened = self._open_version(name, int(parsed[1]) if parsed else numbers[-1])
        if parsed and parsed[2] and opened.tag != f"{parsed[1]}-{parsed[2]}":
            raise NotFound(f"{name}@{version} is no longer in this store; its version {parsed[1]} is {opened.tag}")
        return opened

    def _open_version(self, name: str, number: int) -> OpenVersion:
        store: Store = open_store(self.store)
        version = store.version(name, number)
        with self._lock:
            opened = self._open.get((name, number))
            if opened is None or opened.run.version.sha256 != version.sha256:
                opened = self._open[name, number] = OpenVersion(Run(store, version), self._trim)
            self._open.move_to_end((name, number))
            while len(self._open) > OPEN:
                self._open.popitem(last=False)
            return opened

    def held(self) -> int:
        """Return the bytes cached of all versions together."""
        with self._lock:
            versions = list(self._open.values())
        return sum(version.held() for version in versions)

    def _trim(self) -> None:
        """Drop what was used least recently, of the version opened first, while there is more than the limit."""
        with self._lock:
            versions = list(self._open.values())
        for version in versions:
            while self.held() > self.limit and version.evict(last=version is not versions[-1]):
                pass
