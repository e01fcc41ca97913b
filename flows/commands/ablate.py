"""`actlas ablate`: what a unit does to the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.shared import printing
from flows.commands.shared.printing import Name

if TYPE_CHECKING:
    from flows.ablation.answers import Ablation, ClassChange

FLIPS_SHOWN = 10


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("ablate")(ablate)


def ablate(
    name: Name,
    unit: Annotated[str, typer.Argument(metavar="LAYER:UNIT[,UNIT …]", show_default=False)],
    by: Annotated[
        str, typer.Option(help="zero; mean, over the run's samples; resample, from another image; or scale=F.")
    ] = "zero",
    where: Annotated[
        str | None, typer.Option(help="Only images that meet this SQL condition on the table images: label = 'cat'.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Pass N of these images, drawn by the run's seed.")] = 500,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How many labels to show.")] = 16,
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Change a unit while the model runs over images; show which class scores fall and rise, and which images flip.

    Example:  actlas ablate efficientnet-lite0 _blocks.10:37 --by mean
    """
    from flows.ablation import ways
    from flows.questions import addresses
    from storage.run import open_run

    layer, units = addresses.parse_units(unit)
    ways.parse(by)
    run = open_run(store, name)
    with printing.computing():
        from flows.ablation import ablate as ablation

        answer = ablation.ablate(run, layer, units, by=by, where=where, images=images)
    if json:
        printing.as_json(answer)
    else:
        _print(answer, k)


def _print(answer: Ablation, k: int) -> None:
    if answer["varying"]:
        printing.say(f"the model varies by itself ({answer['varying']}), and that counts as change, too")
    if answer["nonfinite"]:
        printing.say(f"{answer['nonfinite']} images are left out: a score is NaN or infinite")
    share = answer["flips"] / answer["images"]
    print(f"{answer['images']:,} images, {answer['flips']:,} flip to another first choice ({share:.1%})")
    print("all images")
    printing.as_table(
        {"score": end, "class": row["name"], "change": _with_error(row)}
        for end, rows in (("falls", answer["falls"]), ("rises", answer["rises"]))
        for row in rows
    )
    print(f"by label, the largest share of flips first, {min(k, len(answer['labels']))} of {len(answer['labels'])}")
    printing.as_table(
        {
            "label": row["label"] or "",
            "images": row["images"],
            "flips": row["flips"],
            "falls most": _first(row["falls"]),
            "rises most": _first(row["rises"]),
        }
        for row in answer["labels"][:k]
    )
    if answer["flipped"]:
        print(f"images that flip, {min(FLIPS_SHOWN, len(answer['flipped']))} of {answer['flips']:,}")
        printing.as_table(
            {"before": flip["before"], "after": flip["after"], "path": printing.relative(flip["path"])}
            for flip in answer["flipped"][:FLIPS_SHOWN]
        )


def _first(rows: list[ClassChange]) -> str:
    return f"{rows[0]['name']} {_with_error(rows[0])}" if rows else ""


def _with_error(row: ClassChange) -> str:
    error = f" ± {row['error']:.2g}" if row["error"] is not None else ""
    return f"{row['change']:+.3g}{error}"
