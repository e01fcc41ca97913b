"""`actlas top`, `influence` and `unit`: what a run knows of a unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.shared import parsing, printing
from flows.commands.shared.printing import Name

if TYPE_CHECKING:
    from flows.questions.patches import TopPatches
    from flows.questions.units import Unit
    from storage.run import Run


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("top")(top)
    app.command("peaks")(peaks)
    app.command("influence")(influence)
    app.command("unit")(unit)


def top(
    name: Name,
    unit: Annotated[str, typer.Argument(metavar="LAYER:UNIT", show_default=False)],
    k: Annotated[int, typer.Option("-k", "--k", help="How many patches, up to 64.")] = 16,
    sign: Annotated[str, typer.Option(help="positive or negative.")] = "positive",
    where: Annotated[
        str | None,
        typer.Option(help="Only images that meet this SQL condition on the table images: label = 'cat'."),
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Write a PNG of the patches in their images.")] = None,
    gradients: Annotated[
        str | None,
        typer.Option(help="Draw below each patch what drives the unit: gradient, guided-backprop or deconvnet."),
    ] = None,
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Show the strongest patches of a unit. `--where` needs a run made --keep peaks.

    Example:  actlas top efficientnet-lite0 _blocks.10:37 --sheet unit37.png
    """
    from flows.questions import addresses, patches
    from storage.run import open_run

    _check_sheet(sheet, gradients)
    run = open_run(store, name)
    place = addresses.parse_unit(unit)
    answer = patches.top(run, *place, k=k, sign=sign) if where is None else _top_where(run, place, where, k, sign)
    if sheet:
        _draw_patches(run, answer, sheet, gradients)
        printing.say(f"wrote {sheet}")
    if json:
        printing.as_json(answer)
        return
    if answer["note"]:
        printing.say(f"{unit}: {answer['note']}")
    if len(answer["patches"]) < k:
        few = f"{answer['images']} images fit" if where else "a run keeps up to 64 a side, one an image"
        printing.say(f"{unit}: {len(answer['patches'])} of the {k} asked for; {few}")
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


def _top_where(run: Run, place: tuple[str, int], where: str, k: int, sign: str) -> TopPatches:
    from flows.questions import peaks as peak_answers  # loads DuckDB

    return peak_answers.top(run, *place, where, k=k, sign=sign)


def _draw_patches(run: Run, answer: TopPatches, sheet: str, method: str | None) -> None:
    from pathlib import Path

    from flows.drawing import patch_gradients
    from flows.model import images as model_images
    from flows.sheets import top_patches
    from storage.artefacts import pictures

    images = model_images.images(run, answer["patches"])
    missing = sum(image is None for image in images)
    if "where" in answer and missing:
        printing.say(f"{missing} of {len(images)} images are missing, and drawn without a picture")
    drawn = None
    if method:
        answer["method"], drawn = patch_gradients.of_patches(run, answer, method)
    pictures.write_png(top_patches.draw(run, answer, images, drawn), Path(sheet))


