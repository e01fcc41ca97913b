"""Print a comparison of two datasets, and write its sheet and its table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.commands.shared import printing

if TYPE_CHECKING:
    from PIL import Image

    from flows.comparing.datasets.answer_types import DatasetComparison, DatasetLayer
    from flows.comparing.datasets.measure import LayerDifference
    from flows.comparing.datasets.pair import Datasets

FEW = 30
"""Images below which a dataset gets a remark: a difference has to be large to be told from chance."""


def write_files(
    paths: dict[str, Path], compared: Datasets, answer: DatasetComparison, layers: Sequence[LayerDifference]
) -> None:
    """Write the sheet and the table that were asked for."""
    from flows.comparing.datasets import table
    from flows.sheets import datasets as sheet
    from storage.artefacts import pictures

    if "--out" in paths:
        images = _images(compared, sheet.wanted(answer, layers))
        pictures.write_png(sheet.draw(answer, layers, images), paths["--out"])
    if "--parquet" in paths:
        table.write(paths["--parquet"], answer, layers)
    for path in paths.values():
        printing.say(f"wrote {path}")


def _images(compared: Datasets, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Image.Image | None]:
    """Read images of both datasets, None for each that is missing."""
    from flows.model import images

    pictures: dict[tuple[int, int], Image.Image | None] = {}
    for side, run in enumerate(compared.runs):
        ids = [image for number, image in wanted if number == side]
        read = images.images(run, [{"image_id": image} for image in ids])
        pictures |= {(side, image): picture for image, picture in zip(ids, read, strict=True)}
    return pictures


def print_answer(answer: DatasetComparison, k: int) -> None:
    """Print both datasets, a row per layer, and the cells, units and labels that differ most beyond chance."""
    a, b = (f"{one['run']}@{one['version']} ({printing.counted(one['images'], 'image')})" for one in answer["datasets"])
    shared = printing.counted(answer["shared_images"], "image")
    print(f"{a} and {b}: two datasets" + (f", {shared} in both" if answer["shared_images"] else ""))
    printing.as_table(_layer_row(layer) for layer in answer["layers"])
    _print_ranking("cells that differ", _cell_rows(answer), k)
    _print_ranking("units that shift", _unit_rows(answer), k)
    _print_ranking("labels that differ", _label_rows(answer), k)
    _print_ranking("images farthest from the first dataset", _outlier_rows(answer), k)
    print(f"\n{answer['rule']}")


def _layer_row(layer: DatasetLayer) -> dict[str, Any]:
    row: dict[str, Any] = {"layer": layer["layer"], "p": layer["p"], "shift": layer["shift"]}
    row |= {"units": sum(unit["beyond"] for unit in layer["units"]), "unlike": layer["unlike"]["shares"][1]}
    finest = next(reversed(layer["cells"]), None)
    if finest is not None:
        cells = layer["cells"][finest]
        row |= {f"even {finest}": cells["even"], "denser": cells["denser"], "thinner": cells["thinner"]}
        row |= {"appeared": cells["appeared"], "emptied": cells["emptied"]}
    return row | {"remark": f"only {min(layer['images'])} images" if min(layer["images"]) < FEW else ""}


def _cell_rows(answer: DatasetComparison) -> list[dict[str, Any]]:
    rows = [
        {
            "layer": layer["layer"],
            "cell": f"{grid}:{cell['row']},{cell['col']}",
            "state": cell["state"],
            "samples": cell["samples"],
            "ratio": cell["ratio"],
            "low": cell["low"],
            "high": cell["high"],
            "images": cell["makers"],
            "first": Path(cell["images"][0]["key"]).name if cell["images"] else "",
        }
        for layer in answer["layers"]
        for grid, densities in layer["cells"].items()
        for cell in densities["cells"]
        if cell["state"] != "even"
    ]
    return sorted(rows, key=lambda row: row["state"] not in ("appeared", "emptied"))


def _unit_rows(answer: DatasetComparison) -> list[dict[str, Any]]:
    rows = [
        {"layer": layer["layer"], **{name: unit[name] for name in ("unit", "shift", "low", "high", "p")}}
        for layer in answer["layers"]
        for unit in layer["units"]
        if unit["beyond"]
    ]
    return sorted(rows, key=lambda row: -abs(row["shift"]))


def _label_rows(answer: DatasetComparison) -> list[dict[str, Any]]:
    """Return labels whose share or whose images differ; the share depends little on the layer, the shift does."""
    rows = [
        {
            "layer": layer["layer"],
            "label": label["label"],
            "images": label["images"],
            "ratio": label["ratio"],
            "p": label["p"],
            "shift": label["shift"],
            "shift_p": label["shift_p"],
        }
        for layer in answer["layers"]
        for label in layer["labels"]
        if label["beyond"] or label["shift_beyond"]
    ]
    return sorted(rows, key=lambda row: (row["p"], row["shift_p"] or 1))


def _outlier_rows(answer: DatasetComparison) -> list[dict[str, Any]]:
    rows = [
        {"layer": layer["layer"], **{name: image[name] for name in ("image_id", "distance", "label", "path")}}
        for layer in answer["layers"]
        for image in layer["unlike"]["images"]
    ]
    return sorted(rows, key=lambda row: -(row["distance"] or 0))


def _print_ranking(title: str, rows: list[dict[str, Any]], k: int) -> None:
    if rows:
        print(f"\n{title}" + (f" ({k} of {len(rows)}; --k lists more)" if len(rows) > k else ""))
        printing.as_table(rows[:k])
