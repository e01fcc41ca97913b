"""`actlas audit`: which units and cells the model uses for a class, and which of them fire on something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.shared import parsing, printing
from flows.commands.shared.printing import Name

if TYPE_CHECKING:
    from flows.audit.answers import Audit, Candidate
    from storage.run import Run


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("audit")(audit)


def audit(
    name: Name,
    wanted: Annotated[
        str,
        typer.Option(
            "--class", metavar="CLASS", help="A class: its name, its index, or class:INDEX.", show_default=False
        ),
    ],
    label: Annotated[
        str | None, typer.Option(help="The label of the class's images; by default the one that is the class.")
    ] = None,
    layer: Annotated[str | None, typer.Option(help="The layer; by default the run's last.")] = None,
    grid: Annotated[
        int | None,
        typer.Option(help="The grid whose cells are audited, too; by default the finest with an attribution."),
    ] = None,
    images: Annotated[int, typer.Option(help="Use N images with the class, and N without it: 20 to 1000.")] = 200,
    units: Annotated[bool, typer.Option(help="Audit units; without them the model is not loaded.")] = True,
    ablate: Annotated[bool, typer.Option(help="Measure what the first suspects do to the class.")] = True,
    k: Annotated[int, typer.Option("-k", "--k", min=0, help="How many to show that are no suspects.")] = 16,
    sheet: Annotated[str | None, typer.Option(help="Draw the suspects with their patches to a PNG.")] = None,
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Rank the units and cells that the model uses for a class, and find those that fire on a folder, size, border or watermark.

    Example:  actlas audit efficientnet-lite0 --class "tabby, tabby cat" --sheet tabby.png
    """
    from storage.run import open_run

    if sheet is not None:
        parsing.png(sheet, "--sheet")
    run = open_run(store, name)
    with printing.computing():
        from flows.audit import audit as auditing

        answer = auditing.audit(
            run, wanted, layer=layer, grid=grid, label=label, count=images, k=k, units=units, ablate=ablate
        )
    if sheet is not None:
        _draw(run, answer, sheet)
    if json:
        printing.as_json(answer)
    else:
        _print(answer)


def _draw(run: Run, answer: Audit, sheet: str) -> None:
    from flows.model import images
    from flows.sheets import audit as audit_sheet

    picture = audit_sheet.draw(run, answer, images.images(run, audit_sheet.drawn_patches(answer)))
    printing.write_picture(picture, parsing.png(sheet, "--sheet"), sheet)


def _print(answer: Audit) -> None:
    from flows.audit import sentences

    for remark in sentences.remarks(answer):
        printing.say(remark)
    print(sentences.of_images(answer))
    print(sentences.of_tests(answer))
    printing.as_table({"part": part["kind"], "of": part["name"], "images": part["images"]} for part in answer["parts"])
    print(f"{printing.counted(len(answer['suspects']), 'suspect')}, those first that owe most to what they fire on")
    printing.as_table(_suspect(row) for row in answer["suspects"])
    if answer["candidates"]:
        print(f"used without suspicion, the first {len(answer['candidates'])}")
        printing.as_table(_candidate(row) for row in answer["candidates"])


def _suspect(row: Candidate) -> dict[str, str | int]:
    test, effects = row["tests"][0], row["effects"]
    return _candidate(row) | {
        "fires on": f"{test['kind']} {test['name']}",
        "stronger": f"{test['auc']:.0%}",
        "p": f"{test['p']:.3f}",
        "of all use": f"{test['extra']:.2%}",
        "one place": "" if row["place"] is None else f"{row['place']:.0%}",
        "at zero, there": "" if effects is None else f"{effects['part']['change']:+.3g}",
        "elsewhere": "" if effects is None else f"{effects['others']['change']:+.3g}",
        "no longer first": "" if effects is None else f"{effects['part']['lost']} of {effects['part']['first']}",
    }


def _candidate(row: Candidate) -> dict[str, str | int]:
    without = row["without"]
    return {
        "rank": row["rank"],
        "name": row["name"],
        "use": f"{row['use']:.3g}",
        "adds": f"{row['attribution']:.3g}",
        "in": f"{row['often']:.0%}",
        "without the class": "" if without is None else f"{without['share']:.0%}",
    }
