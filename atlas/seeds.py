"""Derive seeds from names, so that a picture's random numbers depend on its name and not on the other pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from atlas.arrays import Int


def seeds(seed: int, names: Sequence[str]) -> Int:
    """Return a number for each name, which depends only on the name and the seed."""
    digests = [hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest() for name in names]
    return np.array([int.from_bytes(digest, "big") >> 1 for digest in digests], dtype=np.int64)
