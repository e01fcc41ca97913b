"""What moved from one version to the next: a layer, and each of its grids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atlas.comparing.drift import Double
from atlas.comparing.motion import CellChanges, Shifts
from flows.comparing.pairs import Pair
from flows.comparing.unit_changes import UnitChanges


@dataclass(frozen=True, slots=True, kw_only=True)
class GridChange:
    """What became of a grid's cells; `noise` is what another seed of the layout alone makes of them."""

    changes: CellChanges
    changed: np.ndarray
    noise: CellChanges | None
    noise_changed: np.ndarray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What moved in a layer from one run to the next. `noise` is the displacement that another seed alone makes, `n`."""

    layer: str
    pair: Pair
    units: UnitChanges
    moved: Double
    noise: Double | None
    shifts: Shifts
    grids: dict[int, GridChange]
    same_samples: bool
    same_layout: bool
