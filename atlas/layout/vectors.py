"""Read sampled activations by chunks, made comparable: finite, scaled, with a bounded number of dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float, Int

CHUNK = 16_384
"""Vectors read at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vectors:
    """The rows of `activations`, `n c`, as unit vectors (zero stays zero) or divided by the largest magnitude.

    Euclidean distances between unit vectors order pairs as the cosine does. If `directions`, `d c`, are given, a vector
    is replaced by its coordinates along them.
    """

    activations: Float
    cosine: bool
    largest: float
    mean: NDArray[np.float64] | None = None
    directions: NDArray[np.float64] | None = None

    @property
    def n(self) -> int:
        """Number of vectors."""
        return len(self.activations)

    def take(self, rows: Int) -> Float:
        """Return the prepared vectors of these rows."""
        return self._prepare(self.activations[rows])

    def chunks(self) -> Iterator[Float]:
        """Yield all prepared vectors in order, a chunk at a time."""
        for first in range(0, self.n, CHUNK):
            yield self._prepare(self.activations[first : first + CHUNK])

    def along(self, mean: NDArray[np.float64], directions: NDArray[np.float64]) -> Vectors:
        """Return the same vectors, centred and projected on `directions`, `d c`."""
        return replace(self, mean=mean, directions=directions)

    def _prepare(self, values: Float) -> Float:
        wide = np.asarray(values, dtype=np.float64)
        lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True)) if self.cosine else np.array(self.largest)
        wide = np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)
        if self.directions is not None:
            wide = (wide - self.mean) @ self.directions.T
        prepared: Float = (wide + 0.0).astype(np.float32)  # + 0.0: −0 and 0 must be the same bytes
        return prepared


def vectors(activations: Float, *, cosine: bool) -> Vectors:
    """Check `activations`, `n c`, by chunks and wrap them.

    Raises ValueError naming the first row that is not finite.
    """
    largest = 0.0
    for first in range(0, len(activations), CHUNK):
        chunk = np.asarray(activations[first : first + CHUNK])
        bad = np.flatnonzero(~np.isfinite(chunk).all(axis=1))
        if len(bad):
            raise ValueError(
                f"sample {first + bad[0]} of {len(activations)} has NaN or infinite activations; leave such samples out"
            )
        largest = max(largest, float(np.abs(chunk).max(initial=0)))
    return Vectors(activations=activations, cosine=cosine, largest=largest)
