"""Keep freed memory in this process, where the C library is glibc.

glibc maps a fresh block for every request above 32 MiB and unmaps it when it is freed, so the kernel clears every page of
every large activation, batch after batch: half of the time of a pass on a CPU. A process that keeps such blocks peaks
higher, by what lies unused between them (docs/measured.md).
"""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""The parameters of `mallopt`, by their numbers in glibc's malloc.h."""
LARGEST = (1 << 31) - 1

OTHERS = ("jemalloc", "tcmalloc", "mimalloc", "hoard", "snmalloc")
"""Allocators that are preloaded in place of glibc's."""


def keep_freed_memory() -> bool:
    """Keep freed memory from now on; return whether that was possible.

    Does nothing on other C libraries, under another allocator, and where the user has set glibc's own variables.
    """
    if platform.libc_ver()[0] != "glibc" or _is_tuned() or _is_replaced():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(MMAP_MAX, 0)) and bool(mallopt(TRIM_THRESHOLD, LARGEST))


def _is_tuned() -> bool:
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    return "glibc.malloc." in tunables or any(name.startswith("MALLOC_") for name in os.environ)


def _is_replaced() -> bool:
    try:
        mapped = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        mapped = os.environ.get("LD_PRELOAD", "")
    return any(other in mapped for other in OTHERS)
