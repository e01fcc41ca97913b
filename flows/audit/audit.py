"""Audit a class: rank the units and cells that the model uses for it, and test each against what its images share.

Pictures and cells come from the run's source and tables; the model is loaded for units alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from atlas.auditing.split_tests import LEVEL, TIMES, SplitTests, split_tests
from flows.audit import candidates, cells, images, parts
from flows.audit.answers import STRONGER, Audit, Candidate, Part
from flows.audit.candidates import Used
from flows.audit.images import Chosen, Pictures
from flows.audit.parts import ImagePart
from storage.models import preprocessing
from storage.run import Run

if TYPE_CHECKING:
    from flows.audit.units import UnitAudit

IMAGES, SHOWN = 200, 16
"""Images with the class and without it, at most, and candidates listed that are no suspects, by default."""

Double = NDArray[np.float64]


def audit(
    run: Run,
    wanted: str,
    *,
    layer: str | None = None,
    grid: int | None = None,
    label: str | None = None,
    count: int = IMAGES,
    k: int = SHOWN,
    units: bool = True,
    ablate: bool = True,
) -> Audit:
    """Audit a class, given by name or index, at a layer, by default the run's last.

    `label` is the label of its images, by default the class's name; up to `count` of them are used, and as many without
    it. With `units=False` only the cells of a grid are audited, without the model. `ablate` measures what the first
    suspects do.

    Raises NotFound for a class, label, layer or grid that is not there, UsageError for too few images, Incomplete where
    the run has no attribution and no units are to be audited, ModelError where the model has changed since the run.
    """
    layer = run.layers[-1] if layer is None else layer
    run.sample_results(layer)
    size = cells.grid_of(run, layer, grid)
    if not units:
        cells.check_any(run, layer, size)
    chosen = images.choose(run, wanted, label, count)
    of_units, own = _read(run, layer, chosen, units)
    by_cell = None if size is None else cells.of_class(run, layer, size, str(chosen.index), own.ids, chosen.others)
    used = [
        *([candidates.of_units(layer, of_units.own.value, of_units.own.added, of_units.others)] if of_units else []),
        *([candidates.of_cells(layer, by_cell)] if by_cell else []),
    ]
    every = parts.parts_of(own)
    seed = int(run.version.about["config"].get("seed", 0)) & (2**63 - 1)
    tests, rows = rank_and_test(used, every, seed)
    suspects = candidates.suspects(rows)
    if of_units:
        of_units.complete(suspects, every, ablate)
    return {
        "run": run.name,
        "version": run.number,
        "layer": layer,
        "grid": size,
        "class": chosen.index,
        "name": chosen.name,
        "label": chosen.label,
        "images": len(own.rows),
        "unreadable": own.unreadable,
        "nonfinite": own.nonfinite,
        "near_duplicates": own.near_duplicates,
        "others": max((len(one.others) for one in used), default=0),
        "units": sum(place.unit is not None for one in used for place in one.places),
        "cells": sum(place.unit is None for one in used for place in one.places),
        "level": LEVEL,
        "permutations": TIMES,
        "bound": tests.bound if every and rows else None,
        "stronger": STRONGER,
        "least": parts.least_of(len(own.rows)),
        "parts": [_part(part) for part in every],
        "suspects": suspects,
        "candidates": [row for row in rows if not row["suspect"]][:k],
    }


def _read(run: Run, layer: str, chosen: Chosen, units: bool) -> tuple[UnitAudit | None, Pictures]:
    """Read the images of the class, and what units do on them where these are to be audited."""
    if not units:
        preprocess = preprocessing.from_fingerprint(run.model["preprocessing"])
        own = images.distinct(images.read(run, chosen.own, preprocess))
        images.check_enough(run, chosen, own)
        return None, own
    from flows.audit import units as unit_audit

    of_units = unit_audit.of_class(run, layer, chosen)
    return of_units, of_units.pictures


def rank_and_test(used: list[Used], every: list[ImagePart], seed: int) -> tuple[SplitTests, list[Candidate]]:
    """Test all candidates against all parts, and with the class against without; return them in the order of their use."""
    own = np.concatenate([one.own for one in used], axis=1)
    members = np.stack([part.members for part in every], axis=1) if every else np.zeros((len(own), 0), np.bool_)
    tests = split_tests(own, members, seed=seed)
    without = [candidates.without(one, seed) for one in used]
    rows = candidates.rows(used, tests, without, every)
    return tests, rows


def _part(part: ImagePart) -> Part:
    return {"kind": part.kind, "name": part.name, "images": int(part.members.sum()), "box": part.box}
