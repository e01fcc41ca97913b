"""The metrics of cells and units, one row each: answers, SQL, glossary and the page's lists and shades read them.

Plain values, so that the glossary and the page are made without any library; `metric_values` reads the numbers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Order:
    """A way to sort by a metric: its name in addresses, which end comes first, and its description."""

    name: str
    first: Literal["high", "low"]
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number of every cell of a grid, or of every unit of a layer.

    `name` is its name for users and in SQL, `key` its key in answers, `words` what a legend says. `stage` is the stage
    that a run needs for it; its values are that stage's stored `column`, or what `function`, a dotted path
    MODULE:FUNCTION, returns of a run, layer (and grid). `answer` is the answer that holds it, none for SQL
    alone.
    """

    name: str
    key: str
    words: str
    unit: str
    stage: str
    column: str = ""
    function: str = ""
    answer: Literal["cells", "details", "cell", "units", ""]
    kind: Literal["number", "count", "flag"] = "number"
    best: Literal["high", "low", ""] = ""
    orders: tuple[Order, ...] = ()
    shade: str = ""
    card: bool = False
    meaning: str = ""
    formula: str = ""
    digits: int = 5


CELL: tuple[Metric, ...] = (
    Metric(
        name="samples",
        key="count",
        words="number of samples",
        unit="samples",
        stage="cells",
        column="count",
        answer="cells",
        kind="count",
        orders=(Order("samples", "high", "the fullest first"),),
        shade="density",
        card=True,
    ),
    Metric(
        name="coherence",
        key="coherence",
        words="coherence",
        unit="1 = all alike",
        stage="cells",
        column="coherence",
        answer="details",
        best="high",
        orders=(Order("coherence", "low", "the least coherent first"),),
        shade="coherence",
        card=True,
        meaning="how alike a cell’s samples are to the model: 1 = all alike",
        formula="the mean cosine of the samples to their mean",
    ),
    Metric(
        name="fidelity",
        key="cosine",
        words="fidelity of icons",
        unit="whitened cosine, 1 at best",
        stage="icons",
        column="cosine",
        answer="details",
        best="high",
        orders=(Order("fidelity", "high", "the best icons first"),),
        shade="fidelity",
        card=True,
        meaning="how well the drawn picture stands for its cell: show the picture to the model and compare its reaction with "
        "the cell’s average. 1 = the same, 0 = unrelated",
        formula="the cosine of the icon’s activation and the cell’s mean, both whitened by the layer’s second moment",
    ),
    Metric(
        name="rank",
        key="rank",
        words="rank of the icon",
        unit="1 at best",
        stage="icons",
        column="rank",
        answer="details",
        kind="count",
        best="low",
        card=True,
        meaning="of an icon: the place of its own cell among all cells of the grid, by how well the icon fits each; 1 = it fits "
        "none better. Of a class: its place among all classes, by their evidence in a cell",
    ),
    Metric(
        name="weak",
        key="weak",
        words="weak icon",
        unit="",
        stage="icons",
        column="weak",
        answer="details",
        kind="flag",
        best="low",
        meaning="of an icon: it fits another cell of the grid better than its own",
    ),
    Metric(
        name="contrast",
        key="contrast",
        words="contrast of the patches",
        unit="0 to 1",
        stage="members",
        function="flows.metrics.contrast:of_cells",
        answer="cell",
        card=True,
        meaning="of a cell: how much there is to see in its real patches. 0 = one plain colour; below 0.05 the cell is flat",
        formula="the standard deviation of a patch’s pixels as a share of white, and the median of these over the patches",
        digits=3,
    ),
    Metric(
        name="flat",
        key="flat",
        words="flat patches",
        unit="",
        stage="members",
        function="flows.metrics.contrast:flat",
        answer="cell",
        kind="flag",
        best="low",
        meaning="of a cell: its real patches are one plain colour, or nearly",
    ),
)

UNIT: tuple[Metric, ...] = (
    Metric(
        name="strongest",
        key="max",
        words="strongest patch",
        unit="activation",
        stage="patches",
        column="positive_extreme",
        answer="units",
        orders=(Order("max", "high", "strongest patch"),),
    ),
    Metric(
        name="most_negative",
        key="min",
        words="most negative patch",
        unit="activation",
        stage="patches",
        column="negative_extreme",
        answer="units",
    ),
    Metric(
        name="labels",
        key="different",
        words="labels of the strongest patches",
        unit="labels",
        stage="patches",
        function="flows.metrics.values:labels_of_units",
        answer="units",
        kind="count",
        orders=(Order("few", "low", "fewest labels"), Order("many", "high", "most labels")),
    ),
    Metric(
        name="label_entropy",
        key="entropy",
        words="mixture of labels",
        unit="bits",
        stage="patches",
        function="flows.metrics.values:label_entropy_of_units",
        answer="units",
        best="low",
        digits=3,
    ),
    Metric(
        name="label_lift",
        key="lift",
        words="lift of the commonest label",
        unit="× its share of the images",
        stage="patches",
        function="flows.metrics.values:label_lift_of_units",
        answer="units",
        orders=(Order("lift", "high", "lift of the commonest label"),),
        digits=3,
    ),
    Metric(
        name="sparsity",
        key="sparsity",
        words="sparsity",
        unit="0 to 1",
        stage="patches",
        function="flows.metrics.values:sparsity_of_units",
        answer="",  # it reads all samples
        digits=3,
        meaning="of a unit: 0 where it is always as active, 1 where a single sample activates it (Hoyer)",
    ),
    Metric(
        name="mis",
        key="mis",
        words="interpretability, both sides",
        unit="0.5 = chance",
        stage="meaning",
        column="mis",
        answer="units",
        best="high",
        digits=3,
        meaning="how surely an encoder tells a unit’s strongest patches from its most negative ones by nine of each: 0.5 is "
        "chance. Scores of different encoders are not compared",
    ),
    Metric(
        name="mis_positive",
        key="mis_positive",
        words="interpretability",
        unit="0.5 = chance",
        stage="meaning",
        column="mis_positive",
        answer="units",
        best="high",
        orders=(Order("mis", "high", "most interpretable"),),
        digits=3,
    ),
    Metric(
        name="mis_negative",
        key="mis_negative",
        words="interpretability, negative side",
        unit="0.5 = chance",
        stage="meaning",
        column="mis_negative",
        answer="units",
        best="high",
        digits=3,
    ),
    Metric(
        name="ratio",
        key="ratio",
        words="picture against patch",
        unit="× the strongest patch",
        stage="gallery",
        column="ratio",
        answer="units",
        best="high",
        orders=(Order("ratio", "high", "picture against patch"),),
        digits=3,
    ),
)


def columns(metrics: tuple[Metric, ...], answer: str) -> list[Metric]:
    """Return the metrics whose columns an answer holds."""
    return [metric for metric in metrics if metric.answer == answer]


def words() -> tuple[tuple[str, str, str], ...]:
    """Return the metrics that the glossary explains, with their meanings and formulas."""
    return tuple((metric.name, metric.meaning, metric.formula) for metric in CELL + UNIT if metric.meaning)


def table() -> dict[str, list[dict[str, Any]]]:
    """Return the rows as the page imports them, without the place where the numbers are stored."""
    inner = ("column", "function", "digits", "meaning", "formula")
    return {
        kind: [{name: value for name, value in asdict(row).items() if name not in inner} for row in rows]
        for kind, rows in (("cell", CELL), ("unit", UNIT))
    }
