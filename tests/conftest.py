"""Speed for this process and those it starts: memory, the disk, who runs which files. No test depends on it."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

# glibc returns every block above 32 MiB to the system when it is freed, and the next batch faults in all its pages anew.
MALLOC = {"MALLOC_MMAP_MAX_": (-4, 0), "MALLOC_TRIM_THRESHOLD_": (-1, 2**31 - 1)}
"""The variables that end it in processes started from here, with the option and value of `mallopt` for this one."""

for _variable, (_option, _value) in MALLOC.items():
    os.environ.setdefault(_variable, str(_value))
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_option, _value)

# UMAP is compiled once, for a processor that the records of `support.processors` are made for, too.
with suppress(OSError):
    if " avx2 " in Path("/proc/cpuinfo").read_text():
        os.environ.setdefault("NUMBA_CPU_NAME", "haswell")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage while modules are imported, nor among them afterwards: all of it lives as long as the process."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
        atexit.register(gc.unfreeze)  # libraries look for leaks when the process ends


@pytest.fixture(scope="session", autouse=True)
def _no_sync() -> Iterator[None]:
    """Skip `fsync` in this process: tests of faults see the call by the store's hook, and no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def memory() -> Iterator[Path]:
    """Return a folder on a disk in memory, where there is one: for many small stores, or processes that sync."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        yield Path(folder)


TOGETHER = {
    "test_prefect.py": "a Prefect server",
    "test_prefect_dask.py": "a Prefect server",
    "test_dask.py": "a Prefect server",  # and what Dask's workers are forked from
    "test_frames.py": "UMAP compiled",
    "test_golden.py": "UMAP compiled",
    "test_layout.py": "UMAP compiled",
    "test_layout_reproducible.py": "UMAP compiled",
    "test_selections.py": "UMAP compiled",
}
"""Files that one process runs, because they share what takes ten seconds to come by."""

PAGES = ("access", "gradients", "image", "keys", "page", "places", "shapes", "standing", "states", "walks")
"""Half of the tests of the viewer: two processes have a browser, and a process to fork those with a model from."""


def group(file: str) -> str:
    """Return what the files are called that one process runs."""
    if file.startswith("test_viewer_"):
        return f"a browser {file.removeprefix('test_viewer_').removesuffix('.py') in PAGES}"
    return TOGETHER.get(file, file)


class Scheduling(LoadFileScheduling):
    """A file at a time for each process, or those together that share something."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return group(Path(file).name)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None
