"""What only real processes and real disks can show: races, sudden death, no room."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import filling, stores, warm
from support.disks import remount
from support.trees import strays, tree

from storage.errors import NoSpace
from storage.store.gc import gc
from storage.store.store import Store
from storage.store.verify import verify

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture
def racer(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of a writer."""
    return warm.program(tmp_path_factory, tmp_path, "racer", "support.racing")


def race(racer: Path, root: Path, writers: int, rounds: int, *how: str) -> list[list[int]]:
    """Start writers, let them go at the same moment, and return the versions that each has published."""
    command = [str(racer), str(root)]
    started = [
        subprocess.Popen(
            [*command, str(who), str(rounds), *how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for who in range(writers)
    ]
    time.sleep(0.5)
    for process in started:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    ended = [process.communicate(timeout=3000) for process in started]
    if not how:
        assert [process.returncode for process in started] == [0] * writers, ended
    ends = [json.loads(out) if out.strip() else {"published": [], "alarms": []} for out, _ in ended]
    assert how or [alarm for end in ends for alarm in end["alarms"]] == []
    return [end["published"] for end in ends]


def lost(root: Path, writers: int, rounds: int, published: list[list[int]]) -> list[str]:
    """Say what is missing or there twice after a race."""
    store = Store(root)
    numbers = sorted(number for each in published for number in each)
    found = [] if numbers == list(range(1, writers * rounds + 1)) else [f"versions {numbers}"]
    for who, each in enumerate(published):
        for number, version in enumerate(each):
            about = dict(store.version("run", version).about)
            found += [] if about == {"who": who, "number": number} else [f"version {version} is {about}"]
    expected = {("own", n) for n in range(writers * rounds)} | {("shared", n) for n in range(rounds)}
    there = {(result.stage, result.counts["number"]) for stage in ("own", "shared") for result in store.results(stage)}
    return [*found, *map(str, expected ^ there), *stores.wrong(store), *map(str, verify(store))]


def test_writers_who_race_lose_nothing(racer: Path, tmp_path: Path) -> None:
    published = race(racer, tmp_path / "store", 4, 12)
    assert lost(tmp_path / "store", 4, 12, published) == []
    assert strays(tmp_path / "store") == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_thousand_publishes_lose_nothing(racer: Path, memory: Path) -> None:
    """In memory: on a disk, the writers would wait for its syncs and not for each other."""
    published = race(racer, memory / "store", 4, 500)
    assert lost(memory / "store", 4, 500, published) == []
    assert strays(memory / "store") == []


@pytest.mark.sweep
def test_mutant_publish_that_replaces(racer: Path, tmp_path: Path) -> None:
    published = race(racer, tmp_path / "store", 4, 12, "unsafe")
    assert lost(tmp_path / "store", 4, 12, published) != []


def test_a_lock_goes_with_its_holder(tmp_path: Path) -> None:
    """SIGKILL in the middle of a draft: the run's lock is free within a second, and gc takes what is left."""
    code = (
        "import sys, time; from pathlib import Path; from storage.store.store import Store; store = Store(Path(sys.argv[1]))\n"
        "with store.lock('run'), store.draft('a', '0' * 32) as draft:\n"
        "    (draft.path / 'half').write_bytes(b'x'); print('ready', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "store")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=SUPPORT.parents[1]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    killed = time.monotonic()
    store = Store(tmp_path / "store")
    with store.lock("run"):
        assert time.monotonic() - killed < 1
    assert strays(store.root) != []
    gc(store, older_than=0)
    assert strays(store.root) == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tree that `filling` makes where there is room."""
    root = tmp_path_factory.mktemp("whole")
    filling.fill(Store(root))
    return tree(root)


def told_when_filling(root: Path) -> NoSpace | None:
    try:
        filling.fill(Store(root))
    except NoSpace as error:
        return error
    return None


@pytest.mark.parametrize("kilobytes", [60, 160, 290, 420, 560])
def test_a_full_disk_is_said_and_costs_nothing(kilobytes: int, small_disk: Path, whole: dict[str, str]) -> None:
    """Version 1 stays readable, the message names bytes, and after making room the rerun ends in the same bytes."""
    remount(small_disk, f"{kilobytes}k")
    store = Store(small_disk / "store")
    first = stores.contents([stores.commit(store, "b", 1)])
    store.publish("before", first)
    told = told_when_filling(store.root)
    assert told is not None
    assert told.free < told.needed < 1_000_000
    assert f"{told.needed:,} bytes" in str(told)
    assert "make room" in str(told)
    assert store.version("before").contents == first
    assert verify(store) == []
    assert strays(store.root) == []
    remount(small_disk, "4m")
    assert told_when_filling(store.root) is None
    assert verify(store) == []
    assert whole.items() <= tree(store.root).items()


@pytest.mark.parametrize("limit", [0, 100_000])
def test_files_that_may_not_grow_are_no_different(limit: int, tmp_path: Path, whole: dict[str, str]) -> None:
    command = [sys.executable, str(SUPPORT / "filling.py"), str(tmp_path / "store"), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "needs at least" in done.stdout, done.stderr
    assert strays(tmp_path / "store") == []
    assert told_when_filling(tmp_path / "store") is None
    assert tree(tmp_path / "store") == whole


def test_mutant_store_that_says_nothing_of_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the translation the caller gets a bare OSError, which no command line can explain."""
    from contextlib import nullcontext

    from support import faults

    from storage.store import drafts

    for expected, patch in ((NoSpace, False), (OSError, True)):
        if patch:
            monkeypatch.setattr(drafts, "raising_no_space", lambda *_: nullcontext())
        with faults.striking(tmp_path, "ENOSPC", 12), pytest.raises(expected):
            stores.commit(Store(tmp_path / "store"), "a", 1)


def test_reading_loads_little() -> None:
    code = (
        "import sys, storage.store.store, storage.artefacts.tables, storage.store.verify, storage.store.gc, storage.store.repair\n"
        "print([name for name in ('torch', 'zarr', 'prefect', 'pandas', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=SUPPORT.parents[1])
    assert done.stdout.strip() == "[]", done.stderr
