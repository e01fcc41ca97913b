"""The words of actlas, for the README and the help of the viewer; both are made from these rows."""

from flows.metrics import metrics

WORDS: tuple[tuple[str, str], ...] = (
    ("image", "a row of the dataset listing; image_id is its number there, given once"),
    ("layer", "a part of the model, by its dotted torch module path; layer@1 where a module is called more than once"),
    ("activation", "the output of a layer for an image, seen as channels × height × width"),
    ("unit", "one channel of a layer: what is often called a neuron"),
    ("position", "a place (y, x) on the grid of a layer’s output"),
    (
        "receptive field",
        "what a position sees: its reach is every pixel that can change it, its focus the window with 90 % of its gradient",
    ),
    ("sample", "all units of a layer at one position of one image, as a vector"),
    ("patch", "the part of an image in a position’s focus"),
    ("layout", "where each sample lies in the unit square"),
    ("cell", "a square of the grid over the layout: its samples, their count and their mean"),
    ("icon", "a picture optimised so that the model’s activation for it points along a cell’s mean"),
    *metrics.words(),
    (
        "name",
        "a label or class printed on a cell: at least 3 of its samples have it (a class: as the strongest by attribution), and "
        "its share there beats the largest such lift of all cells in 95 % of 200 permutations of the samples; else nothing",
    ),
    ("attribution", "how much of a class’s score a cell accounts for, to first order"),
    ("influence", "how much a unit moves a unit of the next layer, over its strongest patches"),
    ("facets", "several pictures of one unit, made to differ"),
    ("tile", "a picture of the zoom pyramid"),
    ("shard", "a fixed range of images, processed by one task"),
    ("stage", "one step of a run; its result never changes and is named by what it was made from"),
    ("run", "a named, published set of stage results, in versions"),
)
