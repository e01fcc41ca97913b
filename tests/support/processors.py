"""Instruction sets that results are recorded for, and how a process is held to one of them.

ATen, MKL, OpenBLAS, numpy, numba and faiss each choose their code by the processor when they are loaded. Each has an
environment variable that names an older processor, so the results of an older one can be made on a newer one. oneDNN also
chooses by the size of caches and has no variable against that, so it is switched off.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

LEVELS = ("avx2", "avx512")

FLAGS = {
    "avx2": {"avx2", "fma", "bmi2", "f16c"},
    "avx512": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma", "bmi2", "f16c"},
}
"""What Linux must say of a processor that has the level."""

COMMON = {
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "NUMBA_CPU_NAME": "haswell",
    "MKL_CBWR": "COMPATIBLE",
}
"""For all levels. MKL has one code that gives the same results on all processors; numba compiles UMAP for one, as it takes
long, and the whole session shares it (tests/conftest.py)."""

VARIABLES = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
        "FAISS_SIMD_LEVEL": "AVX2",
    },
    "avx512": {
        "ATEN_CPU_CAPABILITY": "avx512",
        "OPENBLAS_CORETYPE": "SkylakeX",
        "NPY_DISABLE_CPU_FEATURES": "AVX512_ICL AVX512_SPR",
        "FAISS_SIMD_LEVEL": "AVX512",
    },
}
"""The same code on every processor that has the level."""


def environment(level: str) -> dict[str, str]:
    """Return the environment of a process held to a level; `hold` does the rest in it."""
    return os.environ | COMMON | VARIABLES[level]


def hold() -> None:
    """Switch oneDNN off in this process."""
    torch.backends.mkldnn.set_flags(False)


def here() -> tuple[str, set[str]]:
    """Return the maker of this machine's processor and the flags of its instructions; nothing where Linux doesn't say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown", set()
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return facts.get("vendor_id", "unknown"), set(facts.get("flags", "").split())
