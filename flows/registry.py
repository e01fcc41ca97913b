"""The stages as plain rows: whatever lists stages (plan, options, SQL, dry run, workers, viewer) reads them here.

To add a stage, add a row and write its module. The module has `compute(store, task)`, which makes the results that a
task names; `plan(context)`, which names its tasks by their keys; and the cost law that the row names, unless
`flows.planning.costs` has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

EVERYTHING = "everything"
"""What `--with` calls all extras together."""

DECODERS = ("pillow", "simplejpeg", "pyvips-binary")
"""Libraries that decode images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage: its name and code version, what one result is of, and what others need to know of it.

    `code` is raised by hand when the bytes change for the same inputs; the golden test guards it. `module` computes
    it and is imported when a task runs. `step` names the step that plans it, where that is not its own. An `extra`
    is made by `--with` alone, once the stage that it `needs` is there, and has `settings` of its own; some need
    class `scores`. One `apart` is not among `everything`: it needs more than the run's model. One that is `kept` is
    made by `--keep` alone; a stage `on_demand` is made by a question, and one `between` for another alone: no version
    has it. `gpu` stages run the model. The versions of
    `libraries` enter the key, or those of one of `variants`. `tables` maps the names of its tables in SQL to its
    files. `cost` is the law of the dry run, applied to what the probe measured of the stage, or of `cost_of`; a
    `slow` stage is probed for one layer only.
    """

    name: str
    code: int
    module: str
    per: Literal["source", "run", "shard", "layer", "layer and shard", "layer and grid", "layer and grid and part"]
    step: str = ""
    extra: bool = False
    apart: bool = False
    scores: bool = False
    needs: str = ""
    settings: tuple[str, ...] = ()
    on_demand: bool = False
    between: bool = False
    kept: bool = False
    gpu: bool = False
    libraries: tuple[str, ...] = ()
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)
    cost: str = "as_probed"
    cost_of: str = ""
    slow: bool = False

    @property
    def probed(self) -> bool:
        """Whether the dry run tries the stage on a few images."""
        return not self.extra and self.cost != "nothing"


STAGES: tuple[Stage, ...] = (
    Stage(name="listing", code=3, module="flows.stages.image_listing", per="source", cost="nothing"),
    Stage(name="labels", code=1, module="flows.stages.image_listing", per="source", step="listing", cost="nothing"),
    Stage(name="subset", code=1, module="flows.stages.subset", per="source", step="listing", cost="nothing"),
    Stage(name="selection", code=1, module="flows.stages.selection", per="source", step="listing", cost="nothing"),
    Stage(name="model", code=1, module="flows.stages.model", per="run", step="collect", cost="nothing"),
    Stage(
        name="images",
        code=1,
        module="flows.stages.collect",
        per="shard",
        step="collect",
        libraries=DECODERS,
        cost="share_of_a_pass",
    ),
    Stage(
        name="collect",
        code=2,
        module="flows.stages.collect",
        per="layer and shard",
        gpu=True,
        libraries=("torch", *DECODERS),
        cost="share_of_a_pass",
    ),
    Stage(
        name="peaks",
        code=1,
        module="flows.stages.collect",
        per="layer and shard",
        step="collect",
        kept=True,
        gpu=True,
        libraries=("torch", *DECODERS),
        cost="share_of_a_pass",
    ),
    Stage(
        name="choices",
        code=1,
        module="flows.stages.collect",
        per="shard",
        step="collect",
        extra=True,
        scores=True,
        needs="collect",
        gpu=True,
        libraries=("torch", *DECODERS),
        cost="share_of_a_pass",
    ),
    Stage(
        name="field",
        code=2,
        module="flows.stages.field",
        per="layer",
        gpu=True,
        libraries=("torch", *DECODERS),
        cost="cost",
    ),
    Stage(
        name="patches",
        code=1,
        module="flows.stages.patches",
        per="layer",
        tables={"patches": "patches.parquet", "units": "units.parquet"},
        cost="cost",
    ),
    Stage(
        name="layout",
        code=1,
        module="flows.stages.layout",
        per="layer",
        variants={
            "umap": ("umap-learn", "faiss-cpu", "numba", "numpy", "scikit-learn"),
            "tsne": ("openTSNE", "faiss-cpu", "numpy", "scikit-learn"),
            "pca": ("numpy", "scikit-learn"),
        },
        cost="cost",
    ),
    Stage(
        name="moment",
        code=2,
        module="flows.stages.layout",
        per="layer",
        step="layout",
        libraries=("numpy",),
        cost="moment_cost",
    ),
    Stage(
        name="cells",
        code=3,
        module="flows.stages.cells",
        per="layer and grid",
        tables={"cells": "cells.parquet"},
        cost="cost",
    ),
    Stage(
        name="members",
        code=1,
        module="flows.stages.members",
        per="layer and grid",
        tables={"members": "members.parquet"},
        cost="cost",
    ),
    Stage(
        name="icon_parts",
        code=1,
        module="flows.stages.icon_parts",
        per="layer and grid and part",
        step="icons",
        between=True,
        gpu=True,
        cost="nothing",
        slow=True,
    ),
    Stage(
        name="icons",
        code=2,
        module="flows.stages.icons",
        per="layer and grid",
        libraries=("torch",),
        tables={"icons": "icons.parquet"},
        cost="cost",
        cost_of="icon_parts",
        slow=True,
    ),
    Stage(
        name="tiles",
        code=1,
        module="flows.stages.tiles",
        per="layer and grid",
        libraries=("pyvips-binary", "pillow"),
        cost="cost",
        slow=True,
    ),
    Stage(
        name="attribution",
        code=1,
        module="flows.stages.attribution",
        per="layer and grid",
        extra=True,
        scores=True,
        needs="cells",
        settings=("attribution_per_cell",),
        gpu=True,
        libraries=("torch", "pillow", "simplejpeg"),
        tables={"attribution": "attribution.parquet"},
        cost="cost",
    ),
    Stage(
        name="influence",
        code=1,
        module="flows.stages.influence",
        per="layer",
        extra=True,
        needs="patches",
        gpu=True,
        libraries=("torch", "pillow", "simplejpeg"),
        tables={"influence": "influence.parquet"},
        cost="cost",
    ),
    Stage(
        name="gradients",
        code=2,
        module="flows.stages.gradients",
        per="layer",
        extra=True,
        needs="patches",
        settings=("gradients_method",),
        gpu=True,
        libraries=("torch", "pillow", "simplejpeg"),
        cost="cost",
    ),
    Stage(
        name="meaning",
        code=1,
        module="flows.stages.meaning",
        per="layer",
        extra=True,
        apart=True,
        needs="patches",
        settings=("encoder",),
        gpu=True,
        libraries=("torch", "pillow", "simplejpeg"),
        tables={"meaning": "meaning.parquet"},
        cost="cost",
    ),
    Stage(
        name="gallery",
        code=1,
        module="flows.stages.gallery",
        per="layer",
        extra=True,
        needs="patches",
        gpu=True,
        libraries=("torch",),
        tables={"gallery": "gallery.parquet"},
        cost="cost",
        cost_of="icon_parts",
    ),
    Stage(name="noise", code=2, module="flows.comparing.layout_noise", per="layer", on_demand=True),
)


def stage(name: str) -> Stage:
    """Return the row of a stage. Raises KeyError."""
    for row in STAGES:
        if row.name == name:
            return row
    raise KeyError(name)


def codes() -> dict[str, int]:
    """Return the code version of every stage."""
    return {row.name: row.code for row in STAGES}


def steps() -> list[str]:
    """Return the steps that `--until` can name, in their order."""
    return [row.name for row in STAGES if not (row.step or row.extra or row.on_demand)]


def steps_of_samples() -> list[str]:
    """Return the steps that follow from the samples of a run: those that a selection computes."""
    return steps()[steps().index("layout") :]


def extras() -> list[str]:
    """Return the stages that `--with` can name."""
    return [row.name for row in STAGES if row.extra]


def everything() -> list[str]:
    """Return the extras that `--with everything` stands for."""
    return [name for name in extras() if not stage(name).apart]


def extras_of_samples() -> list[str]:
    """Return those of them that follow from the samples of a run, which a selection can have of its own."""
    return [name for name in extras() if stage(name).needs in steps_of_samples()]


def kept() -> list[str]:
    """Return the stages that `--keep` can name."""
    return [row.name for row in STAGES if row.kept]


def layouts() -> list[str]:
    """Return the algorithms that `--layout` can name."""
    return [name for row in STAGES if row.name == "layout" for name in row.variants]


def extra_settings() -> list[str]:
    """Return the settings that belong to extras."""
    return [name for row in STAGES for name in row.settings]


def tables() -> dict[str, tuple[str, str]]:
    """Return the stage and the file of each table that stages write."""
    return {table: (row.name, file) for row in STAGES for table, file in row.tables.items()}
