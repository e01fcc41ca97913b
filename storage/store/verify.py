"""Check every byte of a store: report what is damaged, missing or unexpected."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.errors import Damaged, NotFound
from storage.store.locks import locked
from storage.store.places import HAPPENED, MANIFEST, Places, is_key, is_name
from storage.store.records import unseal
from storage.store.results import describe, read_result, recorded_files, survey
from storage.store.store import Store
from storage.store.versions import Version, numbers, parse_version, run_names

Progress = Callable[[int, int], None]
"""Called with (bytes checked, bytes in total)."""

SETTLE = 0.3
"""Seconds to wait before reporting a version's copy as missing: a publisher writes it right after the version."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Damage:
    """One fault: `path` from the store's root, `kind` one of damaged, missing, unexpected.

    `stage` and `key` are set for a stage result, `run` and `number` for a version.
    """

    path: str
    kind: str
    detail: str = ""
    stage: str = ""
    key: str = ""
    run: str = ""
    number: int = 0

    def __str__(self) -> str:
        return f"{self.kind}: {self.path}" + (f" ({self.detail})" if self.detail else "")


def verify(store: Store, name: str | None = None, progress: Progress | None = None) -> list[Damage]:
    """Read everything that the versions of a run refer to, or without a name the whole store; return the faults, sorted.

    Every file is compared with its manifest, every manifest with its own hash and with the versions that name it,
    every version with its copy and its predecessor. Nothing is changed. Raises NotFound for an unknown run.
    """
    places = store.places
    names = run_names(places) if name is None else [name]
    if name is not None and not numbers(places, name):
        raise NotFound(f"no run {name!r} in {places.root}; runs there: {', '.join(run_names(places)) or 'none yet'}")
    with ExitStack() as stack:
        if places.gc_lock.exists():  # else this store was never written to, or is a read-only copy
            stack.enter_context(locked(places.gc_lock, shared=True))
        damages, wanted = _check_runs(places, names)
        if name is None:
            damages += _strays(places)
            wanted |= {pair: wanted.get(pair, set()) for pair in committed(places)}
        damages += _check_results(places, wanted, progress or (lambda done, total: None))
    return sorted(set(damages))


def check_result(places: Places, stage: str, key: str, digests: set[str]) -> list[Damage]:
    """Compare a result with its manifest, and the manifest with the `digests` by which versions refer to it.

    If the manifest itself is damaged, the files are still compared with its copy in happened.json, or with what can be
    read of it.
    """
    if not places.result(stage, key).is_dir():
        return [_result_damage(stage, key, "", "missing")]
    damages = list(_compare(places, stage, key))
    try:
        digest = read_result(places, stage, key).digest
    except (Damaged, OSError) as error:
        kind = "damaged" if (places.result(stage, key) / MANIFEST).exists() else "missing"
        return [*damages, _result_damage(stage, key, MANIFEST, kind, str(error))]
    damages += [
        _result_damage(stage, key, MANIFEST, "damaged", f"is {digest[:12]}…, a version names {other[:12]}…")
        for other in sorted(digests - {digest})
    ]
    return damages


def committed(places: Places) -> Iterator[tuple[str, str]]:
    """Yield every committed (stage, key), intact or not, sorted."""
    for stage in _children(places.stages):
        if is_name(stage.name):
            yield from ((stage.name, key.name) for key in _children(stage) if is_key(key.name) and key.is_dir())


def _check_runs(places: Places, names: list[str]) -> tuple[list[Damage], dict[tuple[str, str], set[str]]]:
    """Check the version files; return their faults and the digests by which each result is referred to."""
    damages: list[Damage] = []
    wanted: dict[tuple[str, str], set[str]] = {}
    for run in names:
        faults, versions = _check_run(places, run)
        if faults:
            time.sleep(SETTLE)
            faults, versions = _check_run(places, run)
        damages += faults
        for version in versions:
            for entry in version.stages:
                wanted.setdefault((entry.stage, entry.key), set()).add(entry.manifest)
    return damages, wanted


