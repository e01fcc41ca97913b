"""Every flipped bit and every lost file is named, nothing else is, and what is repaired is whole again."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import stores, trees
from support.trees import strays, tree

from storage.errors import NotFound, StoreError
from storage.store import disk, result_checks, updates, verify
from storage.store.gc import gc
from storage.store.repair import repair
from storage.store.result_checks import Damage
from storage.store.store import Store


def files(store: Store) -> list[Path]:
    return sorted(path for part in ("stages", "runs") for path in (store.root / part).rglob("*") if path.is_file())


def one_by_one(store: Store, count: int, check: Callable[[Store], list[Damage]], delete: bool = False) -> list[str]:
    """Break one random file, verify, mend it, `count` times; return what was not named, or not alone."""
    rng, missed = random.Random(count), []
    for _ in range(count):
        path = rng.choice([path for path in files(store) if path.stat().st_size or delete])
        data = path.read_bytes()
        path.unlink() if delete else stores.flip(path, rng)
        named = {damage.path for damage in check(store)}
        if named != {store.places.relative(path)}:
            missed.append(f"{store.places.relative(path)}: {sorted(named)}")
        path.write_bytes(data)
    return missed


def test_a_clean_tree_has_no_damage(store: Store) -> None:
    seen: list[tuple[int, int]] = []
    assert verify.verify(store, progress=lambda done, total: seen.append((done, total))) == []
    assert verify.verify(store, "run") == []
    assert seen[-1][0] == seen[-1][1] > 1000
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_each_of_100_flipped_bits_is_named_and_nothing_else(store: Store) -> None:
    assert one_by_one(store, 100, verify.verify) == []
    assert verify.verify(store) == []


def test_each_of_40_deleted_files_is_named_and_nothing_else(store: Store) -> None:
    assert one_by_one(store, 40, verify.verify, delete=True) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_flips_and_twenty_deletions_at_once(seed: int, tmp_path: Path) -> None:
    """All in one tree: every one is named; then repair and a rerun give back every byte."""
    store = stores.small(Store(tmp_path / "store"))
    rng, before = random.Random(seed), tree(store.root)
    # a first or last version that lost both its files is like one that never was, so copies are flipped only
    gone = rng.sample([path for path in files(store) if path.suffix != ".copy"], 20)
    flipped = rng.sample([path for path in files(store) if path not in gone and path.stat().st_size], 25)
    for path in gone:
        path.unlink()
    for path in [*flipped, *rng.choices(flipped, k=75)]:
        stores.flip(path, rng)
    changed = {name for name, digest in before.items() if tree(store.root).get(name) != digest}
    changed |= {store.places.relative(path) for path in gone if path.name == "happened.json"}
    damages = verify.verify(store)
    assert not unnamed(store, changed, damages)
    compute = repair(store, damages)
    of_themselves = ("manifest.json", "happened.json")  # which are mended, the manifest unless both are broken
    broken = {name.split("/")[2] for name in changed if name.startswith("stages") and not name.endswith(of_themselves)}
    unknown = {damage.path.split("/")[2] for damage in damages if damage.kind == "foreign"}
    assert {key for _, key in compute} >= broken - unknown
    for number in stores.NUMBERS:
        stores.commit(store, "a", number)
    stores.formats(store)
    stores.commit(store, "b", 1)
    past_repair = {damage.path for damage in verify.verify(store)}
    assert past_repair <= {name for name in changed if name.startswith("runs")}
    assert {name for name, digest in before.items() if tree(store.root).get(name) != digest} == past_repair


def unnamed(store: Store, changed: set[str], damages: list[Damage]) -> set[str]:
    """Return what changed and is not named. Where both a manifest and its copy are broken, their naming must do."""
    named = {damage.path for damage in damages}
    folders = [{n.removesuffix(f) for n in named if n.endswith(f"/{f}")} for f in ("manifest.json", "happened.json")]
    blind = set.intersection(*folders)
    blind |= {f"{damage.path}/" for damage in damages if damage.kind == "foreign"}  # no version names it either
    return {name for name in changed - named if not any(name.startswith(folder) for folder in blind)}


FOREIGN = (
    *("x", "runs/x", "runs/run/x", "runs/run/01.json", "runs/run/1.json.bak", "stages/x", "stages/a/x", "stages/.x/y"),
    *(
        "tmp/x",
        "tmp/unexpected.0123456789abcdef",
        "locks/x",
        "locks/x.lock",
        "updates/x",
        "RESULT/x",
        "RESULT/part/deep/x",
    ),
    *("RESULT/other/x", f"stages/a/{'0' * 32}/x", f"stages/a/{'1' * 32}", "actlas-store.json.bak", "published.json~"),
)
"""Files of a user's own, wherever they may lie in a store."""


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_foreign_files_are_named_and_left_alone(kind: str, store: Store) -> None:
    result = stores.commit(store, "a", 1)
    names = [
        name for name in FOREIGN if kind == "file" or name not in ("runs/x", "stages/x")
    ]  # folders there may be ours
    mine = [store.root / name.replace("RESULT", f"stages/a/{result.key}") for name in names]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if kind == "folder" else path.symlink_to(".") if kind == "link" else path.write_bytes(b"mine")
    before = trees.contents(store.root)
    found = verify.verify(store)
    assert {damage.kind for damage in found} == {"foreign"}
    named = [damage.path for damage in found]
    assert all(any(store.places.relative(path).startswith(name) for name in named) for path in mine)
    assert repair(store, found) == []
    gc(store, older_than=0)
    kept = {name: data for name, data in before.items() if stores.key("b", 1) not in name}
    assert trees.contents(store.root).items() >= kept.items()
    assert result.file("data.bin").read_bytes() == stores.content("a", 1)["data.bin"]


