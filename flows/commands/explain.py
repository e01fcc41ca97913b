"""`actlas explain`: take one image apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands.shared import parsing, printing
from flows.commands.shared.model_options import ModelOptions, Out, Seed
from flows.commands.shared.option_groups import with_groups

if TYPE_CHECKING:
    from flows.one_image.answers import Explanation
    from flows.one_image.explain import Question

PICTURES = ("picture", "pictures", "unit_pictures")
"""Keys of pictures, which stay out of the JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailOptions:
    """How much to show of the image, and how to draw it."""

    icons: Annotated[
        str | None,
        typer.Option(
            help="atlas (the nearest cells of the run), drawn, none, or auto (with --out): atlas if the run has one, groups drawn."
        ),
    ] = None
    cells: Annotated[
        int | None, typer.Option(help="Most blocks per side of the grid; by default 14, or 7 if icons are drawn.")
    ] = None
    parts: Annotated[int, typer.Option(help="Blocks per side to compute classes and links for, one pass each.")] = 7
    groups: Annotated[int, typer.Option(help="How many groups to factor the activation into.")] = 6
    top: Annotated[int, typer.Option(help="Units listed per block.")] = 4
    units: Annotated[int, typer.Option(help="Units traced to the later layer.")] = 64
    size: Annotated[int, typer.Option(help="Side of a drawn icon in pixels.")] = 96
    recipe: Annotated[str, typer.Option(help="How icons are drawn: fast, best or distill.")] = "fast"
    steps: Annotated[int | None, typer.Option(help="Optimisation steps; by default the recipe's.")] = None
    seed: Seed = 0

    def question(self, target: str | None, versus: str | None, *, drawn: bool) -> Question:
        """Return what to explain; `drawn`: on a sheet, too. Raises UsageError for a value out of range."""
        from flows.drawing.illustrator import Drawing
        from flows.one_image.explain import Question

        question = Question(
            target=target,
            versus=versus,
            icons=self.icons or ("auto" if drawn else "none"),
            drawing=Drawing(recipe=self.recipe, steps=self.steps, size=self.size, seed=self.seed),
            **{name: getattr(self, name) for name in ("cells", "parts", "groups", "top", "units")},
        )
        question.check()
        return question


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("explain")(with_groups(explain))


def explain(
    image: Annotated[str, typer.Argument(help="An image file, or with --run an image's id.", show_default=False)],
    layer: Annotated[str, typer.Option(help="The layer to look at.", show_default=False)],
    to: Annotated[str | None, typer.Option(help="A later layer: show which parts of this one drive it.")] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--class", help="NAME, INDEX or class:INDEX of the class to explain; by default the model's first choice."
        ),
    ] = None,
    versus: Annotated[
        str | None, typer.Option(help="NAME, INDEX or class:INDEX of a class to compare it with.")
    ] = None,
    *,
    options: ModelOptions,
    out: Out = None,
    detail: DetailOptions,
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Show what a layer sees in an image: where, in which units and groups of units, and what supports a class.

    Example:  actlas explain bird.jpg --layer _blocks.10 --to _blocks.14 --run photos --out bird.png
    """
    path = parsing.png(out) if out is not None else None
    parsing.one_of("--icons", detail.icons, parsing.ICON_SOURCES)
    parsing.one_of("--recipe", detail.recipe, parsing.ICON_RECIPES)
    options.check(store, image)
    from flows import cores
    from flows.one_image import explain as explaining
    from flows.sheets import image as image_sheet

    question = detail.question(target, versus, drawn=path is not None)
    context = options.load(store)
    cores.share_cores()
    with printing.computing():
        answer = explaining.explain(context, image, layer, to=to, question=question)
    if path is not None:
        printing.write_picture(image_sheet.draw(answer), path, str(out))
    if json:
        printing.as_json(_numbers(answer) | {"out": out})
    else:
        _print(answer)


def _print(answer: Explanation) -> None:
    """Print the strongest units and groups for and against the class, and the notes."""
    from flows.sheets.image_parts import question

    layer, names = answer["layer"], answer["class_names"]
    print(
        f"{question(answer)}  score {answer['target']['score']:.5g}  at {layer['name']} {layer['attribution']['total']:+.4g}"
    )
    ranked = [*layer["attribution"]["for"], *reversed(layer["attribution"]["against"])]
    for row in [row for row in ranked if row["attribution"]]:
        print(
            f"  unit {row['unit']:<5} {row['attribution']:+8.3f}  strongest at {row['y']},{row['x']} ({row['value']:.4g})"
        )
    groups = layer["groups"]
    for number, value in enumerate(groups["attribution"]):
        ranked_classes = zip(groups["classes"][number], groups["class_values"][number], strict=True)
        best = ", ".join(names.get(int(index)) or str(index) for index, added in list(ranked_classes)[:3] if added > 0)
        units = ", ".join(map(str, groups["units"][number][:4]))
        print(f"  group {number + 1:<4} {value:+8.3f}  units {units}; adds most to {best or 'no class'}")
    for note in layer["notes"]:
        printing.say(f"note: {note}")


def _numbers(value: Any) -> Any:
    """Drop the pictures, and turn dictionary keys into text as JSON does."""
    if isinstance(value, dict):
        return {str(key): _numbers(item) for key, item in value.items() if key not in PICTURES}
    return [_numbers(item) for item in value] if isinstance(value, list) else value
