"""`actlas map` and `influence`: questions to what `actlas run --with` made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands import parsing, printing

if TYPE_CHECKING:
    from atlas.arrays import Byte
    from storage.run import Run

Name = Annotated[str, typer.Argument(help="A run, or NAME@VERSION.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("map")(class_map)
    app.command("influence")(influence)


def class_map(
    name: Name,
    layer: Annotated[str, typer.Argument(show_default=False)],
    grid: Annotated[int, typer.Argument(show_default=False)],
    wanted: Annotated[str, typer.Argument(metavar="CLASS", help="A class's name or index.", show_default=False)],
    k: Annotated[int, typer.Option("-k", "--k", help="How many cells; JSON has all.")] = 16,
    sheet: Annotated[str | None, typer.Option(help="Draw the map, a PNG.")] = None,
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Show how strongly the cells of a grid speak for a class. Needs a run made --with attribution.

    Example:  actlas map efficientnet-lite0 _blocks.14 20 "tabby, tabby cat"
    """
    from flows.questions import classes, runs

    if sheet is not None:
        parsing.png(sheet, "--sheet")
    run = runs.open_run(store, name)
    answer = classes.class_map(run, layer, grid, wanted)
    if sheet is not None:
        from flows.sheets import class_map as class_map_sheet

        _write(class_map_sheet.draw, run, answer, sheet)
    if json:
        printing.as_json(answer)
        return
    cells = sorted(answer["cells"], key=lambda cell: -cell["mean"])
    print(
        f"{layer} {grid} × {grid}: class {answer['class']} {answer['name']}, the {min(k, len(cells))} strongest cells"
    )
    printing.as_table(
        {
            "row,col": f"{cell['row']},{cell['col']}",
            "samples": cell["count"],
            "mean": f"{cell['mean']:.4g}",
            "rank in cell": cell["rank"],
        }
        for cell in cells[:k]
    )


def influence(
    name: Name,
    unit: Annotated[str, typer.Argument(metavar="LAYER:UNIT", show_default=False)],
    k: Annotated[int, typer.Option("-k", "--k", min=1, max=16, help="How many of each effect.")] = 8,
    sheet: Annotated[str | None, typer.Option(help="Draw them with their pictures, a PNG.")] = None,
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Show the units of the next layer that a unit excites and inhibits. Needs a run made --with influence.

    Example:  actlas influence efficientnet-lite0 _blocks.10:37
    """
    from flows.questions import classes, runs

    if sheet is not None:
        parsing.png(sheet, "--sheet")
    run = runs.open_run(store, name)
    answer = classes.influence(run, *runs.parse_unit(unit), k=k)
    if sheet is not None:
        from flows.sheets import influence as influence_sheet

        _write(influence_sheet.draw, run, answer, sheet)
    if json:
        printing.as_json(answer)
        return
    if answer["note"]:
        printing.say(f"{unit}: {answer['note']}")
    print(f"{unit} drives units of {answer['later_layer']}, over {answer['patches']} patches")
    printing.as_table(
        {
            "effect": effect,
            "unit": row["unit"],
            "influence": f"{row['influence']:+.4g}",
            "agreement": f"{row['agreement']:.2f}",
        }
        for effect in ("exciting", "inhibiting")
        for row in answer[effect]
    )


def _write(draw: Callable[[Run, dict[str, Any]], Byte], run: Run, answer: dict[str, Any], path: str) -> None:
    """Draw a sheet of an answer into a PNG."""
    from storage.artefacts import pictures

    pictures.write_png(draw(run, answer), parsing.png(path, "--sheet"))
    printing.say(f"wrote {path}")
