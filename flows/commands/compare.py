"""`actlas compare`: measure what a model update moved, against thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands.shared import printing

if TYPE_CHECKING:
    from flows.comparing.answers import ComparedLayer, ComparedStep, Comparison

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
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Compare versions or runs that share images and layers: what moved, and how far, compared with chance.

    Example:  actlas compare photos@1 photos --out update.png --fail-if 'drift>0.2'
    """
    from flows.comparing import answers as comparison_answer
    from flows.comparing import measure, thresholds

    rules = [thresholds.parse(text) for text in fail_if or []]
    paths = {option: _output_file(option, path) for option, path in (("--out", out), ("--parquet", parquet)) if path}
    with printing.computing():
        steps = measure.measure(store, names, layers=layer or (), noisy=noise)
    answer = comparison_answer.describe(steps, chosen=layer or ())
    answer["crossed"] = thresholds.crossings(answer, rules)
    _write_files(paths, answer, steps)
    if json:
        printing.as_json(answer)
    else:
        _print_answer(answer, k)
    for left_out in answer["left_out"]:
        missing = ", ".join(left_out["missing"])
        printing.say(f"{left_out['layer']} is left out: {missing} has no layout of it; --layer names those to compare")
    for crossed in answer["crossed"]:
        value = "cannot be told" if crossed["value"] is None else f"is {crossed['value']:.4g}"
        printing.say(f"{crossed['rule']}: {crossed['metric']} of {crossed['layer']} in {crossed['to']} {value}")
    raise typer.Exit(thresholds.CROSSED if answer["crossed"] else 0)


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
