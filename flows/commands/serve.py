"""`actlas serve` and `actlas model updated`: runs that repeat."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from typing import Annotated, Any

import typer

from flows.commands.shared import printing
from flows.commands.shared.option_groups import with_groups
from flows.commands.shared.run_options import SubsetOptions

model = typer.Typer(no_args_is_help=True, help="Announce changes of a run's model.", rich_markup_mode=None)

SERVE_HELP = """Run on a schedule, and again after each model update, from this process, without a worker.

Uses the Prefect server of PREFECT_API_URL, or runs one on this machine's loopback address. Stopping this command
does not pause the schedule: runs that come due meanwhile start when it is back.

Examples:

  actlas serve --config run.toml --cron '0 6 * * *' --timezone Europe/Zurich

  actlas serve --images photos/ --limit 10000 --every 12h --wait
"""


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("serve", help=SERVE_HELP)(with_groups(serve))
    app.add_typer(model, name="model")


def serve(
    subset: SubsetOptions,
    config: Annotated[str | None, typer.Option(help="A TOML file with the run's settings, as `run` takes it.")] = None,
    images: Annotated[str | None, typer.Option(help="A folder, WebDataset tars, Parquet, or sample-photos.")] = None,
    name: Annotated[str | None, typer.Option(help="The run's name; the model's by default.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of sampled positions, layout and icons.")] = None,
    store: Annotated[str | None, typer.Option(envvar="ACTLAS_STORE", help="The folder that keeps all results.")] = None,
    cron: Annotated[str | None, typer.Option(help="When to run, in cron's five fields.")] = None,
    every: Annotated[str | None, typer.Option(help="How often to run: 30m, 12h, 1d.")] = None,
    timezone: Annotated[
        str | None, typer.Option(help="Time zone of the schedule, as in Europe/Zurich; UTC by default.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Let a run that is due during another one wait, instead of skipping it.")
    ] = False,
    debounce: Annotated[str, typer.Option(help="How long to wait for further updates before regenerating.")] = "30s",
    gpus: Annotated[int, typer.Option(help="Tasks that may use a GPU at once.", min=1)] = 1,
    host: Annotated[
        str, typer.Option(help="Where its own server listens; beyond this machine that needs a password.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of its own server, which runs if PREFECT_API_URL names none.")] = 4200,
) -> None:
    """Serve a run."""
    settings = {"images": images, "name": name, "seed": seed, "store": store} | vars(subset)
    from flows import config as configuration
    from flows import progress

    run_config = configuration.make(settings, config)
    quiet = _duration("--debounce", debounce, timedelta(0)) or timedelta(0)
    interval = _duration("--every", every, timedelta(seconds=1))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")  # an unattended run leaves its log
    _load_prefect()
    from flows.scheduling import schedules as planned
    from flows.scheduling import serve as serving

    with progress.reporting(progress.for_stream(sys.stderr)):
        schedule = planned.schedule(cron, interval, timezone)
        deployments = planned.deployments(run_config, schedule, wait=wait, debounce=quiet)
        serving.serve(run_config, deployments, gpus=gpus, host=host, port=port)


@model.command("updated")
def updated(
    name: Annotated[str, typer.Argument(help="The run whose model has new weights.")],
    weights: Annotated[str, typer.Option(help="Safetensors or a state dict, at a path that the runs' machine sees.")],
    store: printing.Store = "actlas-store",
    json: printing.Json = False,
) -> None:
    """Announce new weights: the process that serves the run repeats it with them, under its own settings.

    The announcement is kept in the store until a version of the run has the weights.

    Example:  actlas model updated photos --weights checkpoints/step-4000.safetensors
    """
    from flows.pipeline import model_updates

    update = model_updates.announce(name, weights)
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
    _load_prefect()
    from flows.scheduling import serve as serving

    waiting = serving.announce(update, store)
    if json:
        printing.as_json({**update.payload(), "waiting": waiting})
    else:
        receivers = f"; waited for by {', '.join(waiting)}" if waiting else ""
        print(f"{update.name}: {update.weights} (SHA-256 {update.sha256[:12]}…) announced{receivers}")
    if not waiting:
        printing.say(
            f"warning: nothing on this server waits for updates of {update.name}; `actlas serve` or a deployment would"
        )


def _load_prefect() -> None:
    """Load Prefect by the module that says in one line which of its settings it refuses."""
    from flows.scheduling import named_server

    named_server.address()


def _duration(option: str, text: str | None, least: timedelta) -> timedelta | None:
    from storage.errors import UsageError

    if text is None:
        return None
    units: dict[str, Any] = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    try:
        duration = timedelta(**{units[text[-1:]]: float(text[:-1])})
    except (KeyError, ValueError, OverflowError):
        raise UsageError(f"{option} {text}: write a number with s, m, h or d, as in 12h") from None
    if duration < least:
        raise UsageError(f"{option} {text}: that is too short; at least {least.total_seconds():g} s")
    return duration
