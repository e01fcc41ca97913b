"""Commands on a disk that fails: one line, an exit code, and neither another answer nor a file moved or changed."""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import corpus, faults, formats, viewing
from support.trees import strays, tree

from flows import cli
from flows.pipeline import retry
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.viewer import assets
from flows.viewer.answers import catalogue
from storage.artefacts import tables
from storage.store import disk, reading, verify
from storage.store.result_checks import faults as real_faults
from storage.store.store import Store

QUESTIONS = {
    "list": ("runs", "list", "--json"),
    "show": ("runs", "show", "small", "--json"),
    "top": ("top", "small@2", "2:3", "--json"),
    "unit": ("unit", "small@2", "2:3", "--json"),
    "cell": ("cell", "small@2", "2", "2", "0,0", "--json"),
    "sql": ("sql", "small@2", "select count(*) n, sum(value) s from patches", "--json"),
    "compare": ("compare", "small@1", "small@2", "--no-noise", "--json"),
    "verify": ("verify",),
    "repair": ("verify", "--repair"),
    "gc": ("gc", "--dry-run", "--older-than", "0"),
    "export": ("export", "small", "PAGE"),
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    built = viewing.page()
    monkeypatch.setattr(assets, "load", lambda: built)
    monkeypatch.setattr(verify, "SETTLE", 0.0)
    monkeypatch.setattr(retry, "PAUSE", 0.0)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of format 1 that was adopted, without the results that no version names."""
    store = formats.unpack("format1", tmp_path_factory.mktemp("kept"))
    assert cli.invoke(["gc", "--accept-lost", "--older-than", "0", "--store", str(store)]) == 0
    return store


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def say(store: Path, question: str) -> Said:
    """Ask a question of the command line; the page of an export goes beside the store."""
    page = store.parent / "page"
    shutil.rmtree(page, ignore_errors=True)
    arguments = [str(page) if part == "PAGE" else part for part in QUESTIONS[question]]
    out, err = io.StringIO(), io.StringIO()
    tables._checked_footer.cache_clear()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.invoke([*arguments, "--store", str(store)])
    left = "" if not page.exists() or code == 0 else "half a page"
    return Said(code, out.getvalue() + left, err.getvalue())


def wrong_of(store: Path, question: str, points: int) -> tuple[int, list[str]]:
    """Let reads fail at some points, in each way in turn, or at all in every way if there are fewer.

    Return the number of trials, and what is wrong in any of them.
    """
    whole, before, wrong = say(store, question), tree(store), list[str]()
    assert whole.code == 0, whole
    with reading.intercepted(counting := faults.ReadFault()):
        say(store, question)
    chosen = range(1, counting.count + 1, max(1, counting.count // points))
    in_turn = [(at, faults.READS[index % len(faults.READS)]) for index, at in enumerate(chosen)]
    trials = in_turn if len(chosen) >= points else list(itertools.product(chosen, faults.READS))
    for at, kind in trials:
        code = faults.CODES[at % len(faults.CODES)]
        with reading.intercepted(faults.ReadFault(kind, at, code)):
            said = say(store, question)
        wrong += [f"{question} {kind} {code} at {at}: {each}" for each in judge(said, whole)]
        wrong += [f"{question} {kind} {code} at {at}: the store changed"] if tree(store) != before else []
        moved = [name for name in strays(store) if "aside" in name]  # scratch space that can't be cleared is left to gc
        wrong += [f"{question} {kind} {code} at {at}: {moved}"] if moved else []
    return len(trials), wrong


def judge(said: Said, whole: Said) -> list[str]:
    """Say what is wrong with an answer under faults."""
    if "Traceback" in said.err:
        return ["a traceback"]
    if said.code == 0:
        return [] if said.out == whole.out else [f"another answer: {said.out[:200]}"]
    named = ("cannot be read" in said.err or "unreadable" in said.out) and "cannot be mended" not in said.err
    healthy = "--repair" in said.err or "is damaged" in said.err
    return ([] if named else [f"no error of the system: {said.err}"]) + (["called damage"] if healthy else [])


@pytest.mark.sweep
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_failed_read_is_said_and_changes_nothing(question: str, kept: Path) -> None:
    trials, wrong = wrong_of(kept, question, 6)
    assert (trials >= 6, wrong) == (True, [])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("question", QUESTIONS)
def test_failed_reads_at_many_points(question: str, kept: Path) -> None:
    assert wrong_of(kept, question, 150)[1] == []


PAGES = ("/small", "/small@2", "/small@1/atlas/2", "/small@2/unit/2:3", "/small/image/1", "/compare/small@1..small@2")


def answers_under_faults(store: Path, points: int, every: int = 1) -> list[str]:
    """Ask the viewer for its answers and pictures, or some of them, while reads fail; say what is wrong."""
    wrong: list[str] = []
    asked = formats.addresses(viewing.client(store), formats.cell(store))
    kinds = {
        kind: f"/{'api/1/runs' if kind in catalogue.ANSWERS else 'pictures'}/small/current/{kind}" for kind in asked
    }
    for kind, address in list((kinds | {page: page for page in PAGES}).items())[::every]:
        parameters = asked.get(kind, {})
        with reading.intercepted(counting := faults.ReadFault()):
            whole = viewing.client(store).get(address, params=parameters)
        for number in range(points):
            at, how = 1 + number * counting.count // points, faults.READS[number % 4]
            tables._checked_footer.cache_clear()
            with reading.intercepted(faults.ReadFault(how, at, faults.CODES[number % 4])):
                answer = viewing.client(store).get(address, params=parameters)
            same = (answer.status_code, answer.content) == (whole.status_code, whole.content)
            said = answer.status_code == 500 and "cannot be read" in answer.text and "--repair" not in answer.text
            wrong += [] if same or said else [f"{kind} {how} at {at}: {answer.status_code} {answer.text[:200]}"]
    return wrong


def test_the_viewer_says_what_it_could_not_read(kept: Path) -> None:
    assert answers_under_faults(kept, 2, every=6) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_viewer_at_many_points(kept: Path) -> None:
    assert answers_under_faults(kept, 40) == []


def test_no_question_to_the_viewer_takes_a_version_that_cannot_be_read_for_none(kept: Path) -> None:
    """Whatever is asked about, that version or the one before it."""
    for number in (1, 2):
        client, asked = viewing.client(kept), formats.addresses(viewing.client(kept), formats.cell(kept))

        def fail(operation: str, path: Path, stem: str = f"{number}.json") -> None:
            if operation != "list" and path.name.startswith(stem):
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

        with reading.intercepted(fail):
            moved = client.get("/api/1/runs/small/2/moved", params=asked["moved"])
            pages = [client.get(page).status_code for page in PAGES]
        assert (moved.status_code, "cannot be read" in moved.text) == (500, True), moved.text
        assert pages == [200] * len(PAGES)
    assert client.get("/small/9").status_code == 404
    assert (
        client.get("/api/1/runs/small/2/moved", params={"layer": "2", "since": "small@9-00000000"}).status_code == 404
    )


def test_mutant_damage_is_told_from_errors_of_the_system(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MISSING", reading.MISSING | set(faults.CODES))
    with contextlib.suppress(OSError):
        assert wrong_of(kept, "list", 6)[1] != []


# A run: what it had stays, and the same command ends in the same bytes


def run_under(images: Path, store: Path, hooks: Callable[[], contextlib.AbstractContextManager[object]]) -> str:
    """Run while the disk fails; return the kind of error, empty if there was none."""
    try:
        with hooks():
            pipeline.run(corpus.config(images, store, until="patches"), Inline())
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def run_at(folder: Path, points: int) -> list[str]:
    """Let runs fail at points spread over their reads and changes; say what is wrong after the next run."""
    images = corpus.write_images(folder / "images", 12)
    whole = folder / "whole"
    counting, changes = faults.ReadFault(), faults.Fault(whole)
    with reading.intercepted(counting), disk.intercepted(changes):
        pipeline.run(corpus.config(images, whole, until="patches"), Inline())
    wrong = []
    for number in range(points):
        store = folder / f"store{number}"
        at = 1 + number * counting.count // points
        fault = faults.ReadFault(faults.READS[number % 4], at, faults.CODES[number % 3])
        change = faults.Fault(
            store, ("EIO", "ENOSPC", "EIO after")[number % 3], 1 + number * len(changes.seen) // points
        )
        hooks = (
            (lambda hook=fault: reading.intercepted(hook))
            if number % 2
            else (lambda hook=change: disk.intercepted(hook))
        )
        said = run_under(images, store, hooks)
        wrong += [f"{number}: {said}"] if "Damaged" in said or "repair" in said else []
        run_under(images, store, contextlib.nullcontext)
        wrong += [f"{number}: other bytes after {said}"] if tree(store) != tree(whole) else []
        wrong += [f"{number}: {each}" for each in real_faults(verify.verify(Store(store)))]
        shutil.rmtree(store)
    return wrong


def test_a_run_on_a_failing_disk_ends_in_the_same_bytes(tmp_path: Path) -> None:
    assert run_at(tmp_path, 4) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_runs_on_a_failing_disk_end_in_the_same_bytes(tmp_path: Path) -> None:
    assert run_at(tmp_path, 300) == []