def _check_run(places: Places, run: str) -> tuple[list[Damage], list[Version]]:
    known = numbers(places, run)
    damages: list[Damage] = []
    intact: dict[int, Version] = {}
    for number in range(known[0], known[-1] + 1):
        for path in (places.version(run, number), places.copy(run, number)):
            try:
                version = parse_version(path.read_bytes(), run, number, places.relative(path))
            except FileNotFoundError:
                damages.append(_version_damage(places, path, run, number, "missing"))
            except (Damaged, OSError) as error:
                damages.append(_version_damage(places, path, run, number, "damaged", str(error)))
            else:
                if intact.setdefault(number, version) != version:
                    damages.append(
                        _version_damage(places, path, run, number, "damaged", "describe_difference from the version")
                    )
    damages += _broken_chain(places, run, intact)
    names = {path.name for number in known for path in (places.version(run, number), places.copy(run, number))}
    strays = sorted(path for path in places.run(run).iterdir() if path.name not in names)
    return damages + [_stray(places, path) for path in strays], list(intact.values())


def _broken_chain(places: Places, run: str, intact: dict[int, Version]) -> Iterator[Damage]:
    for number, version in intact.items():
        before = intact.get(number - 1)
        if before is not None and version.previous != before.sha256:
            detail = f"does not follow version {number - 1}"
            yield _version_damage(places, places.version(run, number), run, number, "damaged", detail)


def _check_results(places: Places, wanted: dict[tuple[str, str], set[str]], progress: Progress) -> list[Damage]:
    sizes = {pair: sum(file["bytes"] for file in recorded_files(places, *pair).values()) for pair in wanted}
    damages: list[Damage] = []
    done, total = 0, sum(sizes.values())
    for (stage, key), digests in sorted(wanted.items()):
        damages += check_result(places, stage, key, digests)
        done += sizes[stage, key]
        progress(done, total)
    return damages


def _compare(places: Places, stage: str, key: str) -> Iterator[Damage]:
    folder, expected = places.result(stage, key), recorded_files(places, stage, key)
    entries = {name: entry for name, entry in survey(folder) if not entry.is_dir(follow_symlinks=False)}
    for name in sorted({*expected, HAPPENED} - set(entries)):
        yield _result_damage(stage, key, name, "missing")
    for name in sorted(set(entries) - {*expected, HAPPENED, MANIFEST}):
        yield _result_damage(stage, key, name, "unexpected")
    for name in sorted({*expected, HAPPENED} & set(entries)):
        is_file = entries[name].is_file(follow_symlinks=False)
        detail = describe_difference(folder / name, expected.get(name)) if is_file else "is not a regular file"
        if detail:
            yield _result_damage(stage, key, name, "damaged", detail)


def describe_difference(path: Path, expected: dict[str, Any] | None) -> str:
    """Describe how a file describe_difference from its record, or `happened.json` (None) from its own seal; empty if it doesn't."""
    try:
        if expected is None:
            unseal(path.read_bytes(), HAPPENED)
            return ""
        actual = describe(path)
    except (Damaged, OSError) as error:
        return str(error)
    if actual["bytes"] != expected["bytes"]:
        return f"has {actual['bytes']} bytes, not {expected['bytes']}"
    return "" if actual == expected else "has the right size and other bytes"


def _strays(places: Places) -> Iterator[Damage]:
    """Yield files that no part of the store writes: in the root, among runs, among stages."""
    known = {places.stages.name, places.runs.name, places.tmp.name, places.locks.name}
    names = run_names(places)
    for path in _children(places.root):
        if path.name not in known:
            yield _stray(places, path)
    for path in _children(places.runs):
        if path.name not in names and _children(path, or_file=True):
            yield _stray(places, path)  # a publish killed before its link leaves an empty folder
    for stage in _children(places.stages):
        if not (stage.is_dir() and is_name(stage.name)):
            yield _stray(places, stage)
            continue
        for path in _children(stage):
            if not (path.is_dir() and is_key(path.name)):
                yield _stray(places, path)


def _children(path: Path, or_file: bool = False) -> list[Path]:
    if path.is_dir():
        return sorted(path.iterdir())
    return [path] if or_file else []


def _result_damage(stage: str, key: str, name: str, kind: str, detail: str = "") -> Damage:
    path = f"stages/{stage}/{key}" + (f"/{name}" if name else "")
    return Damage(path=path, kind=kind, detail=detail, stage=stage, key=key)


def _version_damage(places: Places, path: Path, run: str, number: int, kind: str, detail: str = "") -> Damage:
    return Damage(path=places.relative(path), kind=kind, detail=detail, run=run, number=number)


def _stray(places: Places, path: Path) -> Damage:
    return Damage(path=places.relative(path), kind="unexpected")
