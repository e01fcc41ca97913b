"""The shapes of the model worker's answers; importing them loads no torch, unlike the modules that compute them."""

from __future__ import annotations

from typing_extensions import TypedDict

from flows.model.choice import Choice
from flows.one_image.answers import ClassTarget, LocatedCells, RankedUnit, ScoredTarget
from flows.viewer.answers.rounding import Number

Size = tuple[int, int]
Box = tuple[float, float, float, float]
Maps = list[list[list[float]]]


class Loaded(TypedDict):
    """The run whose model is loaded, so that a question about an image takes no longer than its answer."""

    run: str


class Located(LocatedCells):
    """The cells that an image's positions fall in; `seen` is the part of the image that the model sees.

    `size` is [width, height] in pixels, `seen` [left, top, right, bottom] as parts of them.
    """

    size: Size
    seen: Box


class ExplainedGrid(TypedDict):
    """The layer in blocks, `rows × cols`: strongest units and their values, and the most similar cell of the atlas.

    `top` and `left` are the first position of each row and column of blocks, `side` the side of each block's icon.
    """

    rows: int
    cols: int
    top: list[int]
    left: list[int]
    norm: list[list[float]]
    side: list[list[float]]
    units: list[list[list[int]]]
    values: Maps
    relative: Maps
    cosine: list[list[Number]]
    cells: list[list[tuple[int, int]]]
    grid: int


class ExplainedGroups(TypedDict):
    """The activation factored into groups of units: a map of each, its share, and what it adds to the score."""

    maps: Maps
    share: list[float]
    explained: float
    attribution: list[float]
    rest: float
    units: list[list[int]]
    weights: list[list[float]]
    cells: list[tuple[int, int]]
    cosine: list[Number]


ExplainedAttribution = TypedDict(
    "ExplainedAttribution",
    {"total": float, "blocks": list[list[float]], "for": list[RankedUnit], "against": list[RankedUnit]},
)
"""What the blocks and units add to the score."""


class Explained(TypedDict):
    """What a layer sees in an image, and what speaks for a class."""

    layer: str
    size: Size
    seen: Box
    choices: list[Choice]
    target: ScoredTarget
    versus: ClassTarget | None
    grid: ExplainedGrid
    groups: ExplainedGroups
    attribution: ExplainedAttribution
    notes: list[str]


class SaliencyTarget(TypedDict):
    """The class whose saliency is shown."""

    text: str
    kind: str
    index: int
    name: str


class Salient(TypedDict):
    """How much each pixel moves the class's score: `map` is `rows × cols` signed bytes, −127 to 127, in base64."""

    layer: str
    size: Size
    seen: Box
    method: str
    score: Number
    target: SaliencyTarget
    signed: bool
    rows: int
    cols: int
    map: str


class Driver(TypedDict):
    """A unit, and its effect on a later one."""

    unit: int
    effect: float


class Driven(TypedDict):
    """A later unit, and the units that drive it most."""

    unit: int
    drivers: list[Driver]


class Linked(TypedDict):
    """How each part of the image at one layer moves each part at a later one: rows, cols, later rows, later cols."""

    layer: str
    size: Size
    seen: Box
    to: str
    positions: list[Maps]
    drivers: list[Driven]


class PatchPlace(TypedDict):
    """One of a unit's strongest patches."""

    rank: int
    image_id: int
    y: int
    x: int


class LinkEffects(TypedDict):
    """A later unit, and the effect of each patch on it."""

    unit: int
    effects: list[Number]


class Links(TypedDict):
    """How strongly each of a unit's strongest patches drives the later units that it drives most."""

    layer: str
    unit: int
    later_layer: str
    patches: list[PatchPlace]
    links: list[LinkEffects]


class Facet(TypedDict):
    """A picture as WebP in base64, the unit's value for it, and that as a part of the strongest patch's."""

    picture: str
    best: Number
    ratio: Number


class Facets(TypedDict):
    """Four pictures, optimised to excite a unit, that differ."""

    layer: str
    unit: int
    recipe: str
    steps: int
    side: int
    seconds: float
    facets: list[Facet]


class DrawnGradient(TypedDict):
    """A patch's gradient as PNG in base64, by the patch's number."""

    number: int
    picture: str


class DrawnGradients(TypedDict):
    """What drives a unit in each of its patches of one side, or over its range."""

    layer: str
    unit: int
    side: str
    method: str
    gradients: list[DrawnGradient]
