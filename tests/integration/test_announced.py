"""Announced weights are published, whatever dies in between: they wait in the store until a version has them."""

from __future__ import annotations

import itertools
import json
import logging
import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from support import corpus
from support.faults import Fault, Killed

from flows import progress
from flows.config import RunConfig
from flows.pipeline import model_updates
from flows.pipeline import run as pipeline
from flows.pipeline.engines import Inline
from flows.pipeline.model_updates import Update
from flows.scheduling import serve, update_events
from flows.scheduling.states import ServerUnreachable
from storage.store import disk
from storage.store.store import Store


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"), 8)


@dataclass
class Served:
    """A run, its first weights, and what its processes say."""

    folder: Path
    config: RunConfig
    said: list[str] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return Path(self.config.store) / "updates" / "small.json"

    def weights(self, number: int) -> Path:
        """Write weights that no other number has; the first layers stay, so that little is computed."""
        net = corpus.net()
        with torch.no_grad():
            net.features[3].weight.mul_(1 + number / 100)
        torch.save(net.state_dict(), self.folder / f"{number}.pt")
        return self.folder / f"{number}.pt"

    def announce(self, number: int) -> Update:
        update = model_updates.announce("small", str(self.weights(number)))
        assert model_updates.keep(self.config.store, update)
        return update

    def regenerate(self, update: Update) -> None:
        """Do what the flow of that name does, without a server."""
        model_updates.keep(self.config.store, update)
        details = {"weights": update.weights, "sha256": update.sha256, "announced": update.announced}
        pipeline.run(
            self.config,
            Inline(),
            settle=lambda _: model_updates.regeneration(self.config.store, "small", **details),
            announced=update.announced,
        )

    def tick(self) -> None:
        """Do what a scheduled run does."""
        pipeline.run(self.config, Inline(), settle=model_updates.follow)

    def published(self) -> str:
        return Path(Store(Path(self.config.store)).version("small").about["config"]["weights"]).name


