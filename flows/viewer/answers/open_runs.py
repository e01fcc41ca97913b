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
from flows.viewer.answers import build_id
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
"""Versions kept open, and bytes cached of each."""


class OpenVersion:
    """One version of a run, with a cache of the arrays that several views read."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._cached: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._recent: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
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
                return self._put(key, compute()) if cached is None else cached
            finally:
                with self._lock:
                    self._pending.pop(key, None)

    def _get(self, key: tuple[Any, ...]) -> Any:
        if key in self._cached:
            self._cached.move_to_end(key)
        return self._cached.get(key)

    def _put(self, key: tuple[Any, ...], value: T) -> T:
        """Cache a value, and evict the least recently used ones beyond the limit."""
        with self._lock:
            self._cached[key] = value
            while len(self._cached) > 1 and sum(map(_size_of, self._cached.values())) > CACHED:
                self._cached.popitem(last=False)
        return value

    def recent(self, key: tuple[Any, ...], compute: Callable[[], T]) -> T:
        """Return a recent value of this key, or compute it."""
        value: T | None = self._recent.get(key)
        if value is None:
            value = compute()
            with self._lock:
                self._recent[key] = value
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


def _size_of(value: Any) -> int:
    """Return the bytes that a cached value holds, 0 for small ones."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, Shared):
        attributes = vars(value)
        means, samples = attributes.get("image_means"), attributes.get("samples")
        return (means.nbytes if means is not None else 0) + (samples.activations.nbytes if samples is not None else 0)
    return 0


class OpenRuns:
    """A store's runs by name and version."""

    def __init__(self, store: str) -> None:
        self.store = store
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
                opened = self._open[name, number] = OpenVersion(Run(store, version))
            self._open.move_to_end((name, number))
            while len(self._open) > OPEN:
                self._open.popitem(last=False)
            return opened
