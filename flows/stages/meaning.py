"""Meaning: encode the strongest patches of every unit, of both signs, and score how alike an encoder finds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image

from atlas.arrays import SIGNS
from atlas.boxes import SIDES
from atlas.meaning import mis
from flows import progress
from flows.config import RunConfig
from flows.cores import cores
from flows.planning import libraries
from flows.planning.costs import Cost, Estimate, Probe, Size
from flows.planning.tasks import Outcome, Output, Task
from flows.stages import image_listing, patches
from flows.stages.shared import reading
from flows.stages.shared.writing import drafting, outcome
from storage.artefacts import arrays, meanings, pictures, tables
from storage.encoders import loading, names
from storage.encoders.contract import Encoder
from storage.errors import BadWeights
from storage.images import crops
from storage.store.store import Result, Store

if TYPE_CHECKING:
    from flows.planning.context import PlanContext


BATCH = 32
"""Patches encoded together: always the same number, so that no vector depends on how many are left."""
SECONDS = 0.06
"""What one patch takes on one core of a processor of 2024, with the encoder that is taken by default."""

Column = NDArray[Any]


def compute(store: Store, task: Task) -> list[Outcome]:
    """Encode the patches of one layer."""
    config, output = RunConfig(**task.settings["config"]), task.outputs[0]
    encoder, stored = _planned(task), store.get("patches", task.reads["patches"])
    columns = _patches(stored)
    first, row = _distinct(columns)
    rows = image_listing.read(store, task.reads["listing"])
    with progress.current().bar(f"meaning {output.layer}", len(first), "patches") as advance:
        cut = crops.crops(
            reading.source_of(config),
            rows,
            columns["image_id"][first],
            columns["box"][first],
            encoder.side,
            threads=cores(),
        )
        vectors, valid = _encode(encoder, cut, advance)
    with drafting(store, output) as draft:
        _write(draft.path, columns, np.where(valid[row], row, -1), vectors)
        scores = _scores(stored, columns, np.where(valid[row], row, -1), vectors)
        tables.write_table(draft.path / "meaning.parquet", _table(encoder, scores))
        record = {
            "encoder": encoder.name,
            "weights": encoder.weights,
            "side": encoder.side,
            "alpha": _number(scores.alpha),
        }
        draft.json("meaning.json", record | {"width": vectors.shape[1], "references": mis.REFERENCES})
        draft.counts = {"units": len(scores.both), "patches": len(row), "vectors": int(valid.sum())}
    return [outcome(draft)]


def _planned(task: Task) -> Encoder:
    """Return the task's encoder. Raises BadWeights where it is not the one that the task was planned with."""
    encoder = loading.load(task.settings["encoder"])
    if encoder.weights != task.settings["encoder_weights"]:
        raise BadWeights(
            f"encoder {encoder.name}: its weights differ from those of the plan; run again with the same ones"
        )
    return encoder


def _patches(result: Result) -> dict[str, Column]:
    """Return unit, sign, rank, image_id and focus box `n 4` of all stored patches, by unit, sign and rank."""
    sides = [f"focus_{side}" for side in SIDES]
    table = tables.read_table(result.file("patches.parquet"), ["unit", "sign", "rank", "image_id", *sides])
    columns: dict[str, Column] = {name: table[name].to_numpy() for name in ("unit", "rank", "image_id")}
    columns["sign"] = (table["sign"].to_numpy() == "negative").astype(np.int8)
    return columns | {"box": np.stack([table[side].to_numpy() for side in sides], axis=1).astype(np.int32)}