def test_a_damaged_result_with_a_foreign_file_stays(store: Store) -> None:
    result = stores.commit(store, "a", 1)
    (result.path / "notes.txt").write_text("mine")
    (result.path / "data.bin").write_bytes(b"")
    damages = verify.verify(store)
    assert [(d.kind, d.path.split("/")[-1]) for d in damages] == [("damaged", "data.bin"), ("foreign", "notes.txt")]
    assert repair(store, damages) == []
    assert (result.path / "notes.txt").read_text() == "mine"
    (result.path / "manifest.json").write_bytes(b"{}")
    with pytest.raises(StoreError, match=r"notes\.txt"):
        stores.commit(store, "a", 1)
    assert (result.path / "notes.txt").read_text() == "mine"


def test_what_is_set_aside_keeps_its_name_and_ages_from_then(store: Store) -> None:
    result = stores.commit(store, "a", 1)
    (result.path / "data.bin").write_bytes(b"")
    os.utime(result.path / "manifest.json", (1, 1))
    repair(store, verify.verify(store))
    (aside,) = store.places.tmp.iterdir()
    assert (aside / "stages" / "a" / result.key / "manifest.json").exists()
    gc(store)
    assert aside.exists()
    gc(store, now=time.time() + 90_000)
    assert not aside.exists()


def test_what_is_sound_when_it_was_moved_goes_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process has mended it between the judgement and the move."""
    result, before = stores.commit(store, "a", 1), tree(store.root)
    data = (result.path / "data.bin").read_bytes()
    (result.path / "data.bin").write_bytes(b"")
    damages = verify.verify(store)
    rename = disk.rename

    def mend_first(source: Path, target: Path) -> None:
        if source == result.path:
            (source / "data.bin").write_bytes(data)
        rename(source, target)

    monkeypatch.setattr(disk, "rename", mend_first)
    assert repair(store, damages) == []
    assert tree(store.root) == before
    assert strays(store.root) == []


def test_a_fault_is_judged_twice(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults that are gone at the second look: a version is being copied, a result being replaced."""
    copy, result = store.places.copy("run", 3), stores.commit(store, "a", 1)
    data, whole = copy.read_bytes(), (result.path / "data.bin").read_bytes()

    def heal(seconds: float) -> None:
        copy.write_bytes(data)
        (result.path / "data.bin").write_bytes(whole)

    copy.unlink()
    (result.path / "data.bin").write_bytes(b"")
    assert len(verify.verify(store)) == 2
    monkeypatch.setattr(verify.time, "sleep", heal)
    assert verify.verify(store) == []


def test_the_record_of_numbers_is_made_again(store: Store) -> None:
    before = store.places.published.read_bytes()
    for harm in (Path.unlink, lambda path: path.write_bytes(b"{}"), lambda path: stores.flip(path, random.Random(5))):
        harm(store.places.published)
        damages = verify.verify(store)
        assert [damage.path for damage in damages] == ["published.json"]
        assert store.version("run").number == 3  # never needed to read
        assert repair(store, damages) == []
        assert store.places.published.read_bytes() == before


