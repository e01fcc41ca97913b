"""What verify names, repair mends: from copies, from what is whole, or by computing again what is lost and no more."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from support import stores
from support.trees import tree

from storage.store import verify
from storage.store.gc import gc
from storage.store.records import seal
from storage.store.repair import repair
from storage.store.results import Result, render_happened
from storage.store.store import Store


def test_a_whole_result_that_is_gone_is_named_and_computed_again(store: Store) -> None:
    result = stores.commit(store, "a", 1)
    result.path.rename(store.root.parent / "lost")
    damages = verify.verify(store)
    assert [damage.path for damage in damages] == [f"stages/a/{result.key}"]
    assert repair(store, damages) == [("a", result.key)]
    stores.commit(store, "a", 1)
    assert verify.verify(store) == []


def test_only_the_damaged_result_is_computed_again(store: Store) -> None:
    result, before = stores.commit(store, "a", 1), tree(store.root)
    (result.path / "data.bin").write_bytes(b"x" * len(stores.content("a", 1)["data.bin"]))
    assert repair(store, verify.verify(store)) == [("a", result.key)]
    assert store.find("a", result.key) is None
    assert len(list(store.places.tmp.iterdir())) == 1
    stores.commit(store, "a", 1)
    assert tree(store.root) == before
    assert verify.verify(store) == []
    assert len(gc(store, older_than=0)) == 2  # what was set aside, and the result that no version names


def test_a_lost_record_of_what_happened_costs_no_work(store: Store) -> None:
    result = stores.commit(store, "a", 1)
    for harm in (lambda path: path.unlink(), lambda path: path.write_bytes(b"{}")):
        harm(result.path / "happened.json")
        assert repair(store, verify.verify(store)) == []
        assert "lost" in result.happened()
        assert verify.verify(store) == []


@pytest.mark.parametrize(
    "harm", [Path.unlink, lambda path: stores.flip(path, random.Random(1))], ids=["lost", "flipped"]
)
def test_a_broken_manifest_comes_back_from_its_copy(store: Store, harm: Callable[[Path], None]) -> None:
    result, before = stores.commit(store, "a", 1), tree(store.root)
    harm(result.path / "manifest.json")
    (result.path / "data.bin").unlink()
    named = {damage.path for damage in verify.verify(store)}
    assert named == {f"stages/a/{result.key}/{name}" for name in ("manifest.json", "data.bin")}
    (result.path / "data.bin").write_bytes(stores.content("a", 1)["data.bin"])
    assert repair(store, verify.verify(store)) == []
    assert tree(store.root) == before
    assert verify.verify(store) == []


def test_a_manifest_is_mended_only_into_the_one_published(store: Store) -> None:
    """A copy that is whole and of other contents, as another run may have left it, is not taken."""
    result, other = (stores.commit(store, "a", number) for number in (1, 2))
    foreign = json.loads((other.path / "happened.json").read_bytes())["manifest"] | {"key": result.key}
    del foreign["sha256"]
    (result.path / "happened.json").write_bytes(render_happened({}, seal(foreign)))
    (result.path / "manifest.json").unlink()
    assert repair(store, verify.verify(store)) == [("a", result.key)]


def twice(store: Store, names: tuple[str, ...] = ("table", "about")) -> Result:
    with store.draft("listing", stores.key("listing", 1)) as draft:
        for name in ("table", "about", "other"):
            (draft.path / name).write_bytes(name.encode() * 40)
        return draft.commit({"number": 1}, names)


def unmended(store: Store, names: tuple[str, ...] = ("table", "about")) -> list[str]:
    """Break each file of a result in each way; return what repair did not give back."""
    result = twice(store, names)
    before, left = tree(store.root), []
    for name in ("table", "table.copy", "about", "about.copy", "manifest.json"):
        for harm in (Path.unlink, lambda path: stores.flip(path, random.Random(2)), lambda path: path.write_bytes(b"")):
            if not (result.path / name).exists():
                continue
            harm(result.path / name)
            compute = repair(store, verify.verify(store))
            if compute or tree(store.root) != before or verify.verify(store):
                left.append(name)
                twice(store, names)
    return left


def test_what_a_result_has_twice_is_mended(store: Store) -> None:
    assert unmended(store) == []
    result = twice(store)
    for name in ("table", "about.copy", "manifest.json"):  # at once, each from another file
        stores.flip(result.path / name, random.Random(3))
    assert repair(store, verify.verify(store)) == []
    assert verify.verify(store) == []
    for name in ("table", "table.copy"):
        stores.flip(result.path / name, random.Random(4))
    assert repair(store, verify.verify(store)) == [("listing", result.key)]


def test_mutant_a_result_without_copies_is_lost(store: Store) -> None:
    assert set(unmended(store, ("table",))) == {"about"}


def test_a_manifest_that_is_whole_and_not_the_published_one(store: Store) -> None:
    result = stores.commit(store, "a", 1)
    result.path.rename(store.root.parent / "first")
    with store.draft("a", result.key) as draft:
        stores.write(draft.path, "a", 2)
        draft.commit({"number": 1})
    named = verify.verify(store)
    assert [damage.path for damage in named] == [f"stages/a/{result.key}/manifest.json"]
    assert repair(store, named) == [("a", result.key)]


def test_an_old_list_of_damages_does_no_harm(store: Store) -> None:
    result = stores.commit(store, "a", 1)
    data = (result.path / "data.bin").read_bytes()
    (result.path / "data.bin").write_bytes(b"")
    damages = verify.verify(store)
    (result.path / "data.bin").write_bytes(data)
    assert repair(store, damages) == []
    assert store.find("a", result.key) == result


def test_mutant_repair_that_only_deletes_the_file(store: Store) -> None:
    """The result would still be found, and no rerun would compute it."""
    result = stores.commit(store, "a", 1)
    (result.path / "data.bin").unlink()
    assert stores.commit(store, "a", 1) == result
    assert verify.verify(store) != []
