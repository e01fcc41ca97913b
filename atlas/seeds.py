"""Seeds from names: what is drawn of a thing depends on what it is called, not on what is drawn beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from atlas.arrays import Int


def seeds(seed: int, names: Sequence[str]) -> Int:
    """Return a number for each name, which depends on nothing else but the seed."""
    digests = [hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest() for name in names]
    return np.array([int.from_bytes(digest, "big") >> 1 for digest in digests], dtype=np.int64)
