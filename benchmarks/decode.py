"""How long an image's work holds the interpreter's lock, so that the thread of the model waits: by a thread that counts beside it.

    python benchmarks/decode.py IMAGES [--count 64] [--seconds 4] [--fault python]

One thread decodes and prepares images, another counts. It counts less where the first holds the lock; how much less is
measured against the same beside a thread that hashes without the lock, in turns of a tenth of a second, so that other
processes weigh on both; two cores have to be free. Printed for the whole of an image's work and for each part:
microseconds of processor time an image, and how many of them hold the lock. `--fault python` adds a checksum in Python to
each image, which holds the lock all along.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from storage.images import decode, formats, jpeg, loader
from storage.models.preprocessing import Preprocess

TURN = 0.1
LOCK_FREE = bytes(1 << 24)
Work = Callable[[bytes], object]


class Counter:
    """Counts in a thread of its own until it is stopped."""

    def __init__(self) -> None:
        self.count, self._stopped = 0, False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped:
            self.count += 1

    def stop(self) -> None:
        self._stopped = True
        self._thread.join()


@dataclass
class Turn:
    """Counts a second, and seconds an image: of the working thread's processor time, and by the clock."""

    counts: float
    cpu: float
    clock: float


def beside(work: Work, images: list[bytes], counter: Counter) -> Turn:
    """Work for a turn beside the counting thread."""
    first, started, cpu, done = counter.count, time.perf_counter(), time.thread_time(), 0
    while time.perf_counter() - started < TURN:
        work(images[done % len(images)])
        done += 1
    clock = time.perf_counter() - started
    return Turn((counter.count - first) / clock, (time.thread_time() - cpu) / done, clock / done)


def held(work: Work, images: list[bytes], seconds: float) -> tuple[float, float]:
    """Return the microseconds of processor time an image, and those in which the lock is held: medians over turns."""
    counter, times, locked = Counter(), [], []
    try:
        for _ in range(max(3, round(seconds / TURN / 2))):
            free, turn = beside(hash_only, images, counter), beside(work, images, counter)
            times.append(1e6 * turn.cpu)
            locked.append(1e6 * turn.clock * (1 - turn.counts / free.counts))
    finally:
        counter.stop()
    return statistics.median(times), statistics.median(locked)


def parts(preprocess: Preprocess, images: list[bytes]) -> dict[str, Work]:
    """Return an image's work, as the loader does it, and its parts; what they begin with is made beforehand."""
    whole = {id(data): decode.decode(data) for data in images}
    cropped = {id(data): preprocess._cropped(whole[id(data)]) for data in images}
    return {
        "all": lambda data: loader._decode_one(0, data, preprocess),
        "hash": lambda data: hashlib.sha256(data).hexdigest(),
        "kind and header": lambda data: (formats.check_whole(formats.sniff(data), data), jpeg.header(data)),
        "decode": decode._decode_by_turbo,
        "resize and crop": lambda data: preprocess._cropped(whole[id(data)]),
        "copy to an array": lambda data: np.asarray(cropped[id(data)]),
    }


def check_cores(images: list[bytes]) -> None:
    """Exit where other processes leave less than two cores: the threads would take turns without any lock."""
    counter = Counter()
    try:
        pairs = [[beside(work, images, counter).counts for work in (sleep, hash_only)] for _ in range(10)]
    finally:
        counter.stop()
    if (ratio := statistics.median(beside / alone for alone, beside in pairs)) < 0.85:
        raise SystemExit(
            f"two free cores are needed: a thread beside one without the lock counts {ratio:.2f} times as fast"
        )


def sleep(data: bytes) -> None:
    time.sleep(TURN)


def hash_only(data: bytes) -> bytes:
    return hashlib.sha256(LOCK_FREE).digest()


def slowly(data: bytes) -> int:
    return sum(data[:20_000])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--fault", choices=["python"])
    args = parser.parse_args()
    files = sorted(path for path in args.images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))[: args.count]
    images = [path.read_bytes() for path in files]
    sys.setswitchinterval(1e-5)  # the decoding thread gets the lock as soon as it asks, and no count stands for waiting
    check_cores(images)
    works = parts(Preprocess(), images)
    if args.fault:
        whole = works["all"]
        works["all"] = lambda data: (slowly(data), whole(data))
    for name, work in works.items():
        micro, locked = held(work, images, args.seconds)
        print(
            f"{name}: {micro:,.0f} µs an image, {locked:,.0f} with the lock ({100 * locked / micro:.1f} %)", flush=True
        )


if __name__ == "__main__":
    main()
