"""Count and limit the processor cores of this process, and prepare it for computing."""

from __future__ import annotations

import os

from flows import allocator

_share: int | None = None


def cores() -> int:
    """Return the number of cores to use: this process's share, or else all that it may run on."""
    return _share or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def share(count: int) -> None:
    """Limit torch, decoding and cropping to `count` cores from now on."""
    global _share
    _share = max(1, count)
    allocator.keep_freed_memory()


def share_cores() -> None:
    """Let torch use all cores, or OMP_NUM_THREADS of them; its idle threads sleep, so decoding gets the cores between passes."""
    import torch

    allocator.keep_freed_memory()
    limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    torch.set_num_threads(int(limit) if limit.isdigit() and int(limit) else cores())
