"""Hold what moved from one version to the next: a layer, and each of its grids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atlas.comparing.drift import Double
from atlas.comparing.motion import CellChanges, Shifts
from flows.comparing.pairs import Pair
from flows.comparing.unit_changes import UnitChanges


@dataclass(frozen=True, slots=True, kw_only=True)
class GridChange:
    """The changes of the cells of a grid; `noise` holds the changes that another seed of the layout alone causes."""

    changes: CellChanges
    changed: np.ndarray
    noise: CellChanges | None
    noise_changed: np.ndarray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The changes of a layer from one run to the next. `noise` is the displacement that another seed alone causes, `n`."""

    layer: str
    pair: Pair
    units: UnitChanges
    moved: Double
    noise: Double | None
    shifts: Shifts
    grids: dict[int, GridChange]
    same_samples: bool
    same_layout: bool
