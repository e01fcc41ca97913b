"""`actlas cell`, `map` and `locate`: what a run knows of the cells of its atlas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.shared import parsing, printing
from flows.commands.shared.printing import Name

if TYPE_CHECKING:
    from flows.questions.cells import CellNames


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("cell")(cell)
    app.command("map")(class_map)
    app.command("locate")(locate)


def cell(
    name: Name,
    layer: Annotated[str, typer.Argument(show_default=False)],
    grid: Annotated[int, typer.Argument(show_default=False)],
    place: Annotated[str, typer.Argument(metavar="ROW,COL", show_default=False)],
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Show what is in a cell: its count, coherence, icon's fidelity, units, labels and members.

    Example:  actlas cell efficientnet-lite0 _blocks.10 20 12,7
    """
    from flows.questions import addresses, cells
    from storage.run import open_run

    answer = cells.cell(open_run(store, name), layer, grid, *addresses.parse_cell(place))
    if json:
        printing.as_json(answer)
        return
    icon = answer["icon"]
    fidelity = (
        "no icon yet"
        if icon["rank"] == 0
        else (
            f"icon: cosine {icon['cosine']:.2f}, rank {icon['rank']}, {icon['tries']} {'try' if icon['tries'] == 1 else 'tries'}"
            + (", weak" if icon["weak"] else "")
        )
    )
    print(
        f"{layer} {grid} × {grid}, cell {place}: {answer['count']} samples, coherence {answer['coherence']:.2f}; {fidelity}"
    )
    print(_named(answer["names"]))
    printing.as_table({**row, "mean": f"{row['mean']:.4g}"} for row in answer["classes"])
    printing.as_table(answer["units"])
    printing.as_table(answer["labels"])
    printing.as_table({"image_id": m["image_id"], "y,x": f"{m['y']},{m['x']}"} for m in answer["members"])


def _named(names: CellNames) -> str:
    """Say which names stand out in a cell, as the map prints them."""
    every = [row for rows in (names["labels"], names["classes"]) for row in rows or []]
    texts = (f"{row['name']} ({row['count']} samples, {row['share']:.0%})" for row in every)
    return f"stands out: {', '.join(texts)}" if every else "no label or class stands out"


def class_map(
    name: Name,
    layer: Annotated[str, typer.Argument(show_default=False)],
    grid: Annotated[int, typer.Argument(show_default=False)],
    wanted: Annotated[
        str, typer.Argument(metavar="CLASS", help="A class: its name, its index, or class:INDEX.", show_default=False)
    ],
    k: Annotated[int, typer.Option("-k", "--k", help="How many cells; JSON has all.")] = 16,
    sheet: Annotated[str | None, typer.Option(help="Draw the map to a PNG.")] = None,
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Show how strongly the cells of a grid support a class. Needs a run made --with attribution.

    Example:  actlas map efficientnet-lite0 _blocks.14 20 "tabby, tabby cat"
    """
    from flows.questions import classes
    from storage.run import open_run

    if sheet is not None:
        parsing.png(sheet, "--sheet")
    run = open_run(store, name)
    answer = classes.class_map(run, layer, grid, wanted)
    if sheet is not None:
        from flows.sheets import class_map as class_map_sheet

        printing.write_sheet(class_map_sheet.draw, run, answer, sheet)
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


def locate(
    name: Name,
    layer: Annotated[str, typer.Argument(show_default=False)],
    image: Annotated[str, typer.Argument(help="An image file, or the id of an image of the run.", show_default=False)],
    grid: Annotated[int | None, typer.Option(help="The grid; by default the finest of the run.")] = None,
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Show the cells that an image's positions fall in. Loads the model.

    Example:  actlas locate efficientnet-lite0 _blocks.10 cat.jpg --grid 20
    """
    from flows.one_image import locate as locating

    answer = locating.locate(store, name, layer, image, grid)
    if json:
        printing.as_json(answer)
        return
    print(
        f"{layer} {answer['grid']} × {answer['grid']}: {answer['height']} × {answer['width']} positions, the cells they fall in"
    )
    printing.as_table(answer["cells"])
