"""Icons start from those of a coarser grid, whether it is asked for or not, and are drawn in parts that a kill spares."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from support import corpus

from atlas import cells
from flows.config import RunConfig
from flows.pipeline import run as pipeline
from flows.pipeline import steps
from flows.pipeline.engines import Inline
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import icon_parts, icons
from storage.run import open_run
from storage.store.gc import gc
from storage.store.store import Store

FINE, COARSE, SAMPLES = 7, 4, 120
LAYER = corpus.LAYERS[0]


class Counting(Inline):
    """An engine that counts its tasks by stage and grid, and dies after so many parts of icons."""

    def __init__(self, parts: int = 1 << 30) -> None:
        self.parts = parts
        self.ran: list[tuple[str, int | None]] = []

    def run(self, tasks: Iterable[Task]) -> list[Outcome]:
        return [outcome for task in tasks for outcome in self._one(task)]

    def _one(self, task: Task) -> list[Outcome]:
        if task.stage == "icon_parts" and self.count("icon_parts") >= self.parts:
            raise KeyboardInterrupt
        self.ran.append((task.stage, task.outputs[0].grid))
        return super().run([task])

    def count(self, stage: str, grid: int | None = None) -> int:
        return sum(name == stage and grid in (None, of) for name, of in self.ran)


@pytest.fixture(scope="module", autouse=True)
def short_chains() -> Iterator[None]:
    """Let the fine grid, which a small corpus fills, start from the coarse one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "COARSEST", COARSE)
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_images(tmp_path_factory.mktemp("images"), 60)


def config(images: Path, store: Path, *grids: int) -> RunConfig:
    return corpus.config(images, store, layers=(LAYER,), grids=grids, until="icons")


@pytest.fixture(scope="module")
def fine(images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Counting]:
    """A run of the fine grid alone."""
    asked, engine = config(images, tmp_path_factory.mktemp("fine"), FINE), Counting()
    pipeline.run(asked, engine)
    return asked, engine


def files(asked: RunConfig, grid: int) -> tuple[str, object]:
    """Return the key of a grid's icons, and the digests of their files."""
    store = Store(Path(asked.store))
    entry = next(e for e in store.version("small").stages if e.stage == "icons" and e.grid == grid)
    return entry.key, store.get("icons", entry.key).manifest["files"]


def test_the_chain_is_followed_and_not_published(fine: tuple[RunConfig, Counting]) -> None:
    asked, engine = fine
    assert engine.count("icon_parts", COARSE) == engine.count("icons", COARSE) == engine.count("cells", COARSE) == 1
    entries = open_run(asked.store, "small").version.stages
    assert {entry.grid for entry in entries if entry.grid} == {FINE}
    assert "icon_parts" not in {entry.stage for entry in entries}


def test_icons_depend_on_no_other_grid(fine: tuple[RunConfig, Counting], images: Path, tmp_path: Path) -> None:
    both, engine = config(images, tmp_path / "both", COARSE, FINE), Counting()
    pipeline.run(both, engine)
    assert files(both, FINE) == files(fine[0], FINE)
    assert engine.count("icon_parts", COARSE) == engine.count("icons", COARSE) == 1
    shutil.copytree(fine[0].store, tmp_path / "later")
    later = Counting()
    pipeline.run(config(images, tmp_path / "later", COARSE), later)
    assert later.count("icons") == later.count("icon_parts") == 0, "it was there from the finer grid"


def test_mutant_icons_from_noise_are_seen(
    fine: tuple[RunConfig, Counting], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (icons, icon_parts):
        monkeypatch.setattr(module, "parent_grid", lambda grid: None)
    other = config(images, tmp_path, FINE)
    pipeline.run(other, Inline())
    (key, drawn), (right_key, right) = files(other, FINE), files(fine[0], FINE)
    assert key != right_key
    assert drawn != right


def test_the_cut_changes_no_bytes_and_a_kill_costs_one_part(
    fine: tuple[RunConfig, Counting], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(icon_parts, "PART", 1)
    coarse, finer = (len(icon_parts.places(SAMPLES, grid)) for grid in (COARSE, FINE))
    assert min(coarse, finer) > 4
    asked, killed, resumed = config(images, tmp_path, FINE), Counting(parts=coarse + finer - 1), Counting()
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(asked, killed)
    assert killed.count("icon_parts", FINE) == finer - 1
    pipeline.run(asked, resumed)
    assert (resumed.count("icon_parts", COARSE), resumed.count("icon_parts", FINE)) == (0, 1)
    assert files(asked, FINE) == files(fine[0], FINE)


def test_what_stood_between_is_not_missed(fine: tuple[RunConfig, Counting], images: Path, tmp_path: Path) -> None:
    asked, again = config(images, tmp_path, FINE), Counting()
    pipeline.run(asked, Inline())
    assert gc(Store(tmp_path), older_than=0, keep=1)
    assert Store(tmp_path).find("icons", files(asked, FINE)[0]) is not None
    pipeline.run(asked, again)
    assert again.ran == []


def task(name: str, *reads: str, between: bool = False) -> Task:
    output = Output(stage="icons", key=key(name))
    return Task(
        stage="icons", store="", outputs=(output,), reads={"of": [key(name) for name in reads]}, between=between
    )


def key(name: str) -> str:
    return name[:1].encode().hex() * 16


def names(rounds: list[list[Task]]) -> list[list[str]]:
    return [[bytes.fromhex(task.outputs[0].key)[:1].decode() for task in tasks] for tasks in rounds]


def test_rounds_follow_what_tasks_read() -> None:
    tasks = [task("a"), task("b", "a", "elsewhere"), task("c"), task("d", "b", "c"), task("e", "a")]
    assert names(steps.rounds(tasks)) == [["a", "c"], ["b", "e"], ["d"]]
    assert steps.rounds([]) == []


def test_only_what_is_read_is_made_between(tmp_path: Path) -> None:
    store = Store(tmp_path)
    chain = [task("a", between=True), task("b", "a", between=True), task("c", between=True), task("d", "b")]
    assert names([steps._needed(store, chain)]) == [["a", "b", "d"]]
    assert steps._needed(store, chain[:3]) == []


@pytest.mark.parametrize("grid", [1, 7, 20, 40, 160])
def test_the_cut_leaves_no_place_out(grid: int) -> None:
    cuts = icon_parts.places(9_975, grid)
    assert [place for cut in cuts for place in range(cut["first"], cut["stop"])] == list(range(grid * grid))
    assert (len(cuts) == 1) == (grid < 20)


def test_each_cell_has_one_icon(fine: tuple[RunConfig, Counting]) -> None:
    drawn = open_run(fine[0].store, "small").cells(LAYER, FINE)
    assert len(drawn.icon) == len(drawn.row) > 10
    assert np.isfinite(drawn.cosine).all()
