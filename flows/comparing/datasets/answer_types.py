"""The shapes of an answer about two datasets."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from flows.comparing.answers import ComparedRun, Crossing, LeftOut


class Dataset(ComparedRun):
    """A dataset: a run, and its images."""

    images: int


class ListedImage(TypedDict):
    """An image, with its place: `path` can be opened, or is the container's."""

    image_id: int
    key: str
    path: str
    label: str | None


class Maker(ListedImage):
    """An image with samples in a cell, and how many."""

    samples: int


class CellDensity(TypedDict):
    """A cell: the samples of both datasets there, their shares, the ratio of B's to A's, and the images that make it.

    `ratio`, `low` and `high` are None where A has no sample there, or another division by 0 makes them unknown.
    """

    row: int
    col: int
    samples: list[int]
    shares: list[float]
    ratio: float | None
    low: float | None
    high: float | None
    p: float
    state: str
    makers: int
    images: list[Maker]


class DensityCounts(TypedDict):
    """The number of cells in each state."""

    even: int
    denser: int
    thinner: int
    appeared: int
    emptied: int


class Densities(DensityCounts):
    """The cells of a grid that are filled by both datasets together."""

    cells: list[CellDensity]


class Shift(TypedDict):
    """A shift in standard deviations over A's images, with its interval, p-value, and whether it is beyond chance."""

    shift: float
    low: float
    high: float
    p: float
    beyond: bool


class UnitShift(Shift):
    """The shift of a unit's mean, and that of its best value in each image, where both runs kept these."""

    unit: int
    peak: Shift | None


class LabelChange(TypedDict):
    """A label: its images and their share in both datasets, and how far its images shift (None: too few)."""

    label: str
    images: list[int]
    shares: list[float]
    ratio: float | None
    low: float | None
    high: float | None
    p: float
    beyond: bool
    shift: float | None
    shift_p: float | None
    shift_beyond: bool


class Outlier(ListedImage):
    """An image with its sample that is farthest from A's samples, in multiples of the distance that counts as unlike A."""

    distance: float | None


class Unlike(TypedDict):
    """The share of both datasets' samples that are farther from A's samples than 99 % of A's own; B's images among them."""

    shares: list[float]
    outliers: int
    images: list[Outlier]


class DatasetLayer(TypedDict):
    """The differences in a layer; `shift` is the largest of a unit that is beyond chance, 0 if none is."""

    layer: str
    images: list[int]
    samples: list[int]
    p: float
    p_units: float
    p_peaks: float | None
    p_neighbours: float
    shift: float
    unlike: Unlike
    cells: dict[str, Densities]
    units: list[UnitShift]
    labels: list[LabelChange]


class DatasetComparison(TypedDict):
    """Two datasets, A and B, and where they differ; `rule` says what is beyond chance."""

    datasets: list[Dataset]
    shared_images: int
    rule: str
    left_out: list[LeftOut]
    layers: list[DatasetLayer]
    crossed: NotRequired[list[Crossing]]
