"""The samples of a layer as a table: image, position, label, and the classes that each of them speaks for."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from atlas.arrays import Float, Int
from flows import guarded_sql
from flows.questions import classes
from storage.artefacts import images as image_tables
from storage.errors import UsageError, first_line
from storage.run import Run

OF_IMAGES = ("key", "path", "label", "label_id", "width", "height")
"""Columns of `images` that the table repeats for each sample."""


def where(run: Run, layer: str, condition: str) -> Int:
    """Return the numbers of a layer's samples that fit a condition in SQL, ascending. Raises UsageError."""
    query = f"SELECT sample FROM samples WHERE (\n{condition}\n)"
    rows = table(run, layer, query)
    try:
        chosen = guarded_sql.column({"samples": lambda: rows}, query).cast(pa.int64()).to_numpy()
    except (UsageError, pa.ArrowException) as error:
        raise UsageError(f"--where {condition}: {first_line(error)}") from None
    return np.unique(chosen)


def all_layers(run: Run, query: str) -> pa.Table:
    """Return the samples of all layers that the run has, with the columns that a query names."""
    parts = [table(run, layer, query) for layer in run.layers if run.has_samples(layer)]
    return pa.concat_tables(parts, promote_options="default")


def table(run: Run, layer: str, query: str) -> pa.Table:
    """Return the samples of a layer in the order in which they are stored, with the columns that a query names.

    Columns layer, sample, image_id, y, x; of the image key, name, path, label, label_id, width, height and bytes; norm of
    the activation, layout_x and layout_y; first_choice of the model for the image, and its probability; strongest_class (the
    class whose score the sample adds most to), and attribution, a map from its five strongest classes to what it adds.
    """
    places = positions(run, layer)
    number = len(places["image_id"])
    columns: dict[str, pa.Array] = {
        "layer": pa.array([layer] * number, pa.large_string()),
        "sample": pa.array(np.arange(number)),
        **{name: pa.array(column) for name, column in places.items()},
        **_of_images(run, places["image_id"], query),
    }
    every = guarded_sql.mentioned(query).every
    if every or _named("norm", query):
        columns["norm"] = pa.array(_norms(run, layer))
    if _named("layout_[xy]", query) or (every and run.has("layout", layer)):
        points = run.layout(layer)
        columns |= {"layout_x": pa.array(points[:, 0]), "layout_y": pa.array(points[:, 1])}
    if _named("(first_choice|probability)", query) or (every and run.has("choices")):
        columns |= _choices(run, places["image_id"])
    if _named("(strongest_class|attribution)", query) or (every and _attributed(run, layer)):
        columns |= _classes(run, layer)
    return pa.table(columns)


def positions(run: Run, layer: str) -> dict[str, np.ndarray]:
    """Return image_id, y and x of the samples of a layer."""
    from storage.artefacts import samples

    return samples.read_positions(run.sample_results(layer))


def class_values(run: Run, layer: str, index: int) -> Float:
    """Return what each sample adds to the score of a class, NaN where it is not among the sample's five strongest classes.

    Raises Incomplete where the run has no attribution.
    """
    first, values = strongest_classes(run, layer)
    matches = first == index
    return np.where(matches.any(axis=1), np.where(matches, values, 0).sum(axis=1), np.nan).astype(np.float32)


def strongest_classes(run: Run, layer: str) -> tuple[Int, Float]:
    """Return the classes whose scores each sample adds most to, and what it adds, `n k`; −1 and NaN where none is stored.

    Each grid has those of the samples in its cells. Raises Incomplete where the run has no attribution.
    """
    grids = _attributed(run, layer) or [run.grids[-1] if run.grids else None]
    number = len(positions(run, layer)["image_id"])
    first, values = np.full((number, 1), -1, np.int64), np.full((number, 1), np.nan, np.float32)
    for grid in grids:
        run.result("attribution", layer, grid)  # raises where there is none
        stored = run.attribution(layer, int(grid or 0))
        width = max(first.shape[1], stored.sample_classes.shape[1])
        first, values = _widened(first, width, -1), _widened(values, width, np.nan)
        first[stored.sample, : stored.sample_classes.shape[1]] = stored.sample_classes
        values[stored.sample, : stored.sample_values.shape[1]] = stored.sample_values
    return first, values


def _widened(array: np.ndarray, width: int, fill: float) -> np.ndarray:
    return np.pad(array, ((0, 0), (0, width - array.shape[1])), constant_values=fill)


def _attributed(run: Run, layer: str) -> list[int | None]:
    return [grid for grid in run.grids if run.has("attribution", layer, grid)]


def _named(column: str, query: str) -> bool:
    """Tell whether a query names a column: it is an error if the run lacks it, and not for `*`."""
    return re.search(rf"\b{column}\b", query, re.IGNORECASE) is not None


def _of_images(run: Run, image_id: Int, query: str) -> dict[str, pa.Array]:
    """Return the columns of each sample's image; the facts of images are read only where one of them is named."""
    every = guarded_sql.mentioned(query).every
    names = [name for name in (*OF_IMAGES, "name") if every or _named(name, query)]
    columns = _facts(run, image_id, names) if names else {}
    if every or _named("bytes", query):
        listed = image_tables.read_rows(run.result("listing"), "images.parquet", None, ["bytes"])
        columns["bytes"] = listed["bytes"].take(pa.array(image_id))
    return columns


def _facts(run: Run, image_id: Int, names: Sequence[str]) -> dict[str, pa.Array]:
    images = run.images_of_units()
    row = pa.array(np.searchsorted(images["image_id"].to_numpy(), image_id))
    columns = {name: images[name].take(row) for name in names if name in images.column_names}
    if "name" in names:
        columns["name"] = pc.replace_substring_regex(images["key"].take(row), r"^.*/", "")
    return columns


def _choices(run: Run, image_id: Int) -> dict[str, pa.Array]:
    """Return the model's first choice for each sample's image, null where it has none, and its probability."""
    choices = run.choices(np.unique(image_id).tolist())
    first = choices.filter(pc.equal(choices["rank"], 0)).sort_by("image_id")
    row = pc.index_in(pa.array(image_id), first["image_id"])
    names = pa.array(class_names(run, len(run.model["classes"])), pa.large_string())
    number = first["class"].take(row)
    named = names.take(number) if len(names) else pc.cast(number, pa.large_string())
    return {"first_choice": named, "probability": first["probability"].take(row)}


def _norms(run: Run, layer: str) -> Float:
    return np.concatenate([np.linalg.norm(part.activations, axis=1) for part in run.samples_by_shard(layer)])


def _classes(run: Run, layer: str) -> dict[str, pa.Array]:
    """Return the strongest class of each sample, and its strongest classes with what it adds to each; null where none is stored."""
    first, values = strongest_classes(run, layer)
    names = pa.array(class_names(run, int(first.max(initial=-1)) + 1), pa.large_string())
    there = first >= 0
    ends = np.append(0, np.cumsum(there.sum(axis=1))).astype(np.int32)
    attribution = pa.MapArray.from_arrays(pa.array(ends), names.take(pa.array(first[there])), pa.array(values[there]))
    known = pa.array(first[:, 0], mask=~there[:, 0])
    return {"strongest_class": names.take(known), "attribution": attribution}


def class_names(run: Run, number: int) -> list[str]:
    """Return the names of the classes up to a number, `class:INDEX` for one of several with the same name."""
    names = [classes.class_name(run, index) for index in range(number)]
    every = list(map(str, run.model["classes"]))
    return [name if every.count(name) < 2 else f"class:{index}" for index, name in enumerate(names)]
