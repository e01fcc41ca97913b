"""`actlas unit`: the card of a unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands import parsing, printing

if TYPE_CHECKING:
    from storage.run import Run

Name = Annotated[str, typer.Argument(help="A run, or NAME@VERSION.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("unit")(unit)


def unit(
    name: Name,
    unit: Annotated[str, typer.Argument(metavar="LAYER:UNIT", show_default=False)],
    sheet: Annotated[str | None, typer.Option(help="Write the card, a PNG.")] = None,
    gradients: Annotated[
        str | None,
        typer.Option(
            help="How patches get their gradient: guided-backprop (where it is defined), gradient, deconvnet."
        ),
    ] = None,
    draw: Annotated[bool, typer.Option(help="Draw the unit's own picture where the run has no gallery.")] = True,
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Show all that is known of a unit: patches, labels, how its values are spread, units like it, links, classes.

    Example:  actlas unit efficientnet-lite0 _blocks.10:37 --sheet unit37.png
    """
    from flows.questions import addresses, units
    from storage.errors import UsageError
    from storage.run import open_run

    if gradients and not sheet:
        raise UsageError("--gradients are drawn on the card; say --sheet FILE.png, too")
    if sheet:
        parsing.png(sheet, "--sheet")
    run = open_run(store, name)
    answer = units.unit(run, *addresses.parse_unit(unit))
    if sheet:
        answer["method"] = _write_card(run, answer, sheet, gradients, draw)
        printing.say(f"wrote {sheet}")
    if json:
        printing.as_json(answer)
    else:
        _print_answer(answer)


def _write_card(run: Run, answer: dict[str, Any], path: str, method: str | None, draw: bool) -> str | None:
    """Write the card; return the method of its gradients."""
    import sys

    from flows import progress
    from flows.drawing import unit_pictures
    from flows.sheets import unit_card
    from storage.artefacts import pictures

    out = parsing.png(path, "--sheet")
    with progress.reporting(progress.for_stream(sys.stderr)):
        drawings = unit_pictures.gather(run, answer, method=method, draw=draw)
    for remark in drawings.remarks:
        printing.say(remark)
    pictures.write_png(unit_card.draw(answer, drawings), out)
    return drawings.methods.get("positive")


def _print_answer(answer: dict[str, Any]) -> None:
    """Print the main facts in a few lines and tables."""
    from flows.sheets.unit_card import percent, sentence

    print(f"{answer['layer']}:{answer['unit']} of {answer['run']}@{answer['version']}: {sentence(answer)}")
    printing.as_table(
        {"from": part["from"], "to": part["to"], "samples": part["count"], "share": percent(part["share"])}
        for part in answer["intervals"]
    )
    printing.as_table(answer["labels"]["counts"][:8])
    printing.as_table({"unit": row["unit"], "cosine": f"{row['cosine']:.2f}"} for row in answer["alike"]["activation"])
    printing.as_table({"unit": row["unit"], "in common": f"{row['shared']:.0%}"} for row in answer["alike"]["images"])
    for side, layer in (("driven", "layer"), ("drives", "later_layer")):
        links = [] if answer[side] is None else answer[side]["exciting"] + answer[side]["inhibiting"]
        printing.as_table(
            {f"{side} {answer[side][layer]}": row["unit"], "influence": f"{row['influence']:+.4g}"} for row in links
        )
    for direction in ("for", "against") if answer["classes"] else ():
        printing.as_table(
            {f"{direction} class": row["name"], "correlation": f"{row['correlation']:+.2f}"}
            for row in answer["classes"][direction]
        )
