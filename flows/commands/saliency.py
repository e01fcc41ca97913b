"""`actlas saliency`: pictures of what a model looks at."""

from __future__ import annotations

from typing import Annotated

import typer

from atlas.attribution.methods import METHODS, taking
from flows.commands.shared import parsing, printing
from flows.commands.shared.model_options import ModelOptions, Out, Seed, Size
from flows.commands.shared.option_groups import with_groups


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("saliency")(with_groups(saliency))


def _methods_with(setting: str) -> str:
    return ", ".join(taking(setting))


def saliency(
    image: Annotated[str, typer.Argument(help="An image file, or with --run an image's id.", show_default=False)],
    target: Annotated[
        str | None,
        typer.Argument(
            help="class:NAME, class:INDEX, prob:NAME, LAYER:UNIT or LAYER:UNIT@y,x; by default the model's first choice.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(help=f"{', '.join(METHODS)}."),
    ] = "gradient",
    *,
    options: ModelOptions,
    out: Out = None,
    view: Annotated[str, typer.Option(help="sheet, heat or overlay.")] = "sheet",
    size: Size = None,
    layer: Annotated[
        str | None, typer.Option(help=f"The layer of {_methods_with('layer')}; by default the last with a grid.")
    ] = None,
    samples: Annotated[int, typer.Option(help=f"Noisy copies of {_methods_with('samples')}.")] = 25,
    steps: Annotated[int, typer.Option(help=f"Steps of {_methods_with('steps')}.")] = 50,
    baseline: Annotated[
        str, typer.Option(help=f"Where {_methods_with('baseline')} starts: mean (colour) or black.")
    ] = "mean",
    seed: Seed = 0,
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Show which pixels of an image a class or a unit depends on.

    Example:  actlas saliency cat.jpg "class:tabby cat" --method smoothgrad --out cat.png
    """
    from flows.sheets import saliency as saliency_sheet

    path = parsing.png(out) if out is not None else None
    saliency_sheet.check_view(view, size)
    parsing.one_of("--method", method, METHODS)
    parsing.one_of("--baseline", baseline, parsing.BASELINES)
    options.check(store, image)
    from flows.one_image import saliency as explaining

    context = options.load(store)
    with printing.computing():
        answer, picture, map = explaining.explain(
            context,
            image,
            target,
            method=method,
            layer=layer,
            samples=samples,
            steps=steps,
            baseline=baseline,
            seed=seed,
        )
    drawn = saliency_sheet.draw(answer, picture, map, view=view, size=size)
    if path is not None:
        printing.write_picture(drawn, path, str(out))
    if json:
        printing.as_json({**answer, "out": out})
        return
    if "note" in answer:
        printing.say(f"note: {answer['note']}")
    print(f"{answer['target']['text']}  {method}  score {answer['score']:.5g}")
    printing.as_table(answer["choices"])
