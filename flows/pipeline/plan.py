"""Plan a run: name every stage result by its key before anything is computed."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from flows import registry
from flows.config import RunConfig
from flows.model.prepared import PreparedModel
from flows.pipeline.layout_frames import Frames
from flows.planning.context import Chosen, Frame, PlanContext
from flows.planning.tasks import Output, Task
from flows.stages import collect, layout
from flows.stages.shared import contents, reading
from storage.errors import Damaged
from storage.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The tasks of one stage; those that read each other stand in the order of reading."""

    stage: str
    tasks: tuple[Task, ...]

    @property
    def outputs(self) -> list[Output]:
        """The results that a version has of the step."""
        return [output for task in self.tasks if not task.between for output in task.outputs]


class Planner(PlanContext):
    """Name all results of a run. `earlier` has the layouts of its earlier versions."""

    model: PreparedModel

    def __init__(
        self,
        config: RunConfig,
        model: PreparedModel,
        listing: str,
        table: pa.Table,
        earlier: Frames | None = None,
        chosen: Chosen | None = None,
    ) -> None:
        super().__init__(config, model, listing, table, chosen)
        if earlier is not None:
            frames = {layer: self._frame(layer, earlier) for layer in self.layers}
            self.frames = {layer: frame for layer, frame in frames.items() if frame is not None}

    def rows_key(self, rows: pa.Table) -> str:
        """Return the key of rows of the listing; another one if images were rejected for want of a decoder that is there now."""
        return contents.decodable_key(Store(Path(self.config.store)), super().rows_key(rows))

    @functools.cached_property
    def wholes(self) -> Sequence[PlanContext]:
        """Plans of the whole listing, cut at the limits that the current versions of runs of this source have."""
        if self.chosen is None:
            return ()
        limits = dict.fromkeys([None, *self._limits()])
        configs = [self.config.model_copy(update={"limit": limit}) for limit in limits]
        return [Planner(config, self.model, self.listing, self.table) for config in configs]

    def _limits(self) -> Iterator[int]:
        store, place = Store(Path(self.config.store)), reading.source_of(self.config).uri
        for name in store.names():
            with suppress(Damaged):  # opening that run reports it
                about = store.version(name).about
                if about.get("images") == place and not {"subset", "selection"} & about.keys():
                    yield int(about["listed"])

    def _frame(self, layer: str, earlier: Frames) -> Frame | None:
        return earlier.choose(layer, collect.keys(self, layer), lambda frame: layout.key_in(self, layer, frame))

    def steps(self) -> list[Step]:
        """Return the steps up to the one the configuration stops after; then the configured extras."""
        return self._steps(lambda stage: self._order(stage) <= self._last())

    def later_steps(self) -> list[Step]:
        """Return the steps and extras after the one the configuration stops after."""
        return self._steps(lambda stage: self._order(stage) > self._last())

    def _last(self) -> int:
        return self._order(self.config.until or registry.steps()[-1])

    @staticmethod
    def _order(stage: str) -> int:
        return registry.steps().index(stage)

    def _steps(self, included: Callable[[str], bool]) -> list[Step]:
        core = [stage for stage in registry.steps()[1:] if included(stage)]  # the listing precedes any plan
        rows = [registry.stage(name) for name in registry.extras() if name in self.config.extras]
        extras = [row.name for row in rows if not row.step and included(row.needs)]
        return [step_of(self, stage) for stage in (*core, *extras)]


def step_of(context: PlanContext, stage: str) -> Step:
    """Return a stage's tasks in a run."""
    tasks: list[Task] = importlib.import_module(registry.stage(stage).module).plan(context)
    return Step(stage=stage, tasks=tuple(tasks))
