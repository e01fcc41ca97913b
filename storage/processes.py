"""Processes that this one starts for itself, and that end with it."""

from __future__ import annotations

import signal
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess


def start_apart(process: BaseProcess) -> None:
    """Start a process that Ctrl-C is not for, not even while it still imports: it would print a traceback."""
    resource_tracker.ensure_running()  # its start, with the first process, would lift the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which the new process has, too
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
