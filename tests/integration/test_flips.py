"""A flipped bit anywhere in a store, without `verify`: each answer is the undamaged one, or an error that names the file."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from support import answering, viewing

from storage.errors import Damaged
from storage.store import results
from storage.store.places import HAPPENED, MANIFEST
from storage.store.results import Result

NAME = "small"
ASKED = 2
"""Questions that are asked after a flip, of those that read the file; the sweep asks them all."""


class Asked:
    """The questions about a store with their undamaged answers, and those that read each file."""

    def __init__(self, store: Path) -> None:
        self.store, self.questions = store, answering.questions(str(store), NAME)
        self.answers: dict[str, str] = {}
        self.readers: dict[Path, list[str]] = {}
        for title, question in self.questions.items():
            with answering.reading() as seen:
                self.answers[title] = plain(question(str(store)))
            for path in seen:
                self.readers.setdefault(path, []).append(title)
        for path in sorted((store / "runs").rglob("*.json*")):
            self.readers[path] = list(self.questions)

    def wrong(self, path: Path, bit: int, titles: Iterable[str]) -> list[str]:
        """Flip a bit of a file; name the answers that are neither the undamaged one nor an error that names the file."""
        data, status = path.read_bytes(), path.stat()
        times = (status.st_atime_ns, status.st_mtime_ns)  # a version's is the time it was published at
        path.write_bytes(flipped(data, bit))
        os.utime(path, ns=times)
        try:
            return [f"{title}: bit {bit} of {path}" for title in titles if not self._holds(title, path)]
        finally:
            path.write_bytes(data)
            os.utime(path, ns=times)

    def _holds(self, title: str, path: Path) -> bool:
        try:
            return plain(self.questions[title](str(self.store))) == self.answers[title]
        except Damaged as damage:
            return names(str(damage), path.relative_to(self.store))


def plain(answer: Any) -> str:
    return repr(answer) if isinstance(answer, bytes) else json.dumps(answer, sort_keys=True, default=repr)


def names(message: str, path: Path) -> bool:
    """Tell whether a message names a file of the store."""
    top, place = path.parts[0], path.as_posix()
    words = [word[word.index(f"{top}/") :] for word in message.split() if f"{top}/" in word]
    return any(word.strip("'\"():;,") == place for word in words)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    _, store = viewing.shared_run(tmp_path_factory)
    return Asked(viewing.copied(store, tmp_path_factory.mktemp("flips")))


def after_flips(
    asked: Asked, count: int, seed: int, suitable: Callable[[Path], bool] = lambda path: True, most: int = ASKED
) -> list[str]:
    """Flip one bit after another, each in a file drawn anew, and ask at most so many of the questions that read it."""
    rng, wrong = random.Random(seed), []
    files = sorted(path for path in asked.readers if path.is_file() and path.stat().st_size and suitable(path))
    for _ in range(count):
        path = rng.choice(files)
        readers = asked.readers[path]
        titles = rng.sample(readers, min(most, len(readers)))
        wrong += asked.wrong(path, rng.randrange(8 * path.stat().st_size), titles)
    return wrong


def test_every_stage_is_asked_for(asked: Asked) -> None:
    """What no question reads is not damaged here; the tests of verify cover it."""
    read = {path.relative_to(asked.store).parts[1] for path in asked.readers if path.name not in (MANIFEST, HAPPENED)}
    assert {path.name for path in (asked.store / "stages").iterdir()} - read <= {"moment", "icon_parts"}


@pytest.mark.sweep
def test_a_flipped_bit_changes_no_answer(asked: Asked) -> None:
    assert after_flips(asked, 45, 0) == []


def test_flipped_bits_of_pictures_and_records_change_no_answer(asked: Asked) -> None:
    assert after_flips(asked, 15, 1, whole) == []


@pytest.mark.slow
def test_a_thousand_flipped_bits_change_no_answer(asked: Asked) -> None:
    """What does not read a file cannot answer otherwise, so that these are all questions there are."""
    assert after_flips(asked, 1000, 2, most=len(asked.questions)) == []


def whole(path: Path) -> bool:
    """Tell whether a file is one that is read whole and compared with its hash."""
    record = path.suffix == ".json" and path.name not in (MANIFEST, HAPPENED, "zarr.json")
    return path.suffix == ".webp" or (record and "stages" in path.parts)


def test_mutant_records_and_tiles_read_by_their_size(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Result, "data", lambda self, name: self.file(name).read_bytes())
    unread: list[str] = []
    for seed in range(20):
        try:
            unread += after_flips(asked, 10, seed, whole)
        except Exception:  # the answer of a question over damaged bytes may be any error
            unread.append("an error that names nothing")
        if unread:
            return
    pytest.fail("no flipped bit was seen")


def test_mutant_manifests_read_without_their_hash(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "unseal", lambda data, *names: json.loads(data))
    path = next(path for path in asked.readers if path.name == HAPPENED)
    data = path.read_bytes()
    bit = 8 * data.index(b'"torch":"') + 8 * len('"torch":"')
    assert asked.wrong(path, bit, ["page libraries"])
