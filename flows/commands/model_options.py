"""The options that name a model, shared by the commands that load one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands import parsing

if TYPE_CHECKING:
    from flows.model.context import ModelContext


Out = Annotated[str | None, typer.Option("--out", help="Write the picture, a PNG.")]
RunName = Annotated[str | None, typer.Option("--run", help="Use the model of this run, NAME or NAME@VERSION.")]
ModelSpec = Annotated[
    str | None,
    typer.Option("--model", help="efficientnet-lite0 (the default), torchvision:NAME, timm:NAME or module:factory."),
]
Weights = Annotated[
    str | None, typer.Option("--weights", help="safetensors or a state dict; `random` for seeded random weights.")
]
InputSize = Annotated[int | None, typer.Option("--input-size", help="Side of the model's input in pixels.")]
Classes = Annotated[str | None, typer.Option("--classes", help="A text file with one class name per line.")]
Mean = Annotated[str | None, typer.Option("--mean", help="Mean per channel of pixels in 0..1, as in 0.5,0.5,0.5.")]
Std = Annotated[str | None, typer.Option("--std", help="Standard deviation per channel, likewise.")]
Axes = Annotated[list[str] | None, typer.Option("--axes", help="LAYER=bchw|bhwc|btc|bc, where they cannot be told.")]
Size = Annotated[int | None, typer.Option("--size", help="Longer side of a picture in pixels; the model's input's.")]
Seed = Annotated[int, typer.Option("--seed", help="Of what is drawn by chance.")]


def look(
    store: str,
    run: str | None,
    model: str | None,
    weights: str | None,
    input_size: int | None,
    classes: str | None,
    mean: str | None,
    std: str | None,
    axes: list[str] | None,
) -> ModelContext:
    """Load what a drawing command is to look at."""
    from flows.model import context as model_context

    return model_context.open_context(
        store,
        run=run,
        model=model,
        weights=weights,
        input_size=input_size,
        classes=classes,
        mean=parsing.numbers("--mean", mean),
        std=parsing.numbers("--std", std),
        axes=parsing.pairs(axes),
    )
