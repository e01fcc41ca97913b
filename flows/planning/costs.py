"""Costs: the measurements of a dry run's probe, and the laws that scale them to a whole run.

A stage's own law is in its module; laws that several stages share are here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

THERE_AND_BACK = 3.0
"""Passes of collect that a pass in forward mode takes, or a pass forward and backward."""

GROWING = ("samples.zarr", "positions.parquet", "peaks.zarr", "images.parquet", "layout.zarr")
"""Files that grow with the number of images; the others are as large for 64 images as for a million."""

FILLED, CROWDED = 0.8, 10.0
"""Share of a grid's cells that many samples fill, and the samples per cell that fill half of that: on 10,000
photographs, four layers, 0.75 of 10 × 10, 0.55 of 20 × 20, and 0.4 of 40 × 40."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of one result of the probe: seconds, bytes by top-level file, and its counts."""

    seconds: float
    bytes: dict[str, int]
    counts: dict[str, int]


NOTHING = Cost(seconds=0.0, bytes={}, counts={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Costs by stage and layer; seconds per image to decode, and to pass through the model while others are decoded.

    `memory` is the peak memory of the process in bytes, `seconds` the time of the probe itself.
    """

    images: int
    costs: dict[tuple[str, str | None], Cost]
    decode: float
    collect: float
    memory: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The size of a result's inputs: images (of its shard, or of the run), samples, layers, units, cells, classes, pixels.

    `together` counts the results of a shard that one pass computes.
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
    """Take no time worth naming."""
    return Estimate()


def as_probed(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """Take the cost in the probe, whatever the number of images."""
    return Estimate(seconds=probed.seconds, bytes=sum(probed.bytes.values()))


def share_of_a_pass(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """Share a pass over the shard's images among the results that it computes."""
    seconds = probe.collect * size.images / max(1, size.together)
    return Estimate(seconds=seconds, bytes=scale_bytes(probed, size.images / probe.images))


def scale(probed: Cost, count: float, probed_count: int) -> Estimate:
    """Scale the cost of `probed_count` things in the probe to `count` of them."""
    times = count / max(1, probed_count)
    return Estimate(seconds=times * probed.seconds, bytes=times * sum(probed.bytes.values()))


def scale_bytes(probed: Cost, times: float) -> float:
    """Return the bytes of a result with so many times more images."""
    return sum(count * (times if name in GROWING else 1) for name, count in probed.bytes.items())


def filled_cells(samples: int, grid: int) -> float:
    """Estimate the number of cells that the samples fill."""
    each = samples / grid**2
    return max(1.0, grid**2 * FILLED * each / (each + CROWDED))
