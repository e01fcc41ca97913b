"""Freed memory stays with the process: large blocks are not mapped, cleared and faulted in again and again."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from flows import allocator

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")

LOOP = """
import ctypes, resource, sys
from flows import allocator
kept = allocator.keep_freed_memory() if sys.argv[1] == "kept" else False
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
size = 64 << 20
def touch():
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    touch()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str, **variables: str) -> tuple[bool, int]:
    """Allocate 64 MiB four times in a fresh process; return what it said and the page faults it took."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_"))}
    answer = subprocess.run(
        [sys.executable, "-c", LOOP, mode], env=plain | variables, capture_output=True, text=True, check=True
    ).stdout.split()
    return answer[0] == "True", int(answer[1])


def test_blocks_are_used_again() -> None:
    kept, count = faults("kept")
    assert kept
    assert count < 1_000  # 4 × 16,384 pages of 4 KiB without


def test_mutant_without_it_each_block_is_new() -> None:
    kept, count = faults("plain")
    assert not kept
    assert count > 1_000


@pytest.mark.parametrize(
    ("name", "value"), [("MALLOC_TRIM_THRESHOLD_", "1048576"), ("GLIBC_TUNABLES", "glibc.malloc.arena_max=2")]
)
def test_the_user_s_own_settings_stand(name: str, value: str) -> None:
    assert not faults("kept", **{name: value})[0]


@pytest.mark.parametrize("other", ["/usr/lib/libjemalloc.so.2", "/opt/libtcmalloc_minimal.so.4"])
def test_another_allocator_is_left_alone(other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pathlib.Path.read_text", lambda *args, **kwargs: f"7f0000000000-7f0000001000 r-xp {other}\n")
    assert not allocator.keep_freed_memory()
