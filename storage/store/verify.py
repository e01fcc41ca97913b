"""Check every byte of a store: report what is damaged, missing, unreadable or foreign."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from storage.errors import CannotTell, Damaged, NotFound
from storage.store import foreign, marker, published, reading, updates
from storage.store.locks import locked
from storage.store.marker import Kind
from storage.store.places import MARKER, PUBLISHED, Places, is_key, is_name, is_update
from storage.store.result_checks import FOREIGN, Damage, check_result, faults
from storage.store.results import recorded_files
from storage.store.store import Store
from storage.store.versions import Version, numbers, parse_version, run_names

Progress = Callable[[int, int], None]
"""Called with (bytes checked, bytes in total)."""

SETTLE = 0.3
"""Seconds between the two times that a fault is judged: another process may be at work there."""

Pair = tuple[str, str]
Wanted = dict[Pair, set[str]]
"""The digests by which versions refer to each result."""


def verify(store: Store, name: str | None = None, progress: Progress | None = None) -> list[Damage]:
    """Read everything that the versions of a run refer to, or without a name the whole store; return the faults, sorted.

    Every file is compared with its manifest, every manifest with its own hash and with the versions that name it,
    every version with its copy and its predecessor. Each fault is judged twice. Nothing is changed. Raises NotFound for
    an unknown run, CannotTell if the versions can't be read, and Newer.
    """
    places = store.places
    if reading.status(places.root) is None:
        return []
    marker.check_readable(places)
    _check_name(places, name)
    with ExitStack() as stack:
        for lock in [places.gc_lock] if reading.status(places.gc_lock) is not None else []:
            stack.enter_context(locked(lock, shared=True))  # a store never written to, or a read-only copy, has none
        damages, wanted = _twice(lambda: _check_runs(places, name))
        pairs = set(wanted) | (set(committed(places)) if name is None else set())
        damages += _check_results(places, {pair: wanted.get(pair, set()) for pair in pairs}, progress)
        if name is None:
            damages += [Damage(path=path, kind=FOREIGN) for path in foreign.paths(places, set(wanted))]
    return sorted(set(damages))


def committed(places: Places) -> Iterator[Pair]:
    """Yield every committed (stage, key), intact or not, sorted."""
    for stage in filter(is_name, reading.names(places.stages)):
        for entry in reading.entries(places.stages / stage):
            if (
                is_key(entry.name)
                and entry.is_dir(follow_symlinks=False)
                and foreign.has_record(places, stage, entry.name)
            ):
                yield stage, entry.name


def _check_name(places: Places, name: str | None) -> None:
    if name is not None and not numbers(places, name):
        raise NotFound(f"no run {name!r} in {places.root}; runs there: {', '.join(run_names(places)) or 'none yet'}")


def _twice(check: Callable[[], tuple[list[Damage], Wanted]]) -> tuple[list[Damage], Wanted]:
    """Check, and if there is a fault check again: return the faults that are still there."""
    first, wanted = check()
    if not first:
        return first, wanted
    time.sleep(SETTLE)
    second, wanted = check()
    return _lasting(first, second), wanted


def _lasting(first: Sequence[Damage], second: Sequence[Damage]) -> list[Damage]:
    before = {damage.path for damage in first}
    return [damage for damage in second if damage.path in before]


def _check_runs(places: Places, name: str | None) -> tuple[list[Damage], Wanted]:
    """Check the version files, while no process publishes; return their faults and how each result is referred to."""
    wanted: Wanted = {}
    with ExitStack() as stack:
        if reading.status(places.versions_lock) is not None:
            stack.enter_context(locked(places.versions_lock, shared=True))
        damages, record = _check_records(places)
        names = {*run_names(places), *record} if name is None else {name}
        for run in sorted(names):
            run_damages, versions = _check_run(places, run, record)
            damages += run_damages
            for entry in (entry for version in versions for entry in version.stages):
                wanted.setdefault((entry.stage, entry.key), set()).add(entry.manifest)
    return damages, wanted


def _check_records(places: Places) -> tuple[list[Damage], published.Record]:
    """Check the marker and the record of published numbers."""
    damages, record = [], None
    kind = marker.recognise(places)
    try:
        record = published.read(places)
    except Damaged as error:
        damages.append(Damage(path=PUBLISHED, kind="damaged", detail=str(error)))
    else:
        if record is None and kind is Kind.MARKED:
            damages.append(Damage(path=PUBLISHED, kind="missing"))
    if kind is Kind.BROKEN or (kind is Kind.UNMARKED and record is not None):
        damages.append(Damage(path=MARKER, kind="damaged" if kind is Kind.BROKEN else "missing"))
    return damages + list(_check_updates(places)), record or {}


def _check_updates(places: Places) -> Iterator[Damage]:
    """Check the announced updates: each is sealed, and no version or manifest names it."""
    for name in filter(is_update, reading.names(places.updates)):
        path = f"{places.updates.name}/{name}"
        try:
            updates.parse(reading.data(places.updates / name) or b"", path)
        except Damaged as error:
            yield Damage(path=path, kind="damaged", detail=str(error))


def _check_run(places: Places, run: str, record: published.Record) -> tuple[list[Damage], list[Version]]:
    damages: list[Damage] = []
    intact: dict[int, Version] = {}
    for number in _numbers(places, run, record):
        for path in (places.version(run, number), places.copy(run, number)):
            try:
                version = _parse(places, path, run, number)
            except Damaged as error:
                damages.append(_version_damage(places, path, run, number, "damaged", str(error)))
                continue
            if version is None:
                damages.append(_version_damage(places, path, run, number, "missing"))
            elif intact.setdefault(number, version) != version:
                damages.append(_version_damage(places, path, run, number, "damaged", "differs from the version"))
    return damages + list(_broken_chain(places, run, intact)), list(intact.values())


def _numbers(places: Places, run: str, record: published.Record) -> list[int]:
    """Return the numbers that a run has or should have."""
    there = numbers(places, run)
    if run in record:
        return sorted({*there, *record[run].expected()})
    return list(range(there[0], there[-1] + 1))


def _parse(places: Places, path: Path, run: str, number: int) -> Version | None:
    data = reading.data(path)
    return None if data is None else parse_version(data, run, number, places.relative(path))


def _broken_chain(places: Places, run: str, intact: dict[int, Version]) -> Iterator[Damage]:
    for number, version in intact.items():
        before = intact.get(number - 1)
        if before is not None and version.previous != before.sha256:
            detail = f"does not follow version {number - 1}"
            yield _version_damage(places, places.version(run, number), run, number, "damaged", detail)


def _check_results(places: Places, wanted: Wanted, progress: Progress | None) -> list[Damage]:
    """Check results; once all are read, judge those with a fault again."""
    progress = progress or (lambda done, total: None)
    sizes = {pair: _size(places, pair) for pair in wanted}
    done, total = 0, sum(sizes.values())
    suspects: dict[Pair, list[Damage]] = {}
    for pair, digests in sorted(wanted.items()):
        if first := check_result(places, *pair, digests):
            suspects[pair] = first
        done += sizes[pair]
        progress(done, total)
    if any(faults(first) for first in suspects.values()):
        time.sleep(SETTLE)
    return [damage for pair, first in suspects.items() for damage in _judge_again(places, pair, wanted[pair], first)]


def _judge_again(places: Places, pair: Pair, digests: set[str], first: list[Damage]) -> list[Damage]:
    """Check a result again; one that no version names may have been set aside or removed meanwhile."""
    if not digests and not reading.is_folder(places.result(*pair)):
        return []
    return _lasting(first, check_result(places, *pair, digests))


def _size(places: Places, pair: Pair) -> int:
    """Return the bytes of a result for the progress of verify; 0 if that can't be told."""
    try:
        recorded = recorded_files(places.result(*pair), *pair) or {}
        return sum(int(file["bytes"]) for file in recorded.values())
    except (CannotTell, TypeError, ValueError):
        return 0


def _version_damage(places: Places, path: Path, run: str, number: int, kind: str, detail: str = "") -> Damage:
    return Damage(path=places.relative(path), kind=kind, detail=detail, run=run, number=number)