def test_a_damaged_marker_is_mended(store: Store) -> None:
    for harm in (Path.unlink, lambda path: path.write_bytes(b"{}")):
        harm(store.places.marker)
        damages = verify.verify(store)
        assert [damage.path for damage in damages] == ["actlas-store.json"]
        assert store.version("run").number == 3
        assert repair(store, damages) == []
        assert verify.verify(store) == []


def test_a_damaged_announcement_is_named_and_set_aside(store: Store) -> None:
    updates.keep(store.places, "run", "2026", {"weights": "x"})
    assert verify.verify(store) == []
    stores.flip(store.places.update("run"), random.Random(6))
    damages = verify.verify(store)
    assert [(damage.kind, damage.path) for damage in damages] == [("damaged", "updates/run.json")]
    assert repair(store, damages) == []
    assert (verify.verify(store), updates.read(store.places, "run")) == ([], None)


def test_whole_records_in_the_place_of_others_are_named(store: Store) -> None:
    """Each small file replaced by each other: all are sealed, none belongs there."""
    result = stores.commit(store, "a", 1)
    version = (store.places.version("run", 1), store.places.copy("run", 1))
    records = [
        store.places.marker,
        store.places.published,
        version[0],
        result.path / "manifest.json",
        result.path / "happened.json",
    ]
    for place in (*records, version[1]):
        data = place.read_bytes()
        for other in (path for path in records if path.read_bytes() != data):
            place.write_bytes(other.read_bytes())
            named = {damage.path for damage in verify.verify(store)}
            place.write_bytes(data)
            assert named == {store.places.relative(place)}, (place, other)
    assert verify.verify(store) == []


def test_a_number_is_never_given_twice(store: Store) -> None:
    """The newest version is lost with both its files, or a user has removed them."""
    for path in (store.places.version("run", 3), store.places.copy("run", 3)):
        path.unlink()
    assert {damage.path for damage in verify.verify(store)} == {"runs/run/3.json", "runs/run/3.json.copy"}
    assert store.publish("run", stores.contents([stores.commit(store, "a", 1)], n=99)) == 4


def test_only_what_versions_name_is_looked_at_with_a_name(store: Store) -> None:
    store.publish("other", stores.contents([stores.commit(store, "a", 1)]))
    (stores.commit(store, "b", 1).path / "data.bin").write_bytes(b"")
    (stores.commit(store, "a", 5).path / "data.bin").write_bytes(b"")
    assert [len(verify.verify(store, name)) for name in ("other", "run", None)] == [0, 1, 2]
    with pytest.raises(NotFound, match="other, run"):
        verify.verify(store, "nothing")


def test_versions_that_do_not_follow_one_another(store: Store) -> None:
    """Version 2 put back from another store: whole in itself, and out of place."""
    other = Store(store.root.parent / "other")
    for number in (1, 2):
        other.publish("run", stores.contents([stores.commit(other, "a", 0)], n=-number))
    for path in (store.places.version, store.places.copy):
        path("run", 2).write_bytes(other.places.version("run", 2).read_bytes())
    assert {damage.path for damage in verify.verify(store)} == {"runs/run/2.json", "runs/run/3.json"}


def test_both_files_of_a_version_gone(store: Store) -> None:
    for path in (store.places.version("run", 2), store.places.copy("run", 2)):
        path.unlink()
    damages = verify.verify(store)
    assert [damage.path for damage in damages] == ["runs/run/2.json", "runs/run/2.json.copy"]
    assert repair(store, damages) == []
    assert verify.verify(store) == damages


def test_mutant_verify_that_skips_hashes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def size_only(path: Path) -> dict[str, int | str]:
        named = result_checks.recorded_files(path.parent, *path.parts[-3:-1]) if path.name == "data.bin" else None
        return dict((named or {}).get(path.name, {"bytes": path.stat().st_size, "sha256": ""}))

    monkeypatch.setattr(result_checks, "describe", size_only)
    assert len(one_by_one(store, 100, verify.verify)) > 10


def test_mutant_verify_that_overlooks_what_is_missing(store: Store) -> None:
    def blind(of: Store) -> list[Damage]:
        return [damage for damage in verify.verify(of) if damage.kind != "missing"]

    assert len(one_by_one(store, 20, blind, delete=True)) == 20


def test_mutant_verify_that_cries_wolf(store: Store) -> None:
    extra = Damage(path="stages/a/x", kind="damaged")
    assert len(one_by_one(store, 20, lambda of: [*verify.verify(of), extra])) == 20
