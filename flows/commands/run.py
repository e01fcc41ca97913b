"""`actlas run` and `actlas layers`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from flows.commands import parsing, printing

RUN_HELP = """Run the pipeline and publish an activation atlas.

Whatever the store already has is reused, so the same command after a change computes only what the change can reach,
and after an interruption goes on where it stopped.

Examples:

  actlas run --images sample-photos

  actlas run --images photos/ --limit 10000 --grids 20 40 --recipe best

  actlas run --images 'shards/{000..127}.tar' --model torchvision:resnet50 --layers layer3 layer4

  actlas run --config run.toml --until patches --json
"""

NOT_SETTINGS = ("config", "engine", "dask", "wait", "dry_run", "json")
"""Options that say how a run is started; all others are settings of the run."""


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("run", help=RUN_HELP)(run)
    app.command("layers")(layers)


def run(
    images: Annotated[str | None, typer.Option(help="A folder, WebDataset tars, Parquet, or sample-photos.")] = None,
    model: Annotated[
        str | None, typer.Option(help="efficientnet-lite0, torchvision:NAME, timm:NAME or module:factory.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Safetensors or a state dict; `random` for seeded random ones.")
    ] = None,
    layers: Annotated[
        list[str] | None, typer.Option(help="One layer or more; `actlas layers MODEL` lists them.")
    ] = None,
    axes: Annotated[list[str] | None, typer.Option(help="LAYER=bchw|bhwc|btc|bc, where they cannot be told.")] = None,
    input_size: Annotated[int | None, typer.Option(help="Side of the model's input in pixels.")] = None,
    mean: Annotated[str | None, typer.Option(help="Mean per channel of pixels in 0..1, as in 0.5,0.5,0.5.")] = None,
    std: Annotated[str | None, typer.Option(help="Standard deviation per channel, likewise.")] = None,
    classes: Annotated[str | None, typer.Option(help="A text file with a class name per line.")] = None,
    store: Annotated[
        str | None, typer.Option(envvar="ACTLAS_STORE", help="The folder that keeps all results (actlas-store).")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The run's name; the model's by default.")] = None,
    config: Annotated[
        str | None, typer.Option(help="A TOML file with any of these settings; options go before it.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Use the first N images, in the order of their hash; all if left out.")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="A CSV file with the columns key,label.")] = None,
    grids: Annotated[
        list[int] | None,
        typer.Option(help="Cells per side, one number or more (10 20 40); a grid is made where the samples fill it."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="How icons are rendered: fast (the default), best or distill.")
    ] = None,
    layout: Annotated[str | None, typer.Option(help="umap (the default), tsne or pca.")] = None,
    until: Annotated[
        str | None,
        typer.Option(
            help="Stop after listing, collect, field, patches, layout, cells, members or icons, and publish what there is."
        ),
    ] = None,
    max_rejected: Annotated[
        float | None, typer.Option(help="Share of broken images above which nothing is published (0.05).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of sampled positions, layout and icons (0).")] = None,
    shard_size: Annotated[
        int | None, typer.Option(help="Images per shard, the unit of work and of resuming (1000).")
    ] = None,
    samples_per_image: Annotated[int | None, typer.Option(help="Vectors sampled per image and layer (1).")] = None,
    batch: Annotated[int | None, typer.Option(help="Images per forward pass (32; 128 on CUDA).")] = None,
    device: Annotated[str | None, typer.Option(help="auto (the default), cpu or cuda.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32 (the default), bf16 or fp16.")] = None,
    min_count: Annotated[int | None, typer.Option(help="Samples a cell needs (5).")] = None,
    icon_size: Annotated[int | None, typer.Option(help="Side of an icon in pixels (96).")] = None,
    extras: Annotated[
        list[str] | None,
        typer.Option("--with", help="attribution, influence, gradients, gallery: made only when asked for."),
    ] = None,
    gradients_method: Annotated[
        str | None, typer.Option(help="guided-backprop (where it is defined), gradient or deconvnet.")
    ] = None,
    engine: Annotated[str, typer.Option(help="prefect, or inline: the same without Prefect.")] = "prefect",
    dask: Annotated[
        str | None, typer.Option(help="local:N for N worker processes here, or tcp://HOST:PORT of a Dask scheduler.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for another process that writes this run.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be computed and reused, and what it would take.")
    ] = False,
    json: printing.Json = False,
) -> None:
    """Run the pipeline and publish an activation atlas."""
    settings = {name: value for name, value in locals().items() if name not in NOT_SETTINGS}
    from flows import config as configuration
    from flows import launch, progress

    settings["axes"], settings["with"] = parsing.pairs(axes), settings.pop("extras")
    settings["mean"], settings["std"] = parsing.numbers("--mean", mean), parsing.numbers("--std", std)
    made = configuration.make(settings, config)
    launch.check(engine, dask)
    with progress.reporting(progress.for_stream(sys.stderr)):
        if dry_run:
            _foretell(launch.estimate(made), json)
            if dask:
                printing.say("the time is that of this process alone: the workers of --dask share it")
            return
        summary = launch.run(made, engine=engine, wait=wait, dask=dask)
    if json:
        printing.as_json(summary)
    else:
        _tell(summary, made.until)
    raise typer.Exit(3 if summary["rejected"] else 0)


def _foretell(answer: dict[str, Any], json: bool) -> None:
    """Say what a run would compute, and what that would take."""
    if json:
        printing.as_json(answer)
        return
    print(
        f"{answer['name']}: {answer['images']} images; {answer['computed']} results to compute, {answer['reused']} there"
    )
    printing.as_table(
        {
            "stage": row["stage"],
            "layer": row["layer"],
            "compute": row["computed"],
            "reuse": row["reused"],
            "time": printing.duration(row["seconds"]) if row["computed"] else "",
            "disk": printing.size(row["bytes"]) if row["computed"] else "",
        }
        for row in answer["stages"]
    )
    if answer["probe"] is None:
        print("nothing that takes time")
        return
    print(
        f"about {printing.duration(answer['seconds'])}, {printing.size(answer['bytes'])} on the disk "
        f"({printing.size(answer['free_bytes'])} free), {printing.size(answer['memory_bytes'])} of memory; "
        f"from a probe of {answer['probe']['images']} images"
    )


def _tell(summary: dict[str, Any], until: str | None) -> None:
    """Say in a few lines what became of the run, and what to do next."""
    print(
        f"{summary['name']}@{summary['version']}: {summary['used']} images used, {summary['rejected']} rejected, "
        f"{summary['computed']} results computed, {summary['reused']} reused, {summary['seconds']:.1f} s"
    )
    for reason, number in summary["reasons"].items():
        print(f"  rejected: {number} {reason}")
    for row in summary["samples"]:
        if row["not_finite"]:
            taken = row["used"] + row["not_finite"]
            print(f"  {row['layer']}: {row['not_finite']} of {taken} samples left out, not finite (NaN or infinite)")
    pictures = summary["overviews"]
    if summary["skipped_grids"] and (pictures or not until):
        left_out = ", ".join(map(str, summary["skipped_grids"]))
        print(f"  grids left out: {left_out}; {summary['used']} images are too few to fill them")
    for picture in pictures:
        print(f"  {picture['layer']}, {picture['grid']} × {picture['grid']}: {printing.here(picture['path'])}")
    if summary["computed"] and not until:
        _suggest(summary)


def _suggest(summary: dict[str, Any]) -> None:
    """Name commands that work on this run."""
    from storage.run import open_run

    name, store = summary["name"], summary["store"]
    run = open_run(store, name)
    where = "" if store == printing.DEFAULT_STORE else f" --store {printing.here(store)}"
    middle = run.layers[len(run.layers) // 2]
    print(f"next:\n  {printing.program()} view {name}{where}")
    print(f"  {printing.program()} top {name} {middle}:0 --sheet unit0.png{where}")
    cells = run.cell_facts(middle, run.grids[-1]) if run.grids else None
    if cells is not None and len(cells.count):
        fullest = int(cells.count.argmax())
        print(
            f"  {printing.program()} cell {name} {middle} {run.grids[-1]} {cells.row[fullest]},{cells.col[fullest]}{where}"
        )


def layers(
    model: Annotated[
        str, typer.Argument(help="A model: efficientnet-lite0, torchvision:NAME, timm:NAME, module:factory.")
    ],
    weights: Annotated[str | None, typer.Option(help="As in `run`.")] = None,
    input_size: Annotated[int | None, typer.Option(help="Side of the model's input in pixels.")] = None,
    reach: Annotated[bool, typer.Option(help="Measure each layer's reach, which takes some seconds.")] = True,
    json: printing.Json = False,
) -> None:
    """List the layers one can name: units, grid, axes and reach.

    Example:  actlas layers torchvision:resnet18 --weights random
    """
    from flows import progress
    from flows.model import layers as model_layers

    with progress.reporting(progress.for_stream(sys.stderr)):
        rows = model_layers.layers(model, weights=weights, input_size=input_size, reach=reach)
    if json:
        printing.as_json(rows)
    else:
        printing.as_table(rows)
