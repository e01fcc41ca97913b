"""`actlas dream`: DeepDream."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.shared import parsing, printing
from flows.commands.shared.model_options import ModelOptions, Out
from flows.commands.shared.option_groups import with_groups

if TYPE_CHECKING:
    from flows.drawing.answers import DreamAnswer
    from flows.drawing.dream import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class DreamOptions:
    """How to dream."""

    view: Annotated[str, typer.Option(help="dream, or sheet: before and after.")] = "dream"
    size: Annotated[
        str | None, typer.Option(help="Longer side in pixels, or HEIGHTxWIDTH of noise; by default the image's own.")
    ] = None
    iterations: Annotated[int, typer.Option("--iterations", "--steps", min=1, help="Steps in each octave.")] = 10
    octaves: Annotated[
        int | None,
        typer.Option(
            min=1, max=32, help="How many sizes to dream at; by default down to the model's input size, and at least 4."
        ),
    ] = None
    octave_scale: Annotated[float, typer.Option(help="How much larger each size is than the one before.")] = 1.4
    rate: Annotated[float, typer.Option(help="Mean change of a pixel per step, in 255ths.")] = 1.5
    levels: Annotated[
        int, typer.Option(min=0, max=16, help="Levels of detail weighted equally; 0 leaves the gradient as it is.")
    ] = 3
    seed: Annotated[int, typer.Option(help="Seed of the tiles' positions and of noise.")] = 0

    def settings(self) -> Settings:
        """Return the settings of the dream. Raises UsageError."""
        from flows.drawing.dream import Settings

        values = {name.removeprefix("octave_"): value for name, value in asdict(self).items()}
        return Settings(**values)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("dream")(with_groups(dream))


def dream(
    image: Annotated[
        str,
        typer.Argument(help="An image file; with --run an image's id; or `noise`.", show_default=False),
    ],
    target: Annotated[
        str | None,
        typer.Argument(
            help="LAYER, LAYER:UNIT, class:NAME or a sum of these; by default a layer at 0.6 of the model's depth.",
            show_default=False,
        ),
    ] = None,
    guide: Annotated[
        str | None, typer.Option(help="An image to guide the dream: what the layer sees in it is strengthened.")
    ] = None,
    *,
    options: ModelOptions,
    out: Out = None,
    dreaming: DreamOptions,
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Change an image into more of what a layer, a unit or a class sees in it.

    Example:  actlas dream sky.jpg --view sheet --out dream.png
    """
    path = parsing.picture(out, json, "the numbers")
    parsing.one_of("--view", dreaming.view, parsing.DREAM_VIEWS)
    options.check(store, None if image == "noise" else image)
    from flows import cores
    from flows.drawing import dream as drawing
    from flows.sheets import dream as dream_sheet

    settings = dreaming.settings()
    context = options.load(store)
    cores.share_cores()
    with printing.computing():
        answer, before, after = drawing.dream(context, image, target, guide=guide, settings=settings)
    if path is not None:
        printing.write_picture(dream_sheet.draw(answer, before, after), path, str(out))
    if json:
        printing.as_json(answer | {"out": out})
    else:
        _print(answer)


def _print(answer: DreamAnswer) -> None:
    """Print how far the dream got."""
    value, (height, width) = answer["value"], answer["size"]
    if value["before"] == value["after"]:
        printing.say(f"note: {answer['target']} finds nothing to amplify here, so the picture is unchanged")
    print(
        f"{answer['target']}  {value['before']:.4g} → {value['after']:.4g}  "
        f"{width} × {height} px, {len(answer['octaves'])} octaves, {answer['seconds']:.1f} s"
    )
