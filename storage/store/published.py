"""The record of published numbers, `published.json`: evidence for gc and verify, never needed to read a version.

For each run it has the lowest and the highest number that should be there, and those between that are lost for good.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from storage.errors import Damaged
from storage.store import disk, reading
from storage.store.places import PUBLISHED, Places
from storage.store.records import FORMAT, seal, unseal
from storage.store.versions import numbers, run_names

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The versions of a run that should be there: from `first` to `last` without those in `lost`."""

    first: int
    last: int
    lost: tuple[int, ...] = ()

    def expected(self) -> set[int]:
        return set(range(self.first, self.last + 1)) - set(self.lost)


Record = dict[str, Numbers]


def read(places: Places) -> Record | None:
    """Read the record, None if it is missing. Raises Damaged, CannotTell and Newer."""
    data = reading.data(places.published)
    if data is None:
        return None
    runs = unseal(data, PUBLISHED, "runs")["runs"]
    return {run: Numbers(each["first"], each["last"], tuple(each["lost"])) for run, each in runs.items()}


def last_number(places: Places, run: str) -> int:
    """Return the highest number that a run ever published, 0 if none is known."""
    known = _readable(places).get(run)
    return known.last if known else 0


def missing(places: Places, record: Record) -> dict[str, list[int]]:
    """Return the versions of each run that should be there and are not."""
    gone = {run: sorted(each.expected() - set(numbers(places, run))) for run, each in record.items()}
    return {run: gaps for run, gaps in gone.items() if gaps}


def render(record: Record) -> bytes:
    """Render the record as the bytes of its file."""
    runs = {run: {"first": n.first, "last": n.last, "lost": list(n.lost)} for run, n in record.items()}
    return seal({"actlas": FORMAT, "runs": runs})


def current(places: Places, known: Record) -> Record:
    """Return a record extended by the versions that are there."""
    runs = dict(known)
    for run in run_names(places):
        there = numbers(places, run)
        before = runs.get(run)
        if before is None:
            runs[run] = Numbers(there[0], there[-1])
        else:
            runs[run] = replace(before, first=min(before.first, there[0]), last=max(before.last, there[-1]))
    return runs


def note(places: Places, folder: Path) -> None:
    """Bring the record up to date with the versions that are there; `folder` is scratch space."""
    known = _readable(places)
    _replace(places, current(places, known), folder)


def drop(places: Places, dropped: Iterable[tuple[str, int]], folder: Path) -> None:
    """Note that the oldest versions of some runs are about to be removed."""
    runs = current(places, _readable(places))
    for run, number in dropped:
        runs[run] = replace(runs[run], first=max(runs[run].first, number + 1))
    _replace(places, runs, folder)


def accept_lost(places: Places, folder: Path) -> None:
    """Note that the versions which are not there are lost; their numbers are not given again."""
    runs = current(places, _readable(places))
    for run, gaps in missing(places, runs).items():
        runs[run] = replace(runs[run], lost=tuple(sorted({*runs[run].lost, *gaps})))
    _replace(places, runs, folder)


def _readable(places: Places) -> Record:
    try:
        return read(places) or {}
    except Damaged as damage:
        log.warning("%s; the record is made again from the versions that are there", damage)
        return {}


def _replace(places: Places, record: Record, folder: Path) -> None:
    data = render(record)
    if reading.data(places.published) == data:
        return
    fresh = folder / PUBLISHED
    disk.write_file(fresh, data)
    disk.sync(fresh)
    disk.rename(fresh, places.published)
    disk.sync(places.root)
