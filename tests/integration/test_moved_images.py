"""Runs over a folder that lives: what moved is not computed again, what changed is, and the first living images are used."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import corpus, histories
from support.datasets import write_parquet, write_tar

from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.planning.tasks import Outcome, Task
from flows.stages.shared import contents
from storage.artefacts import tables
from storage.images import listing
from storage.run import open_run


def run(images: Path, store: Path, **changes: object) -> dict[str, int]:
    """Run up to collect; return how many results of each stage were computed."""
    settings: dict[str, object] = {"until": "collect", "max_rejected": 1.0} | changes
    summary = pipeline.run(corpus.config(images, store, **settings), Inline())
    computed = [outcome.output.stage for outcome in summary.outcomes if outcome.computed]
    return {stage: computed.count(stage) for stage in sorted(set(computed))}


def used(store: Path) -> dict[str, str]:
    """Return the images that the current version read, by key, each with the hash of what was read."""
    run = open_run(store, "small")
    keys = dict(
        zip(*(run.images().select(["image_id", "key"])[name].to_pylist() for name in ("image_id", "key")), strict=True)
    )
    facts = [tables.read_table(shard.file("images.parquet")) for shard in run.results("images")]
    return {keys[row["image_id"]]: row["sha256"] for table in facts for row in table.to_pylist()}


def on_disk(images: Path) -> dict[str, str]:
    files = (path for path in images.rglob("*") if path.is_file())
    return {path.relative_to(images).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return corpus.write_images(tmp_path / "images", 24)


def rename_folders(images: Path) -> None:
    for folder in sorted(images.iterdir()):
        folder.rename(folder.with_name(f"renamed-{folder.name}"))


def copy_all(images: Path) -> None:
    images.rename(images.parent / "old")
    shutil.copytree(images.parent / "old", images, copy_function=shutil.copy)
    for number, path in enumerate(sorted(images.rglob("*.png"))):
        os.utime(path, ns=(number, number))


def swap(images: Path) -> None:
    a, b = sorted(images.rglob("*.png"))[:2]
    shutil.move(a, images / "aside")
    shutil.move(b, a)
    shutil.move(images / "aside", b)


def shift(images: Path) -> None:
    """Move each file to the name of the next one, the last to a new one."""
    files = [*sorted(images.rglob("*.png")), images / "last.png"]
    for number in reversed(range(len(files) - 1)):
        files[number].rename(files[number + 1])


MOVES = [rename_folders, copy_all, swap, shift]


@pytest.mark.parametrize("move", MOVES)
def test_moved_images_are_not_computed_again(images: Path, tmp_path: Path, move: Callable[[Path], None]) -> None:
    run(images, tmp_path / "store", limit=20)
    before = set(used(tmp_path / "store").values())
    move(images)
    assert run(images, tmp_path / "store", limit=20).keys() <= {"listing", "labels"}
    after = used(tmp_path / "store")
    assert (set(after.values()), len(after)) == (before, 20)
    assert after.items() <= on_disk(images).items()
    assert run(images, tmp_path / "store", limit=20) == {}


def test_mutant_without_contents_all_is_computed_again(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "known", lambda *_: None)
    with pytest.raises(AssertionError):
        test_moved_images_are_not_computed_again(images, tmp_path, swap)


def test_mutant_stamps_that_follow_the_clock_compute_again(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_stamps", lambda fresh, *_: fresh["mtime_ns"].to_numpy())
    with pytest.raises(AssertionError):
        test_moved_images_are_not_computed_again(images, tmp_path, copy_all)


@pytest.mark.parametrize("keep_time", [False, True])
def test_a_changed_image_is_computed_again(images: Path, tmp_path: Path, keep_time: bool) -> None:
    """Also where its time is that of its first content: since then it was another."""
    store = tmp_path / "store"
    run(images, store)
    path = sorted(images.rglob("*.png"))[7]
    first = path.stat().st_mtime_ns
    os.utime(path, ns=(1, 1))
    assert run(images, store) == {"listing": 1}
    path.write_bytes(path.read_bytes()[:-1] + b"x")  # behind the end of the picture
    if keep_time:
        os.utime(path, ns=(first, first))
    assert run(images, store) == {"listing": 1, "images": 1, "collect": 2}
    assert used(store) == on_disk(images)


def test_a_changed_image_that_moves_too_is_new(images: Path, tmp_path: Path) -> None:
    run(images, tmp_path / "store")
    rename_folders(images)
    path = sorted(images.rglob("*.png"))[7]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert run(images, tmp_path / "store")["images"] == 2  # the shard that lost it, and the last one, which got it
    assert used(tmp_path / "store") == on_disk(images)


def test_what_a_killed_run_has_read_is_known(images: Path, tmp_path: Path) -> None:
    class Killed(Inline):
        def run(self, tasks: list[Task]) -> list[Outcome]:  # type: ignore[override]
            super().run(tasks)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.run(corpus.config(images, tmp_path / "store", until="collect"), Killed())
    rename_folders(images)
    assert run(images, tmp_path / "store").keys() <= {"listing", "labels"}


def write_tars(folder: Path, images: Path) -> None:
    folder.mkdir()
    files = sorted(images.rglob("*.png"))
    for number in range(3):
        write_tar(folder / f"{number}.tar", [(file.name, file.read_bytes()) for file in files[number::3]])


def write_tables(folder: Path, images: Path) -> None:
    folder.mkdir()
    files = sorted(images.rglob("*.png"))
    for number in range(3):
        content = {f"{file.parent.name}/{file.name}": file.read_bytes() for file in files[number::3]}
        write_parquet(folder / f"{number}.parquet", content)


@pytest.mark.parametrize("write", [write_tars, write_tables])
def test_containers_may_be_renamed_touched_and_swapped(
    images: Path, tmp_path: Path, write: Callable[[Path, Path], None]
) -> None:
    folder, store = tmp_path / "packed", tmp_path / "store"
    write(folder, images)
    run(folder, store, limit=20)
    before = set(used(store).values())
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(path.with_stem(f"renamed-{(number + 1) % 3}"))
        os.utime(path.with_stem(f"renamed-{(number + 1) % 3}"), ns=(number, number))
    assert run(folder, store, limit=20).keys() <= {"listing", "labels"}
    assert set(used(store).values()) == before
    assert run(folder, store, limit=20) == {}


def test_images_packed_anew_stay_in_their_shards(images: Path, tmp_path: Path) -> None:
    folder, store = tmp_path / "packed", tmp_path / "store"
    write_tars(folder, images)
    run(folder, store)
    shutil.rmtree(folder)
    folder.mkdir()
    files = sorted(images.rglob("*.png"), reverse=True)
    write_tar(folder / "all.tar", [(f"{file.parent.name}/{file.name}", file.read_bytes()) for file in files])
    assert run(folder, store).keys() <= {"listing", "labels"}


def replay(tmp_path: Path, seed: int, steps: int) -> list[str]:
    """Live through a random history; tell where the images used are not the first seven that are there."""
    folder, store, model, wrong = tmp_path / "images", tmp_path / "store", histories.Identities(), []
    changing = histories.Folder(folder, seed, histories.small_pictures())
    for step in range(steps):
        run(folder, store, limit=7, shard_size=4)
        read, there = used(store), on_disk(folder)
        if sorted(read) != sorted(model.listed(changing.state(), 7)) or len(read) != min(7, len(there)):
            wrong.append(f"step {step}: images")
        if not read.items() <= there.items():
            wrong.append(f"step {step}: contents")
        changing.change()
    return wrong


@pytest.mark.parametrize("seed", range(2))
def test_the_first_living_images_are_used(tmp_path: Path, seed: int) -> None:
    assert replay(tmp_path, seed, 5) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 200))
def test_the_first_living_images_are_used_through_100_histories(tmp_path: Path, seed: int) -> None:
    assert replay(tmp_path, seed, 8) == []
