"""Factor a layer's activations on one image into groups: a sum of few patterns, each a map times a unit direction.

Non-negative matrix factorisation of the positions × units matrix (Olah et al., Building Blocks, 2018). It needs
non-negative values; if a layer has negative ones, its positive and negative parts are factored side by side and each
direction is the difference of the two, so that a group may contain units that are negative together (one-sided
factorisation).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float

STEPS = 400
"""Steps of coordinate descent; further ones change only the third digit of the reconstruction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Maps `k h w` (not negative) and directions `k c` of length 1; group k is their outer product, largest first.

    `share` is the share of the activation's sum of squares that is lost if the group is left out of the reconstruction,
    `k`; `explained` the share that all groups explain; `signed` whether the layer had negative values.
    """

    maps: Float
    directions: Float
    share: Float
    explained: float
    signed: bool

    def patterns(self) -> Float:
        """Return each group's part of the activation, `k c h w`."""
        return np.asarray(self.directions[:, :, None, None] * self.maps[:, None], dtype=np.float32)


def groups(activation: Float, count: int, *, seed: int = 0) -> Groups:
    """Factor one image's activation `c h w` into `count` groups; fewer where its matrix is smaller.

    Raises ValueError for less than one group, and for values that are not finite.
    """
    if count < 1:
        raise ValueError(f"an activation is factored into at least 1 group, not {count}")
    units, height, width = activation.shape
    rows = np.asarray(activation, dtype=np.float64).reshape(units, -1).T
    if not np.isfinite(rows).all():
        raise ValueError("the activation has values that are not finite, and can't be factored")
    signed = bool((rows < 0).any())
    split = np.concatenate([rows.clip(0), (-rows).clip(0)], axis=1) if signed else rows
    maps, parts = _factor(split, min(count, *split.shape), seed)
    directions = parts[:, :units] - parts[:, units:] if signed else parts
    length = np.linalg.norm(directions, axis=1)
    maps, directions = maps * length, directions / np.maximum(length, 1e-12)[:, None]
    return _ordered(rows, maps, directions, (height, width), signed)


def _factor(rows: NDArray[np.float64], count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return maps `p k` and parts `k c`."""
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    model = NMF(n_components=count, init="nndsvda", random_state=seed & ((1 << 32) - 1), max_iter=STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        maps = model.fit_transform(rows)
    return maps, model.components_


def _ordered(
    rows: NDArray[np.float64],
    maps: NDArray[np.float64],
    directions: NDArray[np.float64],
    grid: tuple[int, int],
    signed: bool,
) -> Groups:
    """Order the groups by the loss without them."""
    square = max(float((rows**2).sum()), 1e-300)
    residual = rows - maps @ directions
    losses = [((residual + np.outer(maps[:, k], directions[k])) ** 2).sum() for k in range(len(directions))]
    share = (np.array(losses) - (residual**2).sum()) / square
    order = np.argsort(-share, kind="stable")
    return Groups(
        maps=maps.T[order].reshape(-1, *grid).astype(np.float32),
        directions=directions[order].astype(np.float32),
        share=share[order].astype(np.float32),
        explained=1 - float((residual**2).sum()) / square,
        signed=signed,
    )


def group_attribution(factors: Groups, by_activation: Float) -> Float:
    """Return the contribution of each group to a score at each position, `k h w`, from ∂score/∂h `c h w`.

    Together with the unexplained residual times the same gradient, it sums to the whole attribution.
    """
    return np.asarray(factors.maps * np.einsum("kc,chw->khw", factors.directions, by_activation), dtype=np.float32)
