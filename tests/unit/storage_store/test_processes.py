"""Ctrl-C on a terminal is for all its processes; those that only serve another one get none, from their first import on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import multiprocessing, signal, sys

def tell(pipe):
    pipe.send(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))

if __name__ == "__main__":
    from storage import processes
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=tell, args=[theirs])
    processes.start_apart(process) if sys.argv[1] == "apart" else process.start()
    print(ours.recv(), signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))
    process.join()
"""


def told(how: str, folder: Path) -> str:
    """Return whether the first spawned process of another one, and then that one itself, take no Ctrl-C."""
    (folder / "starts.py").write_text(SCRIPT)
    environment = {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, folder / "starts.py", how], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_process_apart_gets_no_interrupt(tmp_path: Path) -> None:
    assert told("apart", tmp_path) == "True False"


def test_mutant_a_process_as_python_starts_it_gets_one(tmp_path: Path) -> None:
    assert told("plainly", tmp_path) == "False False"
