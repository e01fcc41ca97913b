"""`actlas compare`: measure what a model update moved, or where two datasets differ, against thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from flows.commands import compared_datasets
from flows.commands.shared import printing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flows.comparing.answers import ComparedLayer, ComparedStep, Comparison, Crossing, LeftOut
    from flows.comparing.datasets.answer_types import DatasetComparison
    from flows.comparing.thresholds import Rule

SHOWN = 15

FEW = 30
"""Shared samples below which a layer gets a remark: medians and correlations of fewer say little."""


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("compare")(compare)


def compare(
    names: Annotated[
        list[str],
        typer.Argument(metavar="A B...", help="Runs, NAME or NAME@VERSION, oldest first.", show_default=False),
    ],
    layer: Annotated[list[str] | None, typer.Option(help="Only this layer; may be repeated.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How many units and labels to list.")] = SHOWN,
    out: Annotated[str | None, typer.Option(help="Write a PNG: old and new atlas, and the motion between.")] = None,
    parquet: Annotated[str | None, typer.Option(help="Write every unit, cell, label and sample to a file.")] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(help="Exit with code 5 if a layer crosses this threshold, as in `drift>0.2`; may be repeated."),
    ] = None,
    noise: Annotated[bool, typer.Option(help="Lay A out again with another seed, as the baseline for motion.")] = True,
    datasets: Annotated[
        bool | None,
        typer.Option(
            "--datasets/--versions",
            help="Compare the images of A and B, or what moved on the same images; if left out, "
            "datasets where two runs have no image in common.",
            show_default=False,
        ),
    ] = None,
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Compare versions of a model on the same images, or two datasets with one model: what differs beyond chance.

    Example:  actlas compare photos@1 photos --out update.png --fail-if 'drift>0.2'
              actlas compare photos incoming --out sets.png --fail-if 'p<0.01' --fail-if 'shift>0.2'
    """
    from flows.comparing import thresholds

    rules = [thresholds.parse(text) for text in fail_if or []]
    paths = {option: _output_file(option, path) for option, path in (("--out", out), ("--parquet", parquet)) if path}
    as_datasets = _without_shared_images(store, names) if datasets is None else datasets
    thresholds.check(rules, datasets=as_datasets)
    compared = _datasets if as_datasets else _versions
    answer = compared(store, names, layer or (), rules, paths, noise)
    if json:
        printing.as_json(answer)
    elif as_datasets:
        compared_datasets.print_answer(cast("DatasetComparison", answer), k)
    else:
        _print_answer(cast("Comparison", answer), k)
    _report(answer["left_out"], answer["crossed"], "samples" if as_datasets else "layout")
    raise typer.Exit(thresholds.CROSSED if answer["crossed"] else 0)


def _without_shared_images(store: str, names: Sequence[str]) -> bool:
    from flows.comparing.datasets import pair
    from storage.run import open_run

    return len(names) == 2 and not pair.share_images(*(open_run(store, name) for name in names))


def _versions(
    store: str, names: Sequence[str], layers: Sequence[str], rules: Sequence[Rule], paths: dict[str, Path], noisy: bool
) -> Comparison:
    from flows.comparing import answers as comparison_answer
    from flows.comparing import measure, thresholds

    with printing.computing():
        steps = measure.measure(store, names, layers=layers, noisy=noisy)
    answer = comparison_answer.describe(steps, chosen=layers)
    answer["crossed"] = thresholds.crossings(answer, rules)
    _write_files(paths, answer, steps)
    return answer


def _datasets(
    store: str, names: Sequence[str], layers: Sequence[str], rules: Sequence[Rule], paths: dict[str, Path], noisy: bool
) -> DatasetComparison:
    from flows.comparing import thresholds
    from flows.comparing.datasets import answers as dataset_answer
    from flows.comparing.datasets import measure, pair

    with printing.computing():
        compared = pair.datasets(store, names, layers)
        differences = list(measure.measure(compared))
    answer = dataset_answer.describe(compared, differences)
    answer["crossed"] = thresholds.dataset_crossings(answer, rules)
    compared_datasets.write_files(paths, compared, answer, differences)
    return answer


