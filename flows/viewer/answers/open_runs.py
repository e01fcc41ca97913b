"""The runs that the viewer has open: each version once, with what its views share kept at hand."""

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
"""Answers kept whatever they are, since the next pictures asked for are of the same unit or cell."""

OPEN, KEPT = 8, 256 << 20
"""Versions kept open, and bytes of arrays kept of each."""


class OpenVersion:
    """One version of a run, and the arrays that several of its views read."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._recent: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._making: dict[tuple[Any, ...], Any] = {}
        self._lock = threading.RLock()

    @property
    def tag(self) -> str:
        """The version as addresses name it: its number and the start of its hash, so that it never means another."""
        return f"{self.run.number}-{self.run.version.sha256[:8]}"

    @property
    def address(self) -> str:
        """The same with the software that answers: what is asked for by it lasts for ever."""
        return f"{self.tag}-{build_id.digest()}"

    @functools.cached_property
    def layers(self) -> list[str]:
        """The run's layers from shallow to deep: the order in which the model finishes them."""
        depth = [layer["name"] for layer in self.run.model["layers"]] if self.run.has("model") else []
        return [name for name in depth if name in self.run.layers] or self.run.layers

    def layer(self, name: str) -> str:
        """Return a layer of the run. Raises NotFound."""
        if name not in self.run.layers:
            raise NotFound(f"{self.run.name} has no layer {name!r}; it has {', '.join(self.run.layers)}")
        return name

    def units(self, layer: str) -> int:
        return next(int(known["units"]) for known in self.run.model["layers"] if known["name"] == self.layer(layer))

    def icon_side(self, layer: str, grid: int) -> int:
        """Return the side of a grid's icons in pixels; 0 where it has none."""
        if not self.run.has("icons", layer, grid):
            return 0
        return int(
            self.keep(("side", layer, grid), lambda: self.rows("icons", layer, grid, "pictures", slice(0, 1)).shape[1])
        )

    def keep(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """Return what was made under this key before, or make it: nothing is made twice, and nobody waits for another key."""
        with self._lock:
            found: T | None = self._found(key)
            if found is not None:
                return found
            mine = self._making.setdefault(key, threading.RLock())
        with mine:
            with self._lock:
                found = self._found(key)
            try:
                return self._put(key, make()) if found is None else found
            finally:
                with self._lock:
                    self._making.pop(key, None)

    def _found(self, key: tuple[Any, ...]) -> Any:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def _put(self, key: tuple[Any, ...], value: T) -> T:
        """Keep a value, and let go of what was not asked for for longest."""
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > 1 and sum(map(_weight, self._kept.values())) > KEPT:
                self._kept.popitem(last=False)
        return value

    def recent(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """Return what was made under this key a moment ago, or make it."""
        found: T | None = self._recent.get(key)
        if found is None:
            found = make()
            with self._lock:
                self._recent[key] = found
                while len(self._recent) > RECENT:
                    self._recent.popitem(last=False)
        return found

    def thumbnails(self, layer: str, unit: int, sign: str) -> list[bytes]:
        return self.recent(("thumbnails", layer, unit, sign), lambda: self.run.thumbnails(layer, unit, sign))

    def gradients(self, layer: str, unit: int) -> PatchGradients:
        return self.recent(("gradients", layer, unit), lambda: self.run.gradients(layer, unit))

    def members(self, layer: str, grid: int, row: int, col: int) -> pa.Table:
        return self.recent(("members", layer, grid, row, col), lambda: self.run.members(layer, grid, row, col))

    def shared(self, layer: str) -> Shared:
        """Return what all units of a layer are told by, and keep it for the next of them."""
        return self.keep(("shared", layer), lambda: Shared(self.run, self.layer(layer)))

    def array(self, stage: str, layer: str, grid: int | None, name: str) -> np.ndarray:
        """Return one array of a stage's Zarr group, and keep it."""
        return self.keep((stage, layer, grid, name), lambda: self.rows(stage, layer, grid, name))

    def rows(self, stage: str, layer: str, grid: int | None, name: str, rows: Any = None) -> np.ndarray:
        """Read one array, or some rows of it, without keeping them."""
        from storage.artefacts import arrays

        return arrays.read_array(self.result(stage, layer, grid).file(f"{stage}.zarr"), name, rows)

    def result(self, stage: str, layer: str, grid: int | None = None) -> Result:
        return self.run.result(stage, self.layer(layer), grid)


def _weight(kept: Any) -> int:
    """Return the bytes that something holds, as far as it can be seen from outside."""
    if isinstance(kept, np.ndarray):
        return kept.nbytes
    if isinstance(kept, bytes):
        return len(kept)
    if isinstance(kept, Shared):
        held = vars(kept)
        means, samples = held.get("image_means"), held.get("samples")
        return (means.nbytes if means is not None else 0) + (samples.activations.nbytes if samples is not None else 0)
    return 0


class OpenRuns:
    """A store's runs by name and version."""

    def __init__(self, store: str) -> None:
        self.store = store
        self._open: OrderedDict[tuple[str, int], OpenVersion] = OrderedDict()
        self._lock = threading.Lock()

    def numbers(self, name: str) -> list[int]:
        """Return the versions of a run, rising. Raises NotFound where there is no such run."""
        store = open_store(self.store)
        found = store.versions(name) if name in store.names() else []
        if not found:
            raise NotFound(f"no run {name!r} here; runs here: {', '.join(store.names()) or 'none yet'}")
        return found

    def version(self, name: str, version: str = "current") -> OpenVersion:
        """Return a version by `current`, its number, or number and hash, and whatever software after it. Raises NotFound."""
        numbers = self.numbers(name)
        parsed = VERSION.fullmatch(version)
        if version != "current" and not parsed:
            raise NotFound(f"{version!r} is no version: write current, or a number as in {numbers[-1]}")
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