def peaks(
    name: Name,
    layer: Annotated[str, typer.Argument(metavar="LAYER[:UNIT]", show_default=False)],
    sign: Annotated[str, typer.Option(help="positive or negative.")] = "positive",
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Show the mean and quantiles of each unit's best value per image, over all images. Needs a run made --keep peaks.

    Example:  actlas peaks efficientnet-lite0 _blocks.10:37
    """
    from flows.questions import addresses
    from flows.questions import peaks as peak_answers
    from storage.run import open_run

    run = open_run(store, name)
    place = (layer, None) if layer in run.layers else addresses.parse_unit(layer)
    rows = peak_answers.statistics(run, *place, sign=sign)
    if json:
        printing.as_json({"run": run.name, "version": run.number, "layer": place[0], "sign": sign, "units": rows})
        return
    printing.as_table(
        {"unit": row["unit"], "images": row["images"], "mean": row["mean"]}
        | {f"q{share}": value for share, value in row["quantiles"].items()}
        | {"active": row["active"]}
        for row in rows
    )


def influence(
    name: Name,
    unit: Annotated[str, typer.Argument(metavar="LAYER:UNIT", show_default=False)],
    k: Annotated[
        int, typer.Option("-k", "--k", min=1, max=16, help="How many excited and how many inhibited units to show.")
    ] = 8,
    sheet: Annotated[str | None, typer.Option(help="Draw them with their pictures to a PNG.")] = None,
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

        printing.write_sheet(influence_sheet.draw, run, answer, sheet)
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
        for effect, rows in (("exciting", answer["exciting"]), ("inhibiting", answer["inhibiting"]))
        for row in rows
    )


def unit(
    name: Name,
    unit: Annotated[str, typer.Argument(metavar="LAYER:UNIT", show_default=False)],
    sheet: Annotated[str | None, typer.Option(help="Write the card to a PNG.")] = None,
    gradients: Annotated[
        str | None,
        typer.Option(
            help="How patches get their gradient: guided-backprop (where it is defined), gradient, deconvnet."
        ),
    ] = None,
    draw: Annotated[bool, typer.Option(help="Draw the unit's picture if the run has no gallery.")] = True,
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Show all that is known about a unit: patches, labels, distribution, similar units, links, classes.

    Example:  actlas unit efficientnet-lite0 _blocks.10:37 --sheet unit37.png
    """
    from flows.questions import addresses, units
    from storage.run import open_run

    _check_sheet(sheet, gradients)
    run = open_run(store, name)
    answer = units.unit(run, *addresses.parse_unit(unit))
    if sheet:
        answer["method"] = _write_card(run, answer, sheet, gradients, draw)
        printing.say(f"wrote {sheet}")
    if json:
        printing.as_json(answer)
    else:
        _print_answer(answer)


def _check_sheet(sheet: str | None, gradients: str | None) -> None:
    """Raise UsageError if the sheet cannot be written, or if there is none to draw gradients on."""
    from storage.errors import UsageError

    if gradients and not sheet:
        raise UsageError("--gradients are drawn on a sheet; add --sheet FILE.png")
    if sheet:
        parsing.png(sheet, "--sheet")


def _write_card(run: Run, answer: Unit, path: str, method: str | None, draw: bool) -> str | None:
    """Write the card; return the method of its gradients."""

    from flows.drawing import unit_pictures
    from flows.sheets import unit_card
    from storage.artefacts import pictures

    out = parsing.png(path, "--sheet")
    with printing.computing():
        drawings = unit_pictures.gather(run, answer, method=method, draw=draw)
    for remark in drawings.remarks:
        printing.say(remark)
    pictures.write_png(unit_card.draw(answer, drawings), out)
    return drawings.methods.get("positive")


def _print_answer(answer: Unit) -> None:
    """Print the main facts in a few lines and tables."""
    from flows.questions.units import links
    from flows.sheets.unit_card import by_chance, percent, sentence, stands_out

    print(f"{answer['layer']}:{answer['unit']} of {answer['run']}@{answer['version']}: {sentence(answer)}")
    printing.as_table(
        {"from": part["from"], "to": part["to"], "samples": part["count"], "share": percent(part["share"])}
        for part in answer["intervals"]
    )
    printing.as_table(answer["labels"]["counts"][:8])
    printing.as_table({"unit": row["unit"], "cosine": f"{row['cosine']:.2f}"} for row in answer["alike"]["activation"])
    printing.as_table({"unit": row["unit"], "in common": f"{row['shared']:.0%}"} for row in answer["alike"]["images"])
    for side, layer, rows in links(answer):
        printing.as_table({f"{side} {layer}": row["unit"], "influence": f"{row['influence']:+.4g}"} for row in rows)
    if (related := answer["classes"]) is None:
        return
    for direction, rows_of in (("for", related["for"]), ("against", related["against"])):
        printing.as_table(
            {
                f"{direction} class": row["name"],
                "correlation": f"{row['correlation']:+.2f}",
                "beyond chance": "yes" if stands_out(related, row) else "no",
            }
            for row in rows_of
        )
    print(f"correlations {by_chance(related).removesuffix('; what is within is grey')}")
