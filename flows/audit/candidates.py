"""The units and cells that a model uses for a class, with their tests, as rows. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlas.arrays import Float
from atlas.auditing.split_tests import LEVEL, SplitTests, split_tests
from flows.audit.answers import STRONGER, Candidate, PartTest, Without
from flows.audit.cells import ClassCells
from flows.audit.parts import ImagePart

Double = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A unit, or a cell of a grid."""

    layer: str
    unit: int | None = None
    grid: int | None = None
    row: int | None = None
    col: int | None = None

    @property
    def name(self) -> str:
        """Its name as a target of `actlas show`."""
        if self.unit is not None:
            return f"{self.layer}:{self.unit}"
        return f"{self.layer}@{self.grid}:{self.row},{self.col}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Units, or cells, that a model uses for a class: how strong each is in images with it (`own`) and without (`others`).

    `added` is what each adds to the class's score in each of its images, 0 where it does not add.
    """

    places: list[Place]
    own: Double
    others: Double
    added: Double

    @property
    def often(self) -> Double:
        """The share of images in which each adds to the class's score."""
        return np.asarray((self.added > 0).mean(axis=0), np.float64)

    @property
    def attribution(self) -> Double:
        """What each adds as a mean over those images in which it does."""
        return self.use / self.often

    @property
    def use(self) -> Double:
        """What each adds as a mean over the images: the attribution times its frequency."""
        return np.asarray(self.added.mean(axis=0), np.float64)

    def more_in(self, members: Flags) -> Double:
        """Return how much larger the use of each is than without what it adds more in a part of the images, `n`."""
        more = self.added[members].mean(axis=0) - self.added[~members].mean(axis=0)
        return np.asarray(np.maximum(more, 0) * members.mean() / max(1e-300, float(self.use.sum())), np.float64)

    @property
    def share(self) -> Double:
        """Each one's share in the use of all."""
        return self.use / max(1e-300, float(self.use.sum()))


def of_units(layer: str, own: Float, added: Float, others: Float) -> Used:
    """Return the units that add to a class's score in some image; `added n u` is what each adds."""
    above = np.maximum(added.astype(np.float64), 0)
    kept = np.flatnonzero((above > 0).any(axis=0))
    return Used(
        places=[Place(layer=layer, unit=unit) for unit in kept.tolist()],
        own=own[:, kept].astype(np.float64),
        others=others[:, kept].astype(np.float64),
        added=above[:, kept],
    )


def of_cells(layer: str, cells: ClassCells) -> Used:
    """Return the cells that speak for a class and that some image of it has a sample in."""
    kept = np.flatnonzero((cells.samples > 0).any(axis=0))
    return Used(
        places=[
            Place(layer=layer, grid=cells.grid, row=row, col=col)
            for row, col in zip(cells.row[kept].tolist(), cells.col[kept].tolist(), strict=True)
        ],
        own=cells.samples[:, kept].astype(np.float64),
        others=cells.others[:, kept].astype(np.float64),
        added=np.where(cells.samples[:, kept] > 0, cells.attribution[kept].astype(np.float64), 0.0),
    )


def without(used: Used, seed: int) -> list[Without | None]:
    """Compare images with the class and those without, for each unit or cell; None where all images have the class."""
    if not len(used.others) or not used.places:
        return [None] * len(used.places)
    both = np.concatenate([used.own, used.others])
    with_class = np.arange(len(both)) < len(used.own)
    tests = split_tests(both, with_class[:, None], seed=seed)
    middle = np.nanmedian(np.where(used.added > 0, used.own, np.nan), axis=0)
    share = (used.others >= middle).mean(axis=0)
    return [
        Without(images=len(used.others), auc=auc, p=p, share=part)
        for auc, p, part in zip(tests.auc[:, 0].tolist(), tests.p[:, 0].tolist(), share.tolist(), strict=True)
    ]


def rows(
    used: Sequence[Used], tests: SplitTests, compared: Sequence[list[Without | None]], parts: Sequence[ImagePart]
) -> list[Candidate]:
    """Return the units and cells of all kinds by their share in the use, the largest first; the tests are in their order."""
    every: list[Candidate] = []
    for one, others in zip(used, compared, strict=True):
        columns = (one.use, one.share, one.attribution, one.often)
        extra = [one.more_in(part.members).tolist() for part in parts]
        for i, (place, other, *numbers) in enumerate(
            zip(one.places, others, *(column.tolist() for column in columns), strict=True)
        ):
            more = [by_unit[i] for by_unit in extra]
            every.append(_row(place, other, numbers, _tests(tests, len(every), parts, more)))
    every.sort(key=lambda row: -row["share"])
    for rank, row in enumerate(every):
        row["rank"] = rank + 1
    return every


def suspects(every: Sequence[Candidate]) -> list[Candidate]:
    """Return the suspects, those first whose use owes most to the part that they fire on.

    The first of each kind of part lead: else hundreds that tell sharp from soft would hide the few that read a watermark.
    """
    ordered = sorted((row for row in every if row["suspect"]), key=lambda row: -row["tests"][0]["extra"])
    kinds = [row["tests"][0]["kind"] for row in ordered]
    leading = [number for number, kind in enumerate(kinds) if kind not in kinds[:number]]
    return [ordered[number] for number in leading] + [row for i, row in enumerate(ordered) if i not in leading]


def is_alarm(test: PartTest) -> bool:
    """Tell whether a test makes a suspect: beyond chance, and stronger in most pairs."""
    return test["p"] <= LEVEL and test["auc"] >= STRONGER


def _row(place: Place, other: Without | None, numbers: list[float], tests: list[PartTest]) -> Candidate:
    use, share, attribution, often = numbers
    return {
        "name": place.name,
        "layer": place.layer,
        "unit": place.unit,
        "grid": place.grid,
        "row": place.row,
        "col": place.col,
        "rank": 0,
        "use": use,
        "share": share,
        "attribution": attribution,
        "often": often,
        "suspect": any(is_alarm(test) for test in tests),
        "tests": tests,
        "without": other,
        "place": None,
        "patches": [],
        "effects": None,
    }


def _tests(tests: SplitTests, number: int, parts: Sequence[ImagePart], extra: list[float]) -> list[PartTest]:
    """Return the tests of one unit or cell: alarms first, then the largest score."""
    columns = (tests.auc[number], tests.score[number], tests.p[number])
    every: list[PartTest] = [
        {
            "kind": part.kind,
            "name": part.name,
            "images": int(part.members.sum()),
            "auc": auc,
            "score": score,
            "p": p,
            "extra": more,
        }
        for part, more, auc, score, p in zip(parts, extra, *(column.tolist() for column in columns), strict=True)
    ]
    return sorted(every, key=lambda test: (not is_alarm(test), -test["score"]))
