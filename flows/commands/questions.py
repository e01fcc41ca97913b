"""`actlas top`, `cell`, `map`, `influence`, `locate` and `sql`: query a published run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows import registry
from flows.commands import parsing, printing

if TYPE_CHECKING:
    from atlas.arrays import Byte
    from storage.run import Run

Name = Annotated[str, typer.Argument(help="A run, or NAME@VERSION.", show_default=False)]

SQL_HELP = f"""Ask with SQL (DuckDB) over the run's tables: images, {", ".join(registry.tables())}, classes, rejects,
cell_metrics, unit_metrics.

Example:  actlas sql efficientnet-lite0 "select label, count(*) n from patches join images using (image_id)
where layer = '_blocks.10' and unit = 37 group by label order by n desc"
"""


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("top")(top)
    app.command("cell")(cell)
    app.command("map")(class_map)
    app.command("influence")(influence)
    app.command("locate")(locate)
    app.command("sql", help=SQL_HELP)(sql)


def top(
    name: Name,
    unit: Annotated[str, typer.Argument(metavar="LAYER:UNIT", show_default=False)],
    k: Annotated[int, typer.Option("-k", "--k", help="How many patches, up to 64.")] = 16,
    sign: Annotated[str, typer.Option(help="positive or negative.")] = "positive",
    sheet: Annotated[str | None, typer.Option(help="Write a PNG of the patches in their images.")] = None,
    gradients: Annotated[
        str | None,
        typer.Option(help="Draw below each patch what drives the unit: gradient, guided-backprop or deconvnet."),
    ] = None,
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Show the strongest patches of a unit.

    Example:  actlas top efficientnet-lite0 _blocks.10:37 --sheet unit37.png
    """
    from flows.questions import addresses, patches
    from storage.errors import UsageError
    from storage.run import open_run

    if gradients and not sheet:
        raise UsageError("--gradients are drawn on a sheet; say --sheet FILE.png, too")
    if sheet:
        parsing.png(sheet, "--sheet")
    run = open_run(store, name)
    answer = patches.top(run, *addresses.parse_unit(unit), k=k, sign=sign)
    if sheet:
        _draw_patches(run, answer, sheet, gradients)
        printing.say(f"wrote {sheet}")
    if json:
        printing.as_json(answer)
        return
    if answer["note"]:
        printing.say(f"{unit}: {answer['note']}")
    if len(answer["patches"]) < k:
        printing.say(
            f"{unit}: {len(answer['patches'])} of the {k} asked for; a run keeps up to 64 a side, one an image"
        )
    rows = [
        {
            "rank": p["rank"],
            "value": p["value"],
            "label": p["label"],
            "y,x": f"{p['y']},{p['x']}",
            "path": printing.relative(p["path"]),
        }
        for p in answer["patches"]
    ]
    printing.as_table(rows)


def _draw_patches(run: Run, answer: dict[str, Any], sheet: str, method: str | None) -> None:
    from pathlib import Path

    from flows.drawing import patch_gradients
    from flows.model import images as model_images
    from flows.sheets import top_patches
    from storage.artefacts import pictures

    images = model_images.images(run, answer["patches"])
    drawn = None
    if method:
        answer["method"], drawn = patch_gradients.of_patches(run, answer, method)
    pictures.write_png(top_patches.draw(run, answer, images, drawn), Path(sheet))


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
    printing.as_table({**row, "mean": f"{row['mean']:.4g}"} for row in answer["classes"])
    printing.as_table(answer["units"])
    printing.as_table(answer["labels"])
    printing.as_table({"image_id": m["image_id"], "y,x": f"{m['y']},{m['x']}"} for m in answer["members"])


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


def sql(
    name: Name,
    query: Annotated[str, typer.Argument(help="One SELECT.", show_default=False)],
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Ask with SQL (DuckDB) over the run's tables."""
    from flows.questions import sql as tables_sql
    from storage.run import open_run

    rows: list[dict[str, Any]] = tables_sql.ask(open_run(store, name), query)
    if json:
        printing.as_json(rows)
    else:
        printing.as_table(rows)


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
    from flows.questions import classes
    from storage.run import open_run

    if sheet is not None:
        parsing.png(sheet, "--sheet")
    run = open_run(store, name)
    answer = classes.class_map(run, layer, grid, wanted)
    if sheet is not None:
        from flows.sheets import class_map as class_map_sheet

        _write_sheet(class_map_sheet.draw, run, answer, sheet)
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
    from flows.questions import addresses
    from flows.questions import influence as influence_answers
    from storage.run import open_run

    if sheet is not None:
        parsing.png(sheet, "--sheet")
    run = open_run(store, name)
    answer = influence_answers.influence(run, *addresses.parse_unit(unit), k=k)
    if sheet is not None:
        from flows.sheets import influence as influence_sheet

        _write_sheet(influence_sheet.draw, run, answer, sheet)
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


def _write_sheet(draw: Callable[[Run, dict[str, Any]], Byte], run: Run, answer: dict[str, Any], path: str) -> None:
    """Draw an answer as a sheet and write it as a PNG."""
    from storage.artefacts import pictures

    pictures.write_png(draw(run, answer), parsing.png(path, "--sheet"))
    printing.say(f"wrote {path}")
