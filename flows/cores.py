"""How many processor cores this process may use."""

from __future__ import annotations

import os

_share: int | None = None


def cores() -> int:
    """Return the cores that this process may use: its share, or else all that it is allowed to run on."""
    return _share or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def share(count: int) -> None:
    """Leave the other cores to other processes: torch, decoding and cutting out keep to `count` from now on."""
    global _share
    _share = max(1, count)


def share_cores() -> None:
    """Let torch use all cores but no more; decoding threads wait for it, since idle OpenMP threads sleep."""
    import torch

    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    torch.set_num_threads(int(asked) if asked.isdigit() and int(asked) else cores())
