"""The same layout in another process with other thread settings: the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np

from atlas.layout.layout import layout

CODE = """
import hashlib, sys
sys.path.insert(0, {folder!r})
from test_layout_reproducible import digest
print(digest())
"""


def digest() -> str:
    """Lay out 300 vectors among 120 anchors by each method and hash all bytes."""
    rng = np.random.default_rng(0)
    vectors = (5 * np.eye(8)[rng.integers(0, 8, 300)] + rng.normal(size=(300, 8))).astype(np.float32)
    made = [layout(vectors, method=method, anchors=120, seed=3) for method in ("umap", "pca", "tsne")]
    return hashlib.sha256(b"".join(m.points.tobytes() + repr(m.trustworthiness).encode() for m in made)).hexdigest()


def test_another_process_with_other_threads_makes_the_same_bytes() -> None:
    code = CODE.format(folder=os.path.dirname(__file__))
    other = dict(os.environ, OMP_NUM_THREADS="2", NUMBA_NUM_THREADS="2", OPENBLAS_NUM_THREADS="2", PYTHONHASHSEED="7")
    done = subprocess.run([sys.executable, "-c", code], env=other, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [digest()]
