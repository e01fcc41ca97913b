"""`actlas view` and `export`: the page, served or as files."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.commands.shared import printing


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("view")(view)
    app.command("export")(export)


def view(
    name: Annotated[
        str | None,
        typer.Argument(help="A run, or NAME@VERSION; all runs of the store if left out.", show_default=False),
    ] = None,
    port: Annotated[int | None, typer.Option(help="A port; a free one if left out.", min=1, max=65535)] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(envvar="ACTLAS_TOKEN", help="The token that the address must contain, instead of your saved one."),
    ] = None,
    token_file: Annotated[str | None, typer.Option(envvar="ACTLAS_TOKEN_FILE", help="A file with that token.")] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Ask for no token: every user of this machine can look.")
    ] = False,
    uploads: Annotated[
        bool, typer.Option(help="Answer requests that need the model: locate, explain, links, facets.")
    ] = True,
    time_limit: Annotated[float, typer.Option(help="Seconds that such a request may take.", min=1)] = 60.0,
    store: printing.Store = printing.DEFAULT_STORE,
) -> None:
    """Open the atlas in a browser: explore its cells and units, and take an image apart.

    Example:  actlas view photos --port 8000 --no-browser
    """
    from pathlib import Path

    from flows.viewer import serve
    from storage import folders

    folders.check("--store", store)
    options = serve.Options(
        host=host,
        port=port,
        token=token,
        token_file=token_file,
        asks_token=not no_token,
        uploads=uploads,
        seconds=time_limit,
    )

    def announce(address: str) -> None:
        print(address, flush=True)
        if host in serve.ANY:
            printing.say(f"from other machines: {serve.elsewhere(address)}")
        if not Path(store).exists():
            printing.say(f"there is no store at {printing.relative(store)} yet; the page explains how to make a run")
        printing.say("ctrl-c ends it")
        if browser:
            serve.open_browser(address)

    serve.serve(store, name, options, announce)


def export(
    name: Annotated[str, typer.Argument(help="A run, or NAME@VERSION.", show_default=False)],
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A new folder, or an earlier export to replace.")],
    dry_run: Annotated[bool, typer.Option(help="Only report how large it would be.")] = False,
    store: printing.Store = printing.DEFAULT_STORE,
) -> None:
    """Write the page of a run as files, for a file server or a double click on index.html.

    Example:  actlas export photos photos-atlas
    """
    import sys
    from pathlib import Path

    from flows import progress
    from flows.viewer import export as exporting
    from flows.viewer import export_file
    from flows.viewer.answers.open_runs import OpenRuns

    run, _, version = name.partition("@")
    place = Path(folder).absolute()
    exporting.check_place(place)
    opened = OpenRuns(store).version(run, version or "current")
    export_files = exporting.files_of(opened)
    files, size = export_file.estimate(export_files)
    printing.say(
        f"{run}@{opened.run.number}: {files:,} files, about {size / 1e6:,.1f} MB, into {printing.relative(str(place))}"
    )
    if dry_run:
        return
    with progress.reporting(progress.for_stream(sys.stderr)) as report, report.bar("export", files, "files") as advance:
        written = exporting.write(export_files, place, exporting.record_of(opened), size, advance)
    print(place / "index.html")
    printing.say(f"{written / 1e6:,.1f} MB; open it with a double click, or put the folder on a web server")
