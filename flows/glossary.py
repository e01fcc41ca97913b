"""The words of actlas, for the README, the help of the viewer and what its terms explain; all are made from these rows."""

from typing import NamedTuple

from flows.metrics import metrics


class Word(NamedTuple):
    """A word, its meaning in plain words, and the formula of a number."""

    word: str
    meaning: str
    formula: str = ""

    @property
    def text(self) -> str:
        """The meaning, with the formula after it."""
        return f"{self.meaning}. Formula: {self.formula}" if self.formula else self.meaning


EVERYDAY = (
    Word("image", "a row of the dataset listing; image_id is its number there, given once"),
    Word(
        "layer", "a part of the model, by its dotted torch module path; layer@1 where a module is called more than once"
    ),
    Word("unit", "one channel of a layer: what is often called a neuron"),
    Word("activation", "the output of a layer for an image, seen as channels × height × width"),
    Word("position", "a place (y, x) on the grid of a layer’s output"),
    Word("patch", "the part of an image in a position’s focus"),
    Word("sample", "all units of a layer at one position of one image, as a vector"),
    Word("cell", "a square of the grid over the layout: its samples, their count and their mean"),
    Word("icon", "a picture optimised so that the model’s activation for it points along a cell’s mean"),
)
"""What the pictures show, before the numbers beside them."""

READ = (
    Word(
        "name",
        "a label or class printed on a cell: at least 3 of its samples have it (a class: as the strongest by attribution), and "
        "its share there beats the largest such lift of all cells in 95 % of 200 permutations of the samples; else nothing",
    ),
    Word(
        "evidence",
        "what in a cell speaks for a class, or against it: the mean attribution of its samples. For = its activation raises the "
        "class’s score, against = it lowers it",
    ),
    Word("attribution", "how much of a class’s score a cell accounts for, to first order"),
    Word("influence", "how much a unit moves a unit of a deeper layer of this run, over its strongest patches"),
    Word("facets", "several pictures of one unit, made to differ"),
    Word("run", "a named, published set of stage results, in versions"),
)

TECHNICAL = (
    Word("layout", "where each sample lies in the unit square"),
    Word(
        "receptive field",
        "what a position sees: its reach is every pixel that can change it, its focus the window with 90 % of its gradient",
    ),
    Word("tile", "a picture of the zoom pyramid"),
    Word("shard", "a fixed range of images, processed by one task"),
    Word("stage", "one step of a run; its result never changes and is named by what it was made from"),
)

WORDS = (*EVERYDAY, *(Word(*row) for row in metrics.words()), *READ, *TECHNICAL)
