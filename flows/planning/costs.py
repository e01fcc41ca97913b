"""Costs: what the probe of a dry run measured, and the laws that scale it to a whole run.

A stage that has a law of its own has it in its module; those that several share are here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

THERE_AND_BACK = 3.0
"""Passes of collect that a pass in forward mode takes, or one forward and backward."""

GROWING = ("samples.zarr", "images.parquet", "layout.zarr")
"""Files whose size goes with the number of images; of the others, the first 64 images make as many bytes as a million."""

FILLED, CROWDED = 0.8, 10.0
"""Share of a grid's cells that many samples fill, and the samples per cell at which half of that is filled: on 10,000
photographs, four layers, 0.75 of 10 × 10, 0.55 of 20 × 20, and 0.4 of 40 × 40."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one result of the probe took: seconds, bytes by its top-level files, and its counts."""

    seconds: float
    bytes: dict[str, int]
    counts: dict[str, int]


NOTHING = Cost(seconds=0.0, bytes={}, counts={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Costs by stage and layer; seconds per image to decode, and to pass through the model while others are decoded.

    `memory` is the largest that the process has had, in bytes; `seconds` what the probe itself took.
    """

    images: int
    costs: dict[tuple[str, str | None], Cost]
    decode: float
    collect: float
    memory: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much a result is made from: images (of its shard, or of the run), samples, layers, units, cells, classes, pixels.

    `together` counts the results of a shard that one pass makes.
    """

    images: int
    together: int
    samples: int
    layers: int
    units: int
    cells: float
    classes: int
    input: tuple[int, int]
    method: str
    per_cell: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Seconds and bytes of one result."""

    seconds: float = 0.0
    bytes: float = 0.0


Law = Callable[[Cost, Size, Probe], Estimate]


def nothing(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """Nothing worth naming."""
    return Estimate()


def as_probed(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """What the probe took: it does not depend on the number of images."""
    return Estimate(seconds=probed.seconds, bytes=sum(probed.bytes.values()))


def share_of_a_pass(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """A shard's share of a pass over the images."""
    seconds = probe.collect * size.images / max(1, size.together)
    return Estimate(seconds=seconds, bytes=grown(probed, size.images / probe.images))


def scaled(probed: Cost, wanted: float, counted: int) -> Estimate:
    """What the probe took for `counted` things, for as many as are wanted."""
    times = wanted / max(1, counted)
    return Estimate(seconds=times * probed.seconds, bytes=times * sum(probed.bytes.values()))


def grown(probed: Cost, times: float) -> float:
    """Return the bytes of a result whose growing files are so many times larger."""
    return sum(count * (times if name in GROWING else 1) for name, count in probed.bytes.items())


def filled(samples: int, grid: int) -> float:
    """Estimate how many cells of a grid so many samples fill."""
    each = samples / grid**2
    return max(1.0, grid**2 * FILLED * each / (each + CROWDED))
