"""The shapes of what `actlas run` answers: the summary of a run, and the estimate of one. Loads no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired, TypedDict

from flows.stages.shared.left_out import LeftOutCounts

if TYPE_CHECKING:
    from flows.planning.context import FrameRecord
    from flows.questions.runs import SelectionRecord
    from flows.stages.subset import SubsetRecord


class StageRow(TypedDict):
    """The results of a stage, of one layer if it has layers; `bytes` are of those computed, where the store was asked."""

    stage: str
    layer: str | None
    computed: int
    reused: int
    seconds: float
    bytes: NotRequired[int]


class SampleCounts(TypedDict):
    """Samples of a layer that are used, and those left out as not finite: None if an old result didn't count them."""

    layer: str
    used: int
    not_finite: int | None


class Overview(TypedDict):
    """The picture of one grid of a layer."""

    layer: str
    grid: int
    path: str


class RunCounts(LeftOutCounts):
    """What a run did: its images, `reasons` with how many were rejected for each, and its results."""

    name: str
    version: int
    store: str
    images: int
    used: int
    rejected: int
    reasons: dict[str, int]
    computed: int
    reused: int
    skipped_grids: list[int]
    seconds: float
    stages: list[StageRow]


class RunSummary(RunCounts):
    """The answer of `actlas run`; `selection` says what `--of` selected."""

    samples: list[SampleCounts]
    overviews: list[Overview]
    selection: NotRequired[SelectionRecord]


class StageEstimate(TypedDict):
    """The results of a stage, of one layer if it has layers, and the cost of those that would be computed."""

    stage: str
    layer: str | None
    computed: int
    reused: int
    seconds: float
    bytes: int


class ProbeFacts(TypedDict):
    """The images that were probed, and how long that took."""

    images: int
    seconds: float


class RunEstimate(LeftOutCounts):
    """The answer of `actlas run --dry-run`; `subset` is None for a run over all images, `selection` is there with `--of`.

    `memory_bytes` and `probe` are None where nothing that takes time is missing.
    """

    name: str
    store: str
    images: int
    subset: SubsetRecord | None
    selection: NotRequired[SelectionRecord]
    computed: int
    reused: int
    seconds: float
    bytes: int
    memory_bytes: int | None
    free_bytes: int
    probe: ProbeFacts | None
    frames: dict[str, FrameRecord]
    stages: list[StageEstimate]