def _report(left_out: Sequence[LeftOut], crossed: Sequence[Crossing], what: str) -> None:
    """Say on stderr which layers were left out, and which thresholds were crossed."""
    for one in left_out:
        missing = ", ".join(one["missing"])
        printing.say(f"{one['layer']} is left out: {missing} has no {what} of it; --layer names those to compare")
    for crossing in crossed:
        value = "cannot be told" if crossing["value"] is None else f"is {crossing['value']:.4g}"
        printing.say(f"{crossing['rule']}: {crossing['metric']} of {crossing['layer']} in {crossing['to']} {value}")


def _output_file(option: str, path: str) -> Path:
    """Return the path of an output file. Raises UsageError, before anything is measured, if it cannot be written there."""
    from storage.errors import UsageError

    file = Path(path)
    if file.is_dir() or not file.resolve().parent.is_dir():
        raise UsageError(f"{option} {path}: name a file in an existing folder")
    return file


def _write_files(paths: dict[str, Path], answer: Comparison, steps: Any) -> None:
    from flows.comparing import table as comparison_table
    from flows.sheets import comparison as comparison_sheet
    from storage.artefacts import pictures

    if "--out" in paths:
        pictures.write_png(comparison_sheet.draw(answer, steps), paths["--out"])
    if "--parquet" in paths:
        comparison_table.write(paths["--parquet"], answer, steps)
    for path in paths.values():
        printing.say(f"wrote {path}")


def _print_answer(answer: Comparison, k: int) -> None:
    for step in answer["steps"]:
        print(f"{step['from']} → {step['to']}")
        printing.as_table(_layer_row(layer) for layer in step["layers"])
        _print_ranking("units that drifted most", _unit_rows(step), k)
        _print_ranking("labels that moved most", _label_rows(step), k)
        print()


def _layer_row(layer: ComparedLayer) -> dict[str, Any]:
    displacement, finest = layer["displacement"], next(reversed(layer["cells"]), None)
    row: dict[str, Any] = {
        "layer": layer["layer"],
        "samples": layer["samples"],
        "drift": layer["drift"]["median"],
        "overlap": layer["overlap"],
        "moved": displacement["median"],
        "noise": displacement["noise_median"],
        "beyond noise": displacement["beyond_noise"],
    }
    if finest is not None:
        cells = layer["cells"][finest]
        row |= {f"cells {finest}": cells["kept"]}
        row |= {"changed": cells["changed"], "appeared": cells["appeared"], "emptied": cells["emptied"]}
    return row | {"remark": _remark(layer)}


def _remark(layer: ComparedLayer) -> str:
    few = [f"only {layer['samples']} shared samples"] if layer["samples"] < FEW else []
    if layer["same_samples"]:
        return "; ".join(["samples unchanged", *few])
    return "; ".join([*([] if layer["same_frame"] else ["laid out apart: brought over"]), *few])


def _unit_rows(step: ComparedStep) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"layer": layer["layer"], **unit} for layer in step["layers"] for unit in layer["units"]
    ]
    return sorted((row for row in rows if row["drift"]), key=lambda row: -row["drift"])


def _label_rows(step: ComparedStep) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"layer": layer["layer"], **label} for layer in step["layers"] for label in layer["labels"]
    ]
    return sorted((row for row in rows if row["shift"] > 0), key=lambda row: -row["shift"])


def _print_ranking(title: str, rows: list[dict[str, Any]], k: int) -> None:
    if rows:
        print(f"\n{title}" + (f" ({k} of {len(rows)}; --k lists more)" if len(rows) > k else ""))
        printing.as_table(rows[:k])
