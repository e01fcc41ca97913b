"""`actlas unit`: the card of a unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands import output, reading

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
    store: output.Store = output.DEFAULT_STORE,
    json: output.Json = False,
) -> None:
    """Show all that is known of a unit: patches, labels, how its values are spread, units like it, links, classes.

    Example:  actlas unit efficientnet-lite0 _blocks.10:37 --sheet unit37.png
    """
    from flows import query, units
    from storage.errors import UsageError

    if gradients and not sheet:
        raise UsageError("--gradients are drawn on the card; say --sheet FILE.png, too")
    if sheet:
        reading.png(sheet, "--sheet")
    run = query.open_run(store, name)
    answer = units.unit(run, *query.parse_unit(unit))
    if sheet:
        answer["method"] = _draw(run, answer, sheet, gradients, draw)
        output.say(f"wrote {sheet}")
    if json:
        output.as_json(answer)
    else:
        _tell(answer)


def _draw(run: Run, answer: dict[str, Any], path: str, method: str | None, draw: bool) -> str | None:
    """Write the card; return the method of its gradients."""
    import sys

    from flows import progress, unit_cards, unit_pictures
    from storage import pictures

    out = reading.png(path, "--sheet")
    with progress.reporting(progress.for_stream(sys.stderr)):
        made = unit_pictures.gather(run, answer, method=method, draw=draw)
    for remark in made.remarks:
        output.say(remark)
    pictures.write_png(unit_cards.draw(answer, made), out)
    return made.methods.get("positive")


def _tell(answer: dict[str, Any]) -> None:
    """Say the main things in a few lines and tables."""
    from flows.unit_cards import percent, sentence

    print(f"{answer['layer']}:{answer['unit']} of {answer['run']}@{answer['version']}: {sentence(answer)}")
    output.as_table(
        {"from": part["from"], "to": part["to"], "samples": part["count"], "share": percent(part["share"])}
        for part in answer["intervals"]
    )
    output.as_table(answer["labels"]["counts"][:8])
    output.as_table({"unit": row["unit"], "cosine": f"{row['cosine']:.2f}"} for row in answer["alike"]["activation"])
    output.as_table({"unit": row["unit"], "in common": f"{row['shared']:.0%}"} for row in answer["alike"]["images"])
    for side, layer in (("driven", "layer"), ("drives", "later_layer")):
        links = [] if answer[side] is None else answer[side]["exciting"] + answer[side]["inhibiting"]
        output.as_table(
            {f"{side} {answer[side][layer]}": row["unit"], "influence": f"{row['influence']:+.4g}"} for row in links
        )
    for direction in ("for", "against") if answer["classes"] else ():
        output.as_table(
            {f"{direction} class": row["name"], "correlation": f"{row['correlation']:+.2f}"}
            for row in answer["classes"][direction]
        )
