"""A store knows itself by its marker: where it may begin, what it adopts, and what a newer one says."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support import corpus, formats, stores, trees
from support.trees import tree

from flows.cli import invoke
from storage.errors import Damaged, Lost, Newer, NotFound, UsageError
from storage.models import user_code
from storage.run import open_store
from storage.store import disk, marker, verify
from storage.store.gc import gc
from storage.store.marker import Kind
from storage.store.places import MARKER, is_store
from storage.store.records import FORMAT, seal
from storage.store.repair import repair
from storage.store.store import Store


def publish(store: Store, number: int = 1) -> int:
    return store.publish("run", stores.contents([stores.commit(store, "a", number)], n=number))


@pytest.mark.parametrize("there", [(), ("lost+found", ".nfs0000001", ".snapshot", ".DS_Store")])
def test_a_store_begins_in_an_empty_folder(there: tuple[str, ...], tmp_path: Path) -> None:
    for name in there:
        (tmp_path / name).mkdir()
    assert publish(Store(tmp_path)) == 1
    assert is_store(tmp_path)
    assert verify.verify(Store(tmp_path)) == []


@pytest.mark.parametrize("name", ["photo.jpg", ".hidden", "stages", "runs/run/1.json", "tmp/notes.txt", "locks/x"])
def test_no_store_begins_beside_files_of_a_user(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    store = Store(tmp_path / "mine")
    before = trees.contents(tmp_path)
    for write in (
        lambda: stores.commit(store, "a", 1),
        lambda: store.lock("run").__enter__(),
        lambda: store.writing().__enter__(),
        lambda: store.serving("run").__enter__(),
        lambda: gc(store, older_than=0),
        lambda: repair(store, []),
    ):
        with pytest.raises(UsageError, match="mine/actlas-store"):
            write()
    with pytest.raises(NotFound, match="not an actlas store"):
        open_store(store.root)
    assert trees.contents(tmp_path) == before
    assert list((tmp_path / "mine").iterdir()) == [store.root / name.split("/")[0]]
    assert publish(Store(store.root / "actlas-store")) == 1


def command(images: Path, store: Path) -> list[str]:
    spec = ["--model", "support.corpus:net", "--input-size", "32", "--layers", "features.2", "--until", "listing"]
    return ["run", "--images", str(images), "--store", str(store), "--engine", "inline", *spec]


def a_file(folder: Path) -> Path:
    (folder / "store").write_text("mine")
    return folder / "store"


def a_link_to_nothing(folder: Path) -> Path:
    (folder / "store").symlink_to("nothing")
    return folder / "store"


def a_link_to_itself(folder: Path) -> Path:
    (folder / "store").symlink_to("store")
    return folder / "store"


def inside_another_store(folder: Path) -> Path:
    publish(Store(folder / "store"))
    return folder / "store" / "stages" / "a" / "inner"


def the_images_themselves(folder: Path) -> Path:
    return folder / "images"


PLACES = {
    a_file: "is a file, not a folder",
    a_link_to_nothing: "is a link to nothing",
    a_link_to_itself: "is a link to nothing",
    inside_another_store: "lies inside the store",
    the_images_themselves: "images/actlas-store",
}


@pytest.mark.parametrize("place", PLACES)
def test_an_odd_store_is_refused_in_one_line(
    place: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus.write_images(tmp_path / "images", 3)
    store = place(tmp_path)
    before = trees.contents(tmp_path)
    for arguments in (
        command(tmp_path / "images", store),
        ["gc", "--store", str(store)],
        ["verify", "--store", str(store)],
    ):
        capsys.readouterr()
        assert invoke(arguments) in (1, 2, 4), arguments
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("actlas: "), lines
        assert PLACES[place] in lines[0] or arguments[0] != "run", lines
    assert trees.contents(tmp_path) == before


def test_a_folder_that_may_not_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_code, "_OURS", (*user_code._OURS, __file__))
    corpus.write_images(tmp_path / "images", 3)

    def refuse(when: str, operation: str, path: Path) -> None:
        raise PermissionError(13, os.strerror(13), str(path))

    with disk.intercepted(refuse):
        assert invoke(command(tmp_path / "images", tmp_path / "store")) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"actlas: {tmp_path / 'store'}: Permission denied"


def test_a_link_to_a_folder_is_a_store(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert publish(Store(tmp_path / "link")) == 1
    assert open_store(tmp_path / "real").names() == ["run"]


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_without_its_marker_nothing_is_removed(harm: Callable[[Path], object], tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    publish(store)
    stores.commit(store, "a", 2)
    harm(store.places.marker)
    before = tree(store.root)
    with pytest.raises((Lost, Damaged), match=r"verify --repair"):
        gc(store, older_than=0)
    assert tree(store.root) == before
    assert repair(store, verify.verify(store)) == []
    assert f"stages/a/{stores.key('a', 2)}" in gc(store, older_than=0)


def begin(store: Store, barrier: threading.Barrier, errors: list[Exception]) -> None:
    barrier.wait()
    try:
        publish(store)
    except Exception as error:
        errors.append(error)


def test_two_who_begin_a_store_at_once_agree(tmp_path: Path) -> None:
    for number in range(20):
        store, barrier, errors = Store(tmp_path / str(number)), threading.Barrier(4), list[Exception]()
        threads = [threading.Thread(target=begin, args=(store, barrier, errors)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (errors, store.versions("run"), verify.verify(store)) == ([], [1], [])
        assert list(store.places.tmp.iterdir()) == []


# Format 1


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return formats.unpack("format1", tmp_path)


def test_a_store_of_format_1_is_adopted_at_the_next_write(old: Path) -> None:
    store, before = Store(old), tree(old)
    assert marker.recognise(store.places) is Kind.UNMARKED
    assert verify.verify(store) == []
    with pytest.raises(Lost, match=r"of format 1"):
        gc(store, older_than=0)
    assert not (old / MARKER).exists()
    numbers = store.versions("small")
    assert store.rollback("small", 1) == numbers[-1] + 1
    assert is_store(old)
    assert tree(old).items() >= before.items()
    assert verify.verify(store) == []
    assert all(path.startswith("stages/noise/") for path in gc(store, older_than=0))  # which no version names


def test_a_store_of_format_1_that_is_swept_as_it_is(old: Path) -> None:
    assert all(path.startswith("stages/noise/") for path in gc(Store(old), older_than=0, accept_lost=True))
    assert (stores.broken_versions(Store(old)), verify.verify(Store(old))) == ([], [])


def test_a_run_of_format_1_that_never_published_goes_on(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    stores.commit(store, "a", 1)
    for path in (store.places.marker, store.places.published):
        path.unlink()
    assert marker.recognise(store.places) is Kind.UNMARKED
    assert publish(store) == 1
    assert verify.verify(store) == []


# A newer store


def make_marker_newer(root: Path) -> None:
    (root / MARKER).write_bytes(seal({"actlas": FORMAT + 1, "id": "0"}))


def make_version_newer(root: Path) -> None:
    record = {"actlas": FORMAT + 1, "name": "small", "number": 2, "previous": None, "about": {}, "stages": []}
    for suffix in ("", ".copy"):
        (root / "runs" / "small" / f"2.json{suffix}").write_bytes(seal(record))


def make_manifest_newer(root: Path) -> None:
    for path in (root / "stages" / "listing").glob("*/manifest.json"):
        path.write_bytes(seal({"actlas": FORMAT + 1}))


@pytest.mark.parametrize("change", [make_marker_newer, make_version_newer, make_manifest_newer])
def test_a_newer_store_is_refused_in_one_line_and_stays_as_it_is(
    change: Callable[[Path], None], old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(old)
    before = trees.contents(old)
    questions = (["runs", "list"], ["runs", "show", "small"], ["top", "small", "2:3"], ["sql", "small", "select 1"])
    writes = (
        ["verify"],
        ["verify", "--repair"],
        ["gc", "--older-than", "0"],
        ["runs", "keep", "1", "--older-than", "0"],
    )
    for arguments in (*questions, *writes, ["runs", "rollback", "small", "1"]):
        capsys.readouterr()
        code = invoke([*arguments, "--store", str(old)])
        output = capsys.readouterr()
        allowed = change is make_manifest_newer and arguments[0] in ("runs", "top", "sql", "gc")
        if not allowed:
            assert (code, len(output.err.splitlines())) == (1, 1), (arguments, output)
            assert "install a newer actlas" in output.err, (arguments, output)
        assert "Traceback" not in output.err
    kept = {name: data for name, data in trees.contents(old).items() if not name.startswith("locks/")}
    if change is not make_manifest_newer:
        assert kept == {name: data for name, data in before.items() if not name.startswith("locks/")}


def test_a_newer_record_is_no_damage(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    publish(store)
    make_marker_newer(store.root)
    for act in (lambda: publish(store, 2), lambda: gc(store), lambda: verify.verify(store), lambda: repair(store, [])):
        with pytest.raises(Newer):
            act()


def test_mutant_any_folder_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setattr(marker, "claim", lambda places: None)
    publish(Store(tmp_path))
    assert verify.verify(Store(tmp_path))[-1].kind == "foreign"


def test_mutant_a_marker_that_is_not_linked_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies between creating and filling the marker leaves a damaged one."""
    monkeypatch.setattr(marker, "_create", lambda places, path, data: path.write_bytes(b""))
    publish_fails = Store(tmp_path / "store")
    with pytest.raises(Damaged):
        publish(publish_fails)
