"""`actlas show`: pictures of what units, layers and classes want to see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands.shared import parsing, printing
from flows.commands.shared.model_options import ModelOptions, Out, Seed
from flows.commands.shared.option_groups import with_groups

if TYPE_CHECKING:
    from flows.drawing.answers import PictureFacts
    from flows.drawing.show import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureOptions:
    """How to draw the pictures."""

    size: Annotated[
        str | None,
        typer.Option(help="Side in pixels, or HEIGHTxWIDTH; by default 128, for classes the model's input size."),
    ] = None
    recipe: Annotated[
        str | None,
        typer.Option(
            help="fast, best, distill, class, crops, cuts, lucid, simonyan or maco; by default best, for classes class."
        ),
    ] = None
    steps: Annotated[int | None, typer.Option(min=1, help="Optimisation steps; by default the recipe's.")] = None
    facets: Annotated[int, typer.Option(min=1, max=64, help="How many different pictures of each target.")] = 1
    penalty: Annotated[
        list[str] | None,
        typer.Option(help="NAME=WEIGHT of a penalty: tv, l1, l2 (from grey) or blur; may be repeated."),
    ] = None
    every: Annotated[bool, typer.Option("--all", help="Draw every unit of a LAYER.")] = False
    seed: Seed = 0

    def check(self) -> None:
        """Raise UsageError for an unknown recipe or penalty, before torch is loaded."""
        parsing.one_of("--recipe", self.recipe, parsing.RECIPES)
        parsing.penalties(parsing.weights("--penalty", self.penalty))

    def settings(self) -> Settings:
        """Return the settings of the pictures. Raises UsageError."""
        from flows.drawing.show import Settings, size_of

        return Settings(
            recipe=self.recipe,
            steps=self.steps,
            size=size_of(self.size),
            seed=self.seed,
            facets=self.facets,
            penalties=parsing.weights("--penalty", self.penalty),
        )


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("show")(with_groups(show))


def show(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...",
            help="LAYER:UNIT, LAYER:UNIT@y,x, LAYER, class:NAME, prob:NAME, LAYER@GRID:ROW,COL (a cell), or a sum of these.",
            show_default=False,
        ),
    ],
    *,
    options: ModelOptions,
    out: Out = None,
    drawing: PictureOptions,
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Draw what excites a unit, a layer or a class: several targets on one sheet, one as a plain picture.

    Example:  actlas show _blocks.10:37 _blocks.10:61 --out units.png
    """
    path = parsing.picture(out, json, "the scores")
    drawing.check()
    options.check(store)
    from flows import cores
    from flows.drawing import facts
    from flows.drawing import show as showing
    from flows.sheets import shown as show_sheet

    settings = drawing.settings()
    context = options.load(store)
    cores.share_cores()
    with printing.computing():
        drawn = (showing.every_unit if drawing.every else showing.show)(context, targets, settings)
    answer = facts.describe(context, drawn, settings)
    if path is not None:
        printing.write_picture(show_sheet.picture(answer, drawn), path, str(out))
    if json:
        printing.as_json(answer | {"out": out})
        return
    rows = [_row(picture) for picture in answer["pictures"]]
    printing.as_table(rows, dict.fromkeys(name for row in rows for name in row))


def _row(picture: PictureFacts) -> dict[str, Any]:
    row: dict[str, Any] = {"target": picture["target"]}
    if picture["facet"] is not None:
        row["facet"] = picture["facet"] + 1
    if picture["kind"] == "unit" and "@" not in picture["target"].rpartition(":")[2]:
        row |= {"largest": picture["best"], "mean": picture["value"]}
    else:
        row["value"] = picture["value"]
    row |= {name: value for name, value in picture.items() if name in ("patch", "ratio", "probability")}
    if "first" in picture:
        row["first choice"] = picture["first"]["name"] or picture["first"]["index"]
    return row | ({"remark": "dead: nothing excites it"} if picture["dead"] else {})