def _distinct(columns: dict[str, Column]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first patch of each part of an image, and each patch's number among them: units share many."""
    parts = np.column_stack([columns["image_id"], columns["box"]])
    _, first, row = np.unique(parts, axis=0, return_index=True, return_inverse=True)
    return first, row.reshape(-1)


def _encode(
    encoder: Encoder, cut: list[bytes], advance: Callable[[int], None]
) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """Return the vectors `n d` of JPEGs, and which of them there are: one of a rejected image is empty."""
    valid = np.array([bool(data) for data in cut], np.bool_)
    numbers, batches = np.flatnonzero(valid), list[NDArray[np.float16]]()
    for start in range(0, len(numbers), BATCH):
        chosen = numbers[start : start + BATCH]
        pixels = np.stack([_square(cut[number], encoder.side) for number in np.resize(chosen, BATCH).tolist()])
        batches.append(encoder.images(torch.from_numpy(pixels)).numpy()[: len(chosen)].astype(np.float16))
        advance(start + len(chosen))
    width = batches[0].shape[1] if batches else 1
    vectors = np.zeros((len(cut), width), np.float16)
    vectors[numbers] = np.concatenate(batches) if batches else 0
    return vectors, valid


def _square(data: bytes, side: int) -> NDArray[np.uint8]:
    """Return a picture stretched to a square, so that nothing of the patch is cut off."""
    image = Image.fromarray(pictures.decode(data))
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))


def _write(folder: Any, columns: dict[str, Column], row: Column, vectors: NDArray[np.float16]) -> None:
    arrays.write_group(folder / "vectors.zarr", {"vectors": vectors})
    sign = np.array(SIGNS)[columns["sign"]]
    encoded = {"unit": columns["unit"], "sign": sign, "rank": columns["rank"], "row": row.astype(np.int32)}
    tables.write_table(folder / "encoded.parquet", pa.table(encoded), row_group_size=patches.GROUP)


def _scores(stored: Result, columns: dict[str, Column], row: Column, vectors: NDArray[np.float16]) -> mis.Scores:
    """Return the scores of all units; one whose extremes hardly differ is constant."""
    plain = meanings.unit_vectors(vectors)
    units = stored.counts["units"]
    sides = [
        [plain[row[start:stop]][row[start:stop] >= 0] for start, stop in _spans(columns, units, sign)]
        for sign in (0, 1)
    ]
    extremes = tables.read_table(stored.file("units.parquet"), [f"{sign}_extreme" for sign in SIGNS])
    with np.errstate(invalid="ignore"):
        spread = extremes["positive_extreme"].to_numpy() - extremes["negative_extreme"].to_numpy()
    return mis.scores(sides[0], sides[1], ~(spread >= CONSTANT))


CONSTANT = 1e-8
"""Units whose largest and least value differ by less have no score."""


def _spans(columns: dict[str, Column], units: int, sign: int) -> list[tuple[int, int]]:
    """Return where the patches of each unit's sign start and stop: they are stored by unit, sign and rank."""
    place = columns["unit"].astype(np.int64) * len(SIGNS) + columns["sign"]
    wanted = np.arange(units) * len(SIGNS) + sign
    edges = (np.searchsorted(place, wanted, side=side).tolist() for side in ("left", "right"))
    return list(zip(*edges, strict=True))


def _table(encoder: Encoder, scores: mis.Scores) -> pa.Table:
    number = len(scores.both)
    columns = {"mis": scores.both, "mis_positive": scores.positive, "mis_negative": scores.negative}
    return pa.table(
        {
            "unit": np.arange(number, dtype=np.int32),
            "encoder": pa.array([encoder.name] * number, pa.large_string()),
            "weights": pa.array([encoder.weights] * number, pa.large_string()),
            **{name: pa.array(values, from_pandas=True) for name, values in columns.items()},
        }
    )


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def plan(context: PlanContext) -> list[Task]:
    """Return one task per layer. Raises UsageError or BadWeights, before any image is read, if there is no such encoder."""
    encoder = loading.load(context.config.encoder or names.DEFAULT)
    return [_task(context, layer, encoder) for layer in context.layers]


def _task(context: PlanContext, layer: str, encoder: Encoder) -> Task:
    reads = {"patches": patches.key(context, layer)}
    chosen = {"encoder": encoder.name, "encoder_weights": encoder.weights}
    settings = chosen | {"side": encoder.side, "batch": BATCH, "quality": crops.QUALITY, **libraries.of_key("meaning")}
    output = Output(stage="meaning", key=context.key("meaning", reads, settings), layer=layer)
    return context.task("meaning", [output], reads | {"listing": context.listing}, chosen)


def cost(probed: Cost, size: Size, probe: Probe) -> Estimate:
    """Count each stored patch once; units share some."""
    encoded = 2 * 64 * size.units
    return Estimate(seconds=SECONDS * encoded / cores(), bytes=(2 * 384 + 8) * encoded)