@pytest.fixture
def served(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Served:
    config = corpus.config(images, tmp_path / "store", weights=str(tmp_path / "0.pt"), until="collect")
    run = Served(tmp_path, config)
    run.weights(0)
    pipeline.run(config, Inline())
    monkeypatch.setattr(progress.Quiet, "say", lambda self, text: run.said.append(text))
    return run


def test_a_scheduled_run_publishes_what_waits_and_then_nothing_waits(served: Served) -> None:
    update = served.announce(1)
    served.tick()
    assert (served.published(), served.file.exists()) == ("1.pt", False)
    about = Store(Path(served.config.store)).version("small").about
    assert about["weights"] == {"sha256": update.sha256, "announced": update.announced}
    served.regenerate(update)  # the event arrives all the same
    assert Store(Path(served.config.store)).versions("small") == [1, 2]
    assert not served.file.exists()


def test_the_last_announcement_stands_in_whatever_order_they_come(served: Served) -> None:
    first, last = served.announce(1), served.announce(2)
    assert (
        not model_updates.keep(served.config.store, first)
        or model_updates.pending(served.config.store, "small") == last
    )
    served.regenerate(first)
    assert served.published() == "2.pt"
    model_updates.keep(served.config.store, first)  # arrives after the later one is published
    assert model_updates.pending(served.config.store, "small") is None
    served.tick()
    assert (served.published(), served.file.exists()) == ("2.pt", False)


@pytest.mark.parametrize("spoil", [Path.unlink, lambda file: file.write_bytes(b"another")])
def test_an_announced_file_that_is_gone_or_changed_is_said_and_left_out(
    served: Served, spoil: Callable[[Path], None]
) -> None:
    update = served.announce(1)
    whole = Path(update.weights).read_bytes()
    spoil(Path(update.weights))
    served.tick()
    assert served.published() == "0.pt"
    assert [text for text in served.said if "is left out: weights" in text and "1.pt" in text]
    assert [text for text in served.said if text.endswith("wait for the next scheduled run")]
    Path(update.weights).write_bytes(whole)
    served.tick()
    assert served.published() == "1.pt"


def test_a_run_that_changes_the_weights_overrules_what_waits(served: Served) -> None:
    served.announce(1)
    pipeline.run(served.config, Inline())  # the same weights as before: no choice
    assert served.file.exists()
    pipeline.run(served.config.model_copy(update={"weights": str(served.weights(2))}), Inline())
    assert served.said[-1].endswith("are left out, since this run names others")
    served.tick()
    assert (served.published(), served.file.exists()) == ("2.pt", False)


def test_an_announcement_comes_before_the_first_version(images: Path, tmp_path: Path) -> None:
    config = corpus.config(images, tmp_path / "store", name="first", weights=str(tmp_path / "0.pt"), until="collect")
    run = Served(tmp_path, config)
    pipeline.run(config.model_copy(update={"name": "other", "weights": str(run.weights(0))}), Inline())
    model_updates.keep(config.store, model_updates.announce("first", str(run.weights(1))))
    run.tick()
    assert Store(Path(config.store)).version("first").about["config"]["weights"] == str(tmp_path / "1.pt")


def test_a_damaged_announcement_is_said_and_replaced(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    served.announce(1)
    served.file.write_bytes(served.file.read_bytes().replace(b"1.pt", b"7.pt"))
    with caplog.at_level(logging.WARNING):
        served.tick()
    assert served.published() == "0.pt"
    assert "updates/small.json is damaged" in caplog.text
    served.announce(2)
    served.tick()
    assert served.published() == "2.pt"


def test_it_is_kept_before_it_is_sent_and_where_it_cannot_be_kept_it_is_said(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lost(_: Update) -> list[str]:
        raise ServerUnreachable("the update was not sent")

    monkeypatch.setattr(update_events, "emit", lost)
    update = model_updates.announce("small", str(served.weights(1)))
    with pytest.raises(ServerUnreachable, match="not sent; the next scheduled run uses the weights anyway"):
        serve.announce(update, served.config.store)
    assert json.loads(served.file.read_bytes())["weights_sha256"] == update.sha256
    with caplog.at_level(logging.WARNING), pytest.raises(ServerUnreachable, match=r"not sent$"):
        serve.announce(update, str(served.folder / "nowhere"))
    assert f"{served.folder}/nowhere is not a store" in caplog.text
    assert not (served.folder / "nowhere").exists()


Keep = Callable[[str, Update], bool]


def killed_updates(served: Served, seed: int, count: int) -> list[str]:
    """Announce `count` updates, regenerate for half of them and be killed on the way; tell which ticks published others."""
    rng, wrong = random.Random(seed), []
    for number in range(1, count + 1):
        update = served.announce(number)
        if rng.random() < 0.5:
            with (
                pytest.raises(Killed),
                disk.intercepted(Fault(Path(served.config.store), "kill before", rng.randrange(1, 40))),
            ):
                served.regenerate(update)
        if rng.random() < 0.5 or number == count:
            served.tick()
            wrong += [] if served.published() == f"{number}.pt" else [f"update {number}"]
    return wrong


def test_the_last_announced_is_published_though_regenerations_are_killed(served: Served) -> None:
    assert killed_updates(served, 0, 4) == []


def test_mutant_announcements_that_are_not_kept_are_lost(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_updates, "keep", lambda *_: True)
    assert killed_updates(served, 0, 2) != []


def test_an_announcement_that_dies_leaves_the_last_one_or_this_one(served: Served) -> None:
    for at in range(1, 12):
        last = served.announce(1)
        update = Update(name="small", weights=last.weights, sha256="0" * 64, announced=model_updates.now())
        try:
            with disk.intercepted(Fault(Path(served.config.store), "power", at)):
                model_updates.keep(served.config.store, update)
        except Killed:
            assert model_updates.pending(served.config.store, "small") in (last, update)
        else:
            return
    raise AssertionError("no operation was the last")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_50_updates_and_25_killed_regenerations(served: Served) -> None:
    """By SIGKILL, each in a child process at a random moment after a random change to the disk."""
    rng, changes, killed = random.Random(0), Fault(Path(served.config.store)), 0
    with disk.intercepted(changes):
        served.regenerate(served.announce(100))
    for number in range(1, 51):
        update = served.announce(number)
        if killed < 25:
            moment = (rng.randrange(1, len(changes.seen)), rng.uniform(0.001, 0.02))
            killed += sigkilled(lambda update=update: served.regenerate(update), *moment)  # type: ignore[misc]
        served.tick()
        assert served.published() == f"{number}.pt"
    assert killed == 25


def sigkilled(work: Callable[[], None], change: int, seconds: float) -> bool:
    """Work in a child and kill it so long after so many changes to the disk; tell whether it was still at work."""
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        left = itertools.count(change - 1, -1)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))

        def arm(when: str, operation: str, path: Path) -> None:
            if when == "before" and next(left) == 0:
                signal.setitimer(signal.ITIMER_REAL, seconds)

        with disk.intercepted(arm):
            work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)
