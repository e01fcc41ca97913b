"""The shapes of the answers about one image; importing them loads no torch, unlike the modules that compute them."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict

from atlas.arrays import Byte, Float, Int
from flows.model.choice import Choice


class LitCell(TypedDict):
    """A cell, and how many positions of the image fall in it."""

    row: int
    col: int
    positions: int


class LocatedPosition(TypedDict):
    """A position, its [row, col] cell, and its [x, y] point in the unit square."""

    y: int
    x: int
    cell: tuple[int, int] | None
    point: tuple[float, float]


class LocatedCells(TypedDict):
    """The cells that an image's positions fall in."""

    layer: str
    grid: int
    height: int
    width: int
    cells: list[LitCell]
    positions: list[LocatedPosition]


class Located(LocatedCells):
    """The cells of a run that an image's positions fall in."""

    run: str
    version: int


class ClassTarget(TypedDict):
    """A class that a request names."""

    text: str
    index: int
    name: str


class ScoredTarget(ClassTarget):
    """The class that is explained, with the score that is attributed."""

    score: float


class Block(TypedDict):
    """A block of the grid."""

    row: int
    col: int


class Icons(TypedDict):
    """Icons, how well each fits, and their source; where that is an atlas, also the cells and the side of its grid."""

    pictures: Byte | None
    cosine: Float | None
    icons_from: str | None
    cells: NotRequired[Int]
    grid: NotRequired[int | None]


class ClassValues(TypedDict):
    """The classes that a part of the activation contributes most to, and the contributions."""

    classes: Int
    class_values: Float


class GridFacts(TypedDict):
    """The layer in blocks, `rows × cols`: strongest units and their values; `side` is that of each block's icon.

    `top` and `left` are the first position of each row and column of blocks; without icons there is no `relative`.
    """

    rows: int
    cols: int
    top: Int
    left: Int
    norm: Float
    side: Float
    units: Int
    values: Float
    relative: NotRequired[Float]


class ExplainedGrid(GridFacts, Icons):
    """The same with the icons of the blocks."""


class Parts(TypedDict, total=False):
    """The parts, as fine as the blocks or coarser, and the classes of each; empty for a later layer."""

    top: Int
    left: Int
    classes: Int
    class_values: Float


class RankedUnit(TypedDict):
    """A unit that speaks for or against the class, and the position where it does so most."""

    unit: int
    side: str
    attribution: float
    y: int
    x: int
    value: float


LayerAttribution = TypedDict(
    "LayerAttribution",
    {
        "total": float,
        "positions": Float,
        "blocks": Float,
        "units": Float,
        "for": list[RankedUnit],
        "against": list[RankedUnit],
    },
)
"""What positions, blocks and units add to the score."""


class GroupFacts(TypedDict):
    """The activation factored into groups of units: map and direction of each, its share, and what it adds to the score."""

    maps: Float
    directions: Float
    share: Float
    explained: float
    signed: bool
    attribution: Float
    positions: Float
    rest: float
    units: Int
    weights: Float


class ExplainedGroups(GroupFacts, Icons, ClassValues):
    """The same with the icons of the groups, and the classes of each."""


class LayerFacts(TypedDict):
    """What a layer sees in an image, and what speaks for the class."""

    name: str
    units: int
    height: int
    width: int
    later: bool
    whitened_by: str | None
    grid: ExplainedGrid
    parts: Parts
    places: list[Block]
    attribution: LayerAttribution
    groups: ExplainedGroups
    notes: list[str]


class UnitPictures(TypedDict):
    """Pictures by unit and side, and their source."""

    unit_pictures: dict[tuple[int, str], Byte]
    unit_pictures_from: str


class ExplainedLayer(LayerFacts, UnitPictures):
    """The same with pictures of the units that it names."""


class Driver(TypedDict):
    """A unit, the side on which it is active, and its effect on a later one."""

    unit: int
    side: str
    effect: float


class Driven(TypedDict):
    """A later unit, and the units that drive it most."""

    unit: int
    side: str
    drivers: list[Driver]


class Links(TypedDict):
    """The effects of parts, units and groups of one layer on those of a later one; rows are the earlier layer's."""

    positions: Float
    units: Int
    unit_to_unit: Float
    drivers: list[Driven]
    group_to_group: Float


class Parameters(TypedDict):
    """The settings of an explanation."""

    cells: int | None
    parts: int
    groups: int
    top: int
    units: int
    icons: str
    recipe: str
    steps: int
    size: int
    seed: int


class Explanation(TypedDict):
    """One image at a layer, or two; `picture` is the image as the model takes it, `class_names` are by index."""

    image: str
    model: str
    run: str | None
    picture: Byte
    choices: list[Choice]
    target: ScoredTarget
    versus: ClassTarget | None
    class_names: dict[int, str]
    layer: ExplainedLayer
    later: ExplainedLayer | None
    between: Links | None
    parameters: Parameters


class SaliencyTarget(TypedDict):
    """The class with its name, or the unit with its layer and position."""

    text: str
    kind: str
    index: int
    name: NotRequired[str]
    layer: NotRequired[str]
    position: NotRequired[tuple[int, int] | None]


class Saliency(TypedDict):
    """The score that a saliency map explains; methods with a baseline have the `sum` of the shares and its `gap`."""

    image: str
    model: str
    run: str | None
    target: SaliencyTarget
    method: str
    score: float
    choices: list[Choice]
    parameters: dict[str, Any]
    sum: NotRequired[float]
    gap: NotRequired[float]
    note: NotRequired[str]
