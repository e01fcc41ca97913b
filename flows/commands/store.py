"""`actlas runs`, `verify` and `gc`: list, check and clean the store."""

from __future__ import annotations

import math
import sys
from typing import Annotated, Any

import typer

from flows.commands.shared import printing

runs = typer.Typer(
    no_args_is_help=True, help="List and show the versions of runs, and roll back.", rich_markup_mode=None
)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(runs, name="runs")
    app.command("verify")(verify)
    app.command("gc")(gc)


@runs.command("list")
def list_runs(store: printing.Store = printing.DEFAULT_STORE, json: printing.Json = False) -> None:
    """List the runs of the store with their versions.

    Example:  actlas runs list --store results
    """
    from flows.questions import runs as run_answers

    rows = run_answers.runs(store)
    if json:
        printing.as_json(rows)
    elif rows:
        printing.as_table(rows, ("name", "version", "published", "model", "images", "rejected", "layers"))
    else:
        command = f"actlas run --images sample-photos{printing.in_store(store)}"
        printing.say(f"no runs in {store} yet; `{command}` makes one")


@runs.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A run, or NAME@VERSION.")],
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Show what a version was made from and what it holds.

    Example:  actlas runs show photos@3 --json
    """
    from flows.questions import accuracy
    from flows.questions import runs as run_answers
    from storage.run import open_run

    run = open_run(store, name)
    answer, right = run_answers.show_run(run), accuracy.of_run(run)
    if json:
        printing.as_json({**answer, **({"accuracy": right} if right else {})})
        return
    for key, value in answer.items():
        for name_, item in value.items() if isinstance(value, dict) else [("", value)]:
            print(f"{key}{'.' if name_ else ''}{name_}  {_in_words(item)}")
    for line in accuracy.in_words(right) if right else ():
        print(line)


def _in_words(value: Any) -> str:
    """Format a value as text: `method umap, trustworthiness 0.92`."""
    if isinstance(value, dict):
        unknown = {"not_finite": "not counted"}
        return ", ".join(
            f"{name} {unknown.get(name, 'none') if item is None else _in_words(item)}" for name, item in value.items()
        )
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    return "none" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


@runs.command("rollback")
def rollback(
    name: Annotated[str, typer.Argument(help="The run.")],
    version: Annotated[int, typer.Argument(help="The version to go back to.")],
    store: printing.Store = printing.DEFAULT_STORE,
) -> None:
    """Publish an older version again.

    Example:  actlas runs rollback photos 2
    """
    from storage.run import open_store

    opened = open_store(store)
    with opened.lock(name):
        number = opened.rollback(name, version)
    print(f"{name}@{number} is {name}@{version} again")


@runs.command("keep")
def keep(
    number: Annotated[int, typer.Argument(help="How many of the newest versions of each run to keep.", min=1)],
    older_than: Annotated[str, typer.Option(help="Keep what is younger than this, versions too: 24h, 30m, 0.")] = "24h",
    dry_run: Annotated[bool, typer.Option(help="Only list what would be removed.")] = False,
    store: printing.Store = printing.DEFAULT_STORE,
) -> None:
    """Remove all but the newest versions of each run, and the results that only they use, if older than a day.

    Example:  actlas runs keep 3 --older-than 0 --dry-run
    """
    _collect_garbage(store, _seconds(older_than), number, dry_run)


def verify(
    name: Annotated[str | None, typer.Argument(help="A run; the whole store if left out.")] = None,
    repair: Annotated[
        bool, typer.Option(help="Restore what has a copy; set the rest aside, for the next run to compute again.")
    ] = False,
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Read every byte and name what is damaged, missing, unreadable (exit code 1) or foreign (left alone).

    Example:  actlas verify photos --repair
    """
    from flows import progress
    from storage.run import open_store
    from storage.store import repair as repairs
    from storage.store import result_checks as checks
    from storage.store import verify as verifying

    opened = open_store(store)
    with progress.reporting(progress.for_stream(sys.stderr)) as report, report.bar("verify", 100, "%") as advance:
        entries = verifying.verify(opened, name, lambda done, total: advance(100 * done // max(total, 1)))
    damages = checks.faults(entries)
    others = [damage.path for damage in entries if damage.kind == checks.FOREIGN]
    to_compute = repairs.repair(opened, damages) if repair else []
    remaining = checks.faults(verifying.verify(opened, name)) if repair and damages else damages
    remaining = [damage for damage in remaining if (damage.stage, damage.key) not in to_compute]
    rows = [{"kind": d.kind, "path": d.path, "detail": d.detail} for d in damages]
    if json:
        recompute = [{"stage": s, "key": k} for s, k in to_compute]
        printing.as_json({"damages": rows, "foreign": others, "to_compute": recompute})
    else:
        printing.as_table([*rows, *({"kind": checks.FOREIGN, "path": path, "detail": ""} for path in others)])
        _print_verdict(rows, len(others), len(to_compute), repair, printing.in_store(store))
        for damage in remaining if repair else []:
            printing.say(f"cannot be repaired: {damage}")
    raise typer.Exit(1 if remaining else 0)


def _print_verdict(rows: list[dict[str, str]], others: int, to_compute: int, repaired: bool, where: str) -> None:
    unread = sum(row["kind"] == "unreadable" for row in rows)
    if others:
        printing.say(f"{others} foreign: not made by actlas, and left alone")
    if not rows:
        printing.say("no damage: everything is as it was committed")
    elif repaired:
        rest = (
            f"; run the same `actlas run` again to compute {printing.counted(to_compute, 'result')} again"
            if to_compute
            else ""
        )
        printing.say(f"{printing.counted(len(rows), 'fault')} repaired or set aside{rest}")
    elif unread:
        printing.say(f"{unread} could not be read: nothing is known of them, and nothing is repaired until they can be")
    else:
        printing.say(
            f"{printing.counted(len(rows), 'fault')}; `actlas verify --repair{where}` repairs or sets aside what is damaged"
        )


def gc(
    older_than: Annotated[str, typer.Option(help="Keep what is younger than this: 24h, 30m, 0.")] = "24h",
    keep: Annotated[
        int | None, typer.Option(help="Keep the newest N versions of each run; all if left out.", min=1)
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Only list what would be removed.")] = False,
    accept_lost: Annotated[
        bool, typer.Option("--accept-lost", help="Continue even if published versions are lost.")
    ] = False,
    store: printing.Store = printing.DEFAULT_STORE,
) -> None:
    """Remove results that no version uses, and leftovers of killed runs.

    Example:  actlas gc --older-than 0 --keep 3
    """
    _collect_garbage(store, _seconds(older_than), keep, dry_run, accept_lost)


def _collect_garbage(store: str, older_than: float, keep: int | None, dry_run: bool, accept_lost: bool = False) -> None:
    from storage.run import open_store
    from storage.store import gc as collecting

    removed = collecting.gc(
        open_store(store),
        older_than=older_than,
        keep=keep,
        dry_run=dry_run,
        accept_lost=accept_lost,
        say=printing.say,
    )
    for path in removed:
        print(path)
    printing.say(f"{len(removed)} {'would go' if dry_run else 'removed'}")


def _seconds(text: str) -> float:
    from storage.errors import UsageError

    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    try:
        seconds = float(number) * unit
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < math.inf:  # nan is not either
        raise UsageError(f"--older-than {text}: write a number with s, m, h or d, as in 24h")
    return seconds
