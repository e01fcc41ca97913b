"""The shapes of answers, for the OpenAPI page: nothing is checked against them at run time, tests do that."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

Number = float | None


class Error(TypedDict):
    error: str


class RunRow(TypedDict):
    name: str
    version: int
    published: str
    versions: list[int]
    model: str
    images: int
    rejected: int
    layers: list[str]


class Runs(TypedDict):
    runs: list[RunRow]


class GridFacts(TypedDict):
    grid: int
    cells: int
    samples: int
    icon: int
    tile: int
    has: list[str]


class LayerFacts(TypedDict):
    name: str
    index: int
    units: int
    height: int
    width: int
    focus: Number
    grids: list[GridFacts]
    has: list[str]


class Published(TypedDict):
    version: int
    published: str
    weights: str | None
    images: int


class SaliencyMethod(TypedDict):
    name: str
    title: str
    sentence: str
    signed: bool


class About(TypedDict):
    name: str
    version: int
    tag: str
    address: str
    versions: list[int]
    published: str
    sha256: str
    model: str
    images: str
    listed: int
    rejected: dict[str, int]
    samples: dict[str, dict[str, Any]]
    layouts: dict[str, dict[str, Any]]
    fingerprints: dict[str, str]
    history: list[Published]
    labels: int
    ids: int
    classes: int
    input: list[int] | None
    config: dict[str, Any]
    stages: dict[str, int]
    layers: list[LayerFacts]
    missing: dict[str, str]
    commands: dict[str, str]
    settings: dict[str, Any]
    cite: dict[str, str]
    saliency: list[SaliencyMethod]
    uploads: bool


class CellColumns(TypedDict):
    layer: str
    grid: int
    row: list[int]
    col: list[int]
    count: list[int]


class CellDetails(TypedDict):
    layer: str
    grid: int
    coherence: list[Number]
    cosine: list[Number] | None
    rank: list[int] | None
    weak: list[int] | None
    classes: list[list[list[float]]] | None
    names: dict[str, str]


class CellLabels(TypedDict):
    layer: str
    grid: int
    labels: list[str]
    cells: list[list[list[float]]]


class Proof(TypedDict):
    cosine: Number
    rank: int
    tries: int
    weak: bool


class UnitMean(TypedDict):
    unit: int
    mean: Number


class LabelShare(TypedDict):
    label: str
    samples: int
    share: float


ClassShare = TypedDict("ClassShare", {"class": int, "name": str, "share": float, "mean": Number})


class Near(TypedDict):
    row: int
    col: int
    cosine: Number


class Member(TypedDict):
    image_id: int
    y: int
    x: int
    label: str


class Cell(TypedDict):
    layer: str
    grid: int
    row: int
    col: int
    count: int
    coherence: Number
    icon: Proof | None
    units: list[UnitMean]
    labels: list[LabelShare]
    classes: list[ClassShare] | None
    nearest: list[Near]
    members: list[Member]
    contrast: Number
    flat: bool | None


ClassMap = TypedDict(
    "ClassMap", {"layer": str, "grid": int, "class": int, "name": str, "mean": list[Number], "rank": list[int]}
)


class Classes(TypedDict):
    names: list[str]


class UnitColumns(TypedDict):
    layer: str
    units: int
    max: list[Number]
    min: list[Number]
    labels: list[str]
    top: list[list[list[int]]]
    different: list[int]
    ratio: list[Number] | None


class Focus(TypedDict):
    left: int
    top: int
    right: int
    bottom: int


class Patch(TypedDict):
    rank: int
    value: Number
    image_id: int
    label: str | None
    y: int
    x: int
    focus: Focus | None


class Side(TypedDict):
    note: str | None
    extreme: Number
    images_at_extreme: int
    patches: list[Patch]
    pictures: int


class StrongCell(TypedDict):
    row: int
    col: int
    mean: Number


class StrongCells(TypedDict):
    grid: int
    strongest: list[StrongCell]


class Drawn(TypedDict):
    value: Number
    best: Number
    patch: Number
    dead: bool


class Gradients(TypedDict):
    method: str
    ranks: list[int]


class Unit(TypedDict):
    layer: str
    unit: int
    units: int
    positive: Side
    negative: Side
    cells: StrongCells | None
    gallery: Drawn | None
    gradients: Gradients | None


class Card(TypedDict):
    layer: str
    unit: int
    labels: dict[str, Any]
    samples: dict[str, Any] | None
    intervals: list[dict[str, Any]]
    alike: dict[str, Any]
    classes: dict[str, Any] | None
    drives: dict[str, Any] | None
    driven: dict[str, Any] | None


class UnitMap(TypedDict):
    layer: str
    grid: int
    unit: int
    mean: list[Number]


Speaks = TypedDict("Speaks", {"layer": str, "class": int, "name": str, "correlation": list[Number]})


class Likeness(TypedDict):
    layer: str
    unit: int
    correlation: list[Number]


class MovedCells(TypedDict):
    grid: int
    kept: int
    changed: int
    appeared: int
    emptied: int
    row: list[int]
    col: list[int]
    old_samples: list[int]
    new_samples: list[int]
    state: list[int]
    stayed: list[Number]
    cosine: list[Number]
    label_change: list[Number]


class Arrows(TypedDict):
    grid: int
    start: list[list[Number]]
    end: list[list[Number]]
    samples: list[int]
    beyond: list[int]


class MovedUnits(TypedDict):
    drift: list[Number]
    overlap: list[Number]
    label_change: list[Number]
    old_label: list[str | None]
    new_label: list[str | None]


class MovedLabel(TypedDict):
    label: str
    samples: int
    shift: Number
    dx: Number
    dy: Number


class Moved(TypedDict):
    layer: str
    since: str
    samples: int
    same_layout: bool
    same_frame: bool
    drift: dict[str, Number]
    overlap: Number
    label_change: Number
    displacement: dict[str, Number]
    cells: list[MovedCells]
    arrows: list[Arrows]
    units: MovedUnits
    labels: list[MovedLabel]


class Image(TypedDict):
    image_id: int
    key: str
    label: str | None
    width: int | None
    height: int | None
    reason: str | None


class Reject(TypedDict):
    image_id: int
    key: str
    reason: str


class Rejects(TypedDict):
    images: int
    first: list[Reject]


class LitCell(TypedDict):
    row: int
    col: int
    positions: int


class Position(TypedDict):
    y: int
    x: int
    cell: list[int] | None
    point: list[float]


class Located(TypedDict):
    layer: str
    grid: int
    height: int
    width: int
    cells: list[LitCell]
    positions: list[Position]
    size: list[int]
    seen: list[float]


class Explained(TypedDict):
    layer: str
    size: list[int]
    seen: list[float]
    choices: list[dict[str, Any]]
    target: dict[str, Any]
    versus: dict[str, Any] | None
    grid: dict[str, Any]
    groups: dict[str, Any]
    attribution: dict[str, Any]
    notes: list[str]


class Salient(TypedDict):
    layer: str
    size: list[int]
    seen: list[float]
    method: str
    score: Number
    target: dict[str, Any]
    signed: bool
    rows: int
    cols: int
    map: str


class Driver(TypedDict):
    unit: int
    effect: Number


class Driven(TypedDict):
    unit: int
    drivers: list[Driver]


class Linked(TypedDict):
    layer: str
    size: list[int]
    seen: list[float]
    to: str
    positions: list[list[list[list[Number]]]]
    drivers: list[Driven]


class PatchPlace(TypedDict):
    rank: int
    image_id: int
    y: int
    x: int


class LinkParts(TypedDict):
    unit: int
    effects: list[Number]


class Links(TypedDict):
    layer: str
    unit: int
    later_layer: str
    patches: list[PatchPlace]
    links: list[LinkParts]


class Facet(TypedDict):
    picture: str
    best: Number
    ratio: Number


class Facets(TypedDict):
    layer: str
    unit: int
    recipe: str
    steps: int
    side: int
    seconds: float
    facets: list[Facet]


class DrawnGradient(TypedDict):
    number: int
    picture: str


class DrawnGradients(TypedDict):
    layer: str
    unit: int
    side: str
    method: str
    gradients: list[DrawnGradient]


class Libraries(TypedDict):
    versions: dict[str, list[str]]
    results: int
    unrecorded: int


class ImageRow(TypedDict):
    image_id: int
    key: str
    label: str | None


class Images(TypedDict):
    images: int
    start: int
    found: list[ImageRow]


ANSWERS: dict[str, Any] = {
    "cells": CellColumns,
    "details": CellDetails,
    "labels": CellLabels,
    "cell": Cell,
    "class": ClassMap,
    "classes": Classes,
    "units": UnitColumns,
    "unit": Unit,
    "card": Card,
    "map": UnitMap,
    "likeness": Likeness,
    "speaks": Speaks,
    "moved": Moved,
    "image": Image,
    "images": Images,
    "rejects": Rejects,
    "libraries": Libraries,
}
